"""BM25 over passages: in memory (bm25s), or on the disk (tantivy) with additions and deletions.

Both read a question as plain words: nothing in it is an operator of a query language.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError

MOST_WORDS = 256
"""Words of a question that are searched for."""
MISSING = "run `uv sync --extra retrieval`"
WORD = re.compile(r"\w+")
Hits = list[tuple[str, float]]
"""Ids and scores, best first."""


def question_words(question: str) -> list[str]:
    """Return the words of a question in lower case, each once.

    Example:
        >>> question_words('Is "ice" NOT a rock? (ice AND rock)')
        ['is', 'ice', 'not', 'a', 'rock', 'and']
    """
    return list(dict.fromkeys(WORD.findall(question.lower())))[:MOST_WORDS]


class MemoryBm25:
    """BM25 in memory (Lucene's variant, k1 1.5, b .75), for a set of passages that does not change."""

    def __init__(self, ids: Sequence[str], texts: Iterable[str]) -> None:
        try:
            import bm25s
        except ImportError as error:
            raise WatershedError("bm25s is not installed", MISSING) from error
        self._library: Any = bm25s
        self.ids = list(ids)
        tokens: Any = bm25s.tokenize([text.lower() for text in texts], stopwords="en", show_progress=False)
        self._index = bm25s.BM25() if self.ids and tokens.vocab else None
        if self._index is not None:
            self._index.index(tokens, show_progress=False)

    def search(self, questions: Sequence[str], count: int = 10) -> list[Hits]:
        """Return the passages of each question that share a word with it, best first."""
        if self._index is None:
            return [[] for _ in questions]
        words = [" ".join(question_words(question)) for question in questions]
        tokens = self._library.tokenize(words, stopwords="en", show_progress=False, return_ids=False)
        found, scores = self._index.retrieve(tokens, k=min(count, len(self.ids)), show_progress=False)
        # bm25s fills up with passages of score 0.
        return [
            [(self.ids[place], float(score)) for place, score in zip(row, values, strict=True) if score > 0]
            for row, values in zip(found, scores, strict=True)
        ]


class DiskBm25:
    """BM25 on the disk, with English stems. A process that is killed while it writes leaves the index as it was."""

    def __init__(self, folder: Path) -> None:
        """Open an index, or create an empty one.

        Raises:
            WatershedError: tantivy is not installed, or the index cannot be opened.
        """
        try:
            import tantivy
        except ImportError as error:
            raise WatershedError("tantivy is not installed", MISSING) from error
        self.folder, self._library = folder, tantivy
        schema = tantivy.SchemaBuilder()
        schema.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
        schema.add_text_field("title", stored=False, tokenizer_name="en_stem")
        schema.add_text_field("text", stored=False, tokenizer_name="en_stem")
        # It is returned, and not searched.
        schema.add_bytes_field("stored", stored=True, indexed=False)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._index: Any = tantivy.Index(schema.build(), path=str(folder), reuse=True)
        except (OSError, ValueError) as error:
            raise WatershedError(f"{folder} holds no index of words: {error}", "build the index again") from error

    def __len__(self) -> int:
        self._index.reload()
        return int(self._index.searcher().num_docs)

    def change(
        self, *, add: Iterable[tuple[str, str, str, str]] = (), delete: Iterable[str] = (), every: bool = False
    ) -> None:
        """Add and delete passages in one commit.

        Args:
            add: id, title, text, and what is stored with each passage, which `stored` returns; those of an id that is
                there already are replaced.
            delete: ids of passages.
            every: delete all passages first.

        Raises:
            WatershedError: another process writes the index, or the disk is full.
        """
        try:
            writer = self._index.writer(heap_size=128_000_000, num_threads=1)
        except ValueError as error:
            raise WatershedError(
                f"the index {self.folder} cannot be written: {error}", "run it again when no other process writes it"
            ) from error
        try:
            if every:
                writer.delete_all_documents()
            for id_ in delete:
                writer.delete_documents("id", id_)
            for id_, title, text, stored in add:
                if not every:
                    writer.delete_documents("id", id_)
                document = self._library.Document(id=id_, title=_sound(title), text=_sound(text))
                document.add_bytes("stored", stored.encode("utf-8", "replace"))
                writer.add_document(document)
            writer.commit()
            writer.wait_merging_threads()
        except ValueError as error:
            raise WatershedError(
                f"{self.folder} was not written: {error}", "free some space and run it again"
            ) from error
        self._index.reload()

    @property
    def deleted(self) -> int:
        """Passages that are deleted and whose text is still in the files of the index."""
        self._index.reload()
        segments = json.loads((self.folder / "meta.json").read_text())["segments"]
        return sum((each.get("deletes") or {}).get("num_deleted_docs", 0) for each in segments)

    def merge(self, read: Callable[[str], tuple[str, str]]) -> None:
        """Write the index again without deleted passages.

        Args:
            read: returns the title and the text of a passage from what is stored with it.

        Raises:
            WatershedError: another process writes the index, or the disk is full.
        """
        self._index.reload()
        searcher = self._index.searcher()
        places = searcher.search(self._library.Query.all_query(), max(len(self), 1)).hits
        living = [searcher.doc(place) for _, place in places]
        rows = [(each["id"][0], bytes(each["stored"][0]).decode()) for each in living]
        self.change(add=((id_, *read(stored), stored) for id_, stored in rows), every=True)

    def search(self, questions: Sequence[str], count: int = 10) -> list[Hits]:
        """Return the passages of each question that share a word with it, best first."""
        self._index.reload()
        searcher = self._index.searcher()
        found: list[Hits] = []
        for question in questions:
            words = question_words(question)
            if not words or not searcher.num_docs:
                found.append([])
                continue
            query, _ = self._index.parse_query_lenient(" ".join(words), ["text", "title"])
            hits = searcher.search(query, count).hits
            found.append([(searcher.doc(place)["id"][0], float(score)) for score, place in hits])
        return found

    def stored(self, ids: Iterable[str]) -> dict[str, str]:
        """Return what is stored with passages, by id; those that are not in the index are missing."""
        self._index.reload()
        searcher, found = self._index.searcher(), {}
        for id_ in ids:
            query = self._library.Query.term_query(self._index.schema, "id", id_)
            for _, place in searcher.search(query, 1).hits:
                found[id_] = bytes(searcher.doc(place)["stored"][0]).decode()
        return found


def _sound(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
