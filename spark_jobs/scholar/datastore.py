"""The datastore: search over the passages of the lake's papers, by vectors and by words.

The index of words also holds every passage with its place in its paper. What it returns is checked against the digest
of the passage and the id that is made from its place, so that an answer never rests on other words than those stored.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from catalog.errors import WatershedError
from catalog.files import write_whole
from spark_jobs.retrieval.bm25 import DiskBm25
from spark_jobs.retrieval.encoders import Encoder
from spark_jobs.retrieval.index import IndexChoices, VectorIndex
from spark_jobs.retrieval.passages import passage_id, text_digest
from spark_jobs.retrieval.stamps import Stamp
from spark_jobs.scholar.candidates import Candidate, Passage, Score, chosen, fused_candidates
from spark_jobs.scholar.tables import vector_batches

VECTORS, WORDS, WITHDRAWN = "vectors", "words", "withdrawn.json"
FOUND, MOST_FOUND, KEPT = 100, 25_600, 200
"""Passages of each ranking that are looked at: more, if too few are left of them, up to a bound; and how many of those
that are not read are returned with their reason."""
STORED = ("paper", "version", "begin", "end", "digest", "text", "title", "year", "citations", "url", "retracted")


def build(
    folder: Path,
    passages: Iterable[Mapping[str, Any]],
    embeddings: Iterable[pa.RecordBatch],
    stamp: Stamp,
    choices: IndexChoices | None = None,
    *,
    queries: np.ndarray | None = None,
) -> dict[str, Any]:
    """Build both indexes in a folder, and return the measured columns of `scholar.index`.

    Args:
        folder: the folder; an index that is there answers until the new one is complete.
        passages: rows of `scholar.passages` with `year`, `citations`, `url` and `retracted` of their papers.
        embeddings: rows of `scholar.embeddings`.
        stamp: their stamp.
        choices: how vectors are indexed.
        queries: vectors of questions (n, dimensions) that the width of searches is measured with.
    """
    began = time.monotonic()
    index = VectorIndex.build(folder / VECTORS, stamp, vector_batches(embeddings, stamp), choices, queries=queries)
    vector_seconds, began = time.monotonic() - began, time.monotonic()
    counted = {"passages": 0, "text_bytes": 0}
    DiskBm25(folder / WORDS).change(add=documents(passages, counted), every=True)
    if len(index) != counted["passages"]:
        raise WatershedError(
            f"{counted['passages']:,} passages have {len(index):,} vectors", "materialise scholar.embeddings again"
        )
    return measured(folder, index, counted["text_bytes"], vector_seconds, time.monotonic() - began)


def measured(
    folder: Path, index: VectorIndex, text_bytes: int, vector_seconds: float, word_seconds: float
) -> dict[str, Any]:
    """Return the columns of `scholar.index`, but for its path, from what is on the disk."""
    facts = index.facts
    return {
        "stamp": index.stamp.digest,
        "kinds": [each.kind for each in facts],
        "passages": len(index),
        "text_bytes": text_bytes,
        "vector_bytes": sum(each.vectors for each in facts) * index.stamp.dimensions * 2,
        "code_bytes": index.code_bytes,
        "word_bytes": sum(path.stat().st_size for path in (folder / WORDS).rglob("*") if path.is_file()),
        "vector_seconds": round(vector_seconds, 3),
        "word_seconds": round(word_seconds, 3),
        "recall": min((each.recall for each in facts), default=None),
    }


def documents(
    passages: Iterable[Mapping[str, Any]], counted: dict[str, int] | None = None
) -> Iterator[tuple[str, str, str, str]]:
    """Yield what the index of words holds of passages: id, title, text, and everything as JSON."""
    for row in passages:
        if counted is not None:
            counted["passages"] += 1
            counted["text_bytes"] += len(row["text"].encode())
        stored = json.dumps({name: row[name] for name in STORED}, ensure_ascii=False)
        yield row["passage"], row["title"] or "", row["text"], stored


class Datastore:
    """An open datastore."""

    def __init__(self, folder: Path, encoder_for: Callable[[Stamp], Encoder]) -> None:
        """Open the datastore in a folder.

        Args:
            folder: the folder.
            encoder_for: returns the encoder of the queries, by the stamp of the vectors.

        Raises:
            WatershedError: the folder has no index.
        """
        self.folder = folder
        self.vectors = VectorIndex(folder / VECTORS)
        self.words = DiskBm25(folder / WORDS)
        self._encoder_for = encoder_for
        self._encoder: Encoder | None = None
        self.withdrawn: dict[str, str] = _withdrawn(folder)
        """Papers that were withdrawn since the index was built, with the kind."""

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def stamp(self) -> Stamp:
        """The encoder of the vectors."""
        return self.vectors.stamp

    def ranked(self, question: str, count: int) -> tuple[list[str], list[str]]:
        """Return the passages that are nearest to a question by vectors, and by words."""
        if self._encoder is None:
            self._encoder = self._encoder_for(self.stamp)
        vector = self._encoder.queries([question])
        (near,) = self.vectors.search(vector, self._encoder.stamp, count)
        (words,) = self.words.search([question], count)
        return near.ids, [name for name, _ in words]

    def passages(self, names: Iterable[str]) -> dict[str, Passage]:
        """Return stored passages by id; those that are deleted are missing.

        Raises:
            WatershedError: a stored passage differs from its digest or its id.
        """
        return {name: self._passage(name, stored) for name, stored in self.words.stored(names).items()}

    def _passage(self, name: str, stored: str) -> Passage:
        entries: dict[str, Any] = json.loads(stored)
        entries["citations"] = entries["citations"] or 0
        found = Passage(passage=name, **entries)
        sound = text_digest(found.text) == found.digest
        if not sound or passage_id(found.paper, found.version, found.begin, found.end) != name:
            raise WatershedError(
                f"{self.folder}: the stored passage {name} differs from its digest",
                "materialise scholar.index again",
            )
        return replace(found, retracted=True) if found.paper in self.withdrawn else found

    def retrieve(
        self,
        question: str,
        count: int,
        *,
        rerank: Score | None = None,
        boosted: bool = True,
        seen: Sequence[Passage] = (),
    ) -> list[Candidate]:
        """Return the candidates for a question; those without `dropped` are to be read. See `candidates.chosen`.

        If too few are left, because one paper fills the rankings or many passages are the same, more are looked at.
        """
        asked = FOUND
        while True:
            dense, words = self.ranked(question, asked)
            candidates = fused_candidates(dense, words, self.passages({*dense, *words}))
            found = chosen(candidates, question, count=count, rerank=rerank, boosted=boosted, seen=seen)
            kept = sum(each.dropped is None for each in found)
            if kept >= count or asked >= MOST_FOUND or max(len(dense), len(words)) < asked:
                return found[: kept + KEPT]
            asked *= 4

    def withdraw(self, paper: str, passages: Sequence[str], kind: str) -> int:
        """Stop answers from using a paper from now on; return how many passages were removed.

        Args:
            paper: the paper.
            passages: its passages.
            kind: `retracted`: searches still find its passages, and mark them as retracted. `forgotten`: they are
                deleted from both indexes.
        """
        self.withdrawn[paper] = kind
        write_whole(self.folder / WITHDRAWN, json.dumps(self.withdrawn, sort_keys=True).encode())
        if kind != "forgotten":
            return 0
        self.words.change(delete=passages)
        return self.vectors.delete(passages)


def _withdrawn(folder: Path) -> dict[str, str]:
    try:
        return dict(json.loads((folder / WITHDRAWN).read_text()))
    except FileNotFoundError:
        return {}
