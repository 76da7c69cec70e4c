"""Domains as BEIR publishes them: `corpus.jsonl`, `queries.jsonl`, and `qrels/train.tsv`, `dev.tsv`, `test.tsv`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.files import sha256_of, whole_folder
from catalog.tables.router import SPLITS

LONGEST_LINE = 1 << 24
CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels"
HEADER = ("query-id", "corpus-id", "score")


@dataclass(frozen=True)
class Document:
    """A document of a corpus."""

    id: str
    title: str
    text: str

    @property
    def embedded(self) -> str:
        """What is embedded of it, as BEIR does: its title and its text."""
        return embedded(self.title, self.text)


@dataclass(frozen=True)
class Domain:
    """A domain: a corpus, texts of queries, and the grades of each judged query by split."""

    name: str
    documents: tuple[Document, ...]
    queries: Mapping[str, str]
    judgements: Mapping[str, Mapping[str, Mapping[str, int]]]


def embedded(title: str, text: str) -> str:
    """Return the text of a document as the encoder reads it."""
    return f"{title} {text}".strip()


def files_of(folder: Path) -> list[Path]:
    """Return the files of a domain.

    Raises:
        WatershedError: a file is missing.
    """
    found = [folder / CORPUS, folder / QUERIES]
    found += [folder / QRELS / f"{split}.tsv" for split in SPLITS if (folder / QRELS / f"{split}.tsv").is_file()]
    missing = next((path for path in found if not path.is_file()), None)
    if missing or len(found) == 2:
        raise WatershedError(
            f"{missing or folder / QRELS}: there is no such file" if missing else f"{folder / QRELS} has no judgements",
            "give a folder with corpus.jsonl, queries.jsonl and qrels/train.tsv, dev.tsv or test.tsv",
        )
    return found


def digest_of(folder: Path) -> str:
    """Return the SHA-256 of the names and digests of a domain's files, as 64 hex digits."""
    each = (f"{path.relative_to(folder).as_posix()} {sha256_of(path)}\n" for path in files_of(folder))
    return hashlib.sha256("".join(each).encode()).hexdigest()


def read_domain(folder: Path) -> Domain:
    """Read a domain.

    Raises:
        WatershedError: a file is missing or malformed; the message names the line.
    """
    files_of(folder)
    documents: dict[str, Document] = {}
    for place, row in _objects(folder / CORPUS):
        found = Document(_text(row, "_id", place), _text(row, "title", place, ""), _text(row, "text", place))
        if found.id in documents:
            raise WatershedError(f"{place}: the document {found.id!r} stands twice", "keep one line for each")
        documents[found.id] = found
    queries: dict[str, str] = {}
    for place, row in _objects(folder / QUERIES):
        name = _text(row, "_id", place)
        if name in queries:
            raise WatershedError(f"{place}: the query {name!r} stands twice", "keep one line for each")
        queries[name] = _text(row, "text", place)
    judgements = {split: _judgements(path) for split in SPLITS if (path := folder / QRELS / f"{split}.tsv").is_file()}
    return Domain(folder.name, tuple(documents.values()), queries, judgements)


def write_domain(folder: Path, domain: Domain) -> None:
    """Write a domain in BEIR's layout, whole."""
    with whole_folder(folder) as partial:
        rows = ({"_id": each.id, "title": each.title, "text": each.text} for each in domain.documents)
        _write_lines(partial / CORPUS, rows)
        _write_lines(partial / QUERIES, ({"_id": name, "text": text} for name, text in domain.queries.items()))
        (partial / QRELS).mkdir()
        for split, judged in domain.judgements.items():
            lines = (f"{query}\t{name}\t{grade}\n" for query, of in judged.items() for name, grade in of.items())
            (partial / QRELS / f"{split}.tsv").write_text("\t".join(HEADER) + "\n" + "".join(lines), encoding="utf-8")


def _write_lines(path: Path, rows: Iterator[dict[str, str]]) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(lines.encode("utf-8", "replace"))


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), b""), start=1):
            if len(line) > LONGEST_LINE:
                raise WatershedError(f"{path}:{number}: the line is longer than 16 MB", "leave it out")
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise WatershedError(f"{path}:{number}: it is not UTF-8", "write the file as UTF-8") from None
            if text.strip():
                yield f"{path}:{number}", text


def _objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, line in _lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise WatershedError(f"{place}: it is not a JSON object", FORM)
        yield place, row


def _text(row: Mapping[str, Any], name: str, place: str, default: str | None = None) -> str:
    value = row.get(name, default)
    if name == "_id" and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if name == "title" and value is None:
        value = ""
    if not isinstance(value, str) or (name == "_id" and (not value.strip() or len(value) > 1000)):
        raise WatershedError(f"{place}: {name} is not a string", FORM)
    # Half a surrogate is not a character; an id is kept to the letter otherwise.
    return value.encode("utf-8", "replace").decode()


def _judgements(path: Path) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for number, (place, line) in enumerate(_lines(path)):
        pieces = line.rstrip("\r\n").split("\t")
        if number == 0 and tuple(pieces) == HEADER:
            continue
        mend = "write lines of the form `query-id<TAB>corpus-id<TAB>score`"
        if len(pieces) != 3:
            raise WatershedError(f"{place}: {len(pieces)} columns, not 3", mend)
        try:
            grade = int(pieces[2])
        except ValueError:
            raise WatershedError(f"{place}: the score {pieces[2][:40]!r} is not a whole number", mend) from None
        of_query = found.setdefault(pieces[0], {})
        if pieces[1] in of_query:
            raise WatershedError(
                f"{place}: the document {pieces[1]!r} stands twice for the query {pieces[0]!r}",
                "keep one line for each",
            )
        of_query[pieces[1]] = grade
    return found


FORM = 'write lines {"_id": "...", "title": "...", "text": "..."}'
