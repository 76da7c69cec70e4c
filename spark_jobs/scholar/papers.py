"""Papers of files: peS2o and Semantic Scholar records, passages of ScholarQABench, texts and PDFs.

Records of one paper are merged: Semantic Scholar's record of the same corpus id or DOI gives year, citations, licence
and retraction to the full text of peS2o. What is not a paper is a row with its reason, and stops nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from catalog.files import sha256_of
from catalog.lines import bounded_lines, opened
from catalog.tables.scholar import PAPERS, REJECTED
from spark_jobs.input_files import JSONL, InputFile, input_files
from spark_jobs.scholar.pdf import NotReadableError, read_pdf

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = {**JSONL, ".pdf": "pdf", ".txt": "text", ".md": "text", ".rst": "text"}
LONGEST_LINE = 64_000_000
MOST_CHARACTERS = 20_000_000
LONGEST_TITLE = 300
RETRACTION = re.compile(
    r"^\s*\[?(?:retracted(?: article)?|retraction(?: note)?|withdrawn)\b\]?\s*[:.—–-]", re.IGNORECASE
)
RETRACTED_TYPES = {"retraction", "retractedpublication", "retracted publication", "retracted"}
DOI = re.compile(r"10\.\d{4,9}/\S+")


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A paper; the fields are the columns of `scholar.papers`."""

    paper: str
    title: str | None
    text: str
    source: str
    year: int | None = None
    citations: int | None = None
    authors: tuple[str, ...] = ()
    doi: str | None = None
    url: str | None = None
    licence: str | None = None
    retracted: bool = False

    @property
    def version(self) -> str:
        """16 hex digits of title and text."""
        return hashlib.sha256(f"{self.title or ''}\n{self.text}".encode("utf-8", "replace")).hexdigest()[:16]

    def row(self) -> dict[str, Any]:
        """Return the row of `scholar.papers`."""
        return {**vars(self), "authors": list(self.authors), "version": self.version}


@dataclass(frozen=True)
class Rejected:
    """A file or record that is not a paper."""

    source: str
    place: int
    reason: str


class _NoPaperError(Exception):
    """Why a record is not a paper."""


def read_papers(places: Sequence[str]) -> tuple[list[Paper], list[Rejected]]:
    """Read the papers of files, folders and patterns, merged and ordered by id.

    Raises:
        WatershedError: a place matches nothing, or a file of an unknown kind.

    Example:
        >>> papers, rejected = read_papers(["papers.jsonl", "pdfs/"])
    """
    found: dict[str, Paper] = {}
    by_doi: dict[str, str] = {}
    rejected: list[Rejected] = []
    for file in input_files(places, KINDS) if places else ():
        for each in _of_file(file):
            if isinstance(each, Rejected):
                rejected.append(each)
                continue
            name = each.paper if each.paper in found else by_doi.get(each.doi or "", each.paper)
            found[name] = _merged(found[name], each) if name in found else each
            if each.doi:
                by_doi.setdefault(each.doi, name)
    # A record that only describes a paper is none by itself.
    texts = [paper for paper in found.values() if paper.text]
    empty = (paper for paper in found.values() if not paper.text)
    rejected += [Rejected(f"{paper.source}: {paper.paper}", 0, "it has neither text nor abstract") for paper in empty]
    unique = {(each.source, each.place): each for each in rejected}
    return sorted(texts, key=lambda paper: paper.paper), sorted(
        unique.values(), key=lambda each: (each.source, each.place)
    )


def _merged(one: Paper, other: Paper) -> Paper:
    """Return both records as one: the longer text with its title, and every fact that either has."""
    main, extra = (one, other) if len(one.text) >= len(other.text) else (other, one)
    filled = {
        name: getattr(main, name) if getattr(main, name) not in (None, ()) else getattr(extra, name)
        for name in ("title", "year", "citations", "authors", "doi", "url", "licence")
    }
    return replace(main, **filled, paper=one.paper, retracted=one.retracted or other.retracted)


def _of_file(file: InputFile) -> Iterator[Paper | Rejected]:
    name = file.path.name
    try:
        if file.kind == "pdf":
            read = read_pdf(file.path)
            yield _file_paper(name, read.title or _first_line(read.text), read.text)
        elif file.kind == "text":
            text = file.path.read_bytes()[: 4 * MOST_CHARACTERS].decode("utf-8", "replace")[:MOST_CHARACTERS].strip()
            if text:
                yield _file_paper(name, _first_line(text), text)
            else:
                yield Rejected(name, 0, "it is empty")
        else:
            yield from _records(file)
    except NotReadableError as error:
        yield Rejected(name, 0, str(error))
    except (OSError, EOFError) as error:
        yield Rejected(name, 0, f"it cannot be read: {error}")


def _file_paper(name: str, title: str | None, text: str) -> Paper:
    return Paper(
        paper=f"file:{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:16]}",
        title=_title(title),
        text=_sound(text),
        source=name,
        retracted=bool(RETRACTION.match(title or "")),
    )


def _first_line(text: str) -> str | None:
    line = text.lstrip("# \n\t").split("\n", 1)[0].strip()
    return line if line and len(line) <= LONGEST_TITLE else None


def _records(file: InputFile) -> Iterator[Paper | Rejected]:
    with opened(file.path) as lines:
        for number, line in bounded_lines(lines, LONGEST_LINE):
            if line is None:
                yield Rejected(file.path.name, number, f"the line has more than {LONGEST_LINE:,} bytes")
                continue
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise _NoPaperError("the line is not a JSON object")
                yield from _of_record(record, file.path.name)
            except (ValueError, RecursionError):
                yield Rejected(file.path.name, number, "the line is not JSON")
            except _NoPaperError as error:
                yield Rejected(file.path.name, number, str(error))


def _of_record(record: Mapping[str, Any], source: str) -> Iterator[Paper]:
    if isinstance(passages := record.get("ctxs"), list):
        # An answer of ScholarQABench: each of its passages is a paper.
        for each in passages:
            if isinstance(each, dict) and isinstance(each.get("text"), str) and each["text"].strip():
                yield from _of_record({**each, "id": each.get("paper_id") or _text_id(each["text"])}, source)
        return
    described = record.get("metadata")
    entries = {**described, **record} if isinstance(described, dict) else record
    names = entries.get("externalIds") or entries.get("externalids") or entries.get("external_ids") or {}
    doi = _doi(entries.get("doi") or (_entry(names, "DOI", "doi") if isinstance(names, dict) else None))
    paper = _entry(entries, "corpusId", "corpusid", "corpus_id", "id", "paperId") or doi
    if paper is None:
        raise _NoPaperError("the record has neither an id nor a DOI")
    text = next((entries[name] for name in ("text", "abstract") if isinstance(entries.get(name), str)), "")
    if len(text) > MOST_CHARACTERS:
        raise _NoPaperError(f"the text has more than {MOST_CHARACTERS:,} characters")
    title = entries["title"] if isinstance(entries.get("title"), str) else _first_line(text)
    yield Paper(
        paper=_sound(str(paper))[:200],
        title=_title(title),
        text=_sound(text.strip()),
        source=source,
        year=_number(entries, "year", low=1000, high=2200),
        citations=_number(entries, "citationCount", "citationcount", "citation_counts", "citations", low=0, high=10**9),
        authors=tuple(_authors(entries.get("authors"))),
        doi=doi,
        url=_entry(entries, "url"),
        licence=_licence(entries),
        retracted=_is_retracted(entries, title),
    )


def _is_retracted(entries: Mapping[str, Any], title: str | None) -> bool:
    """Whether a record says that its paper is retracted, as Semantic Scholar, OpenAlex and Crossref each write it."""
    if any(entries.get(name) is True for name in ("isRetracted", "is_retracted", "retracted")):
        return True
    types = entries.get("publicationTypes") or entries.get("publicationtypes") or ()
    if isinstance(types, list) and any(str(kind).lower() in RETRACTED_TYPES for kind in types):
        return True
    updates = entries.get("updated-by") or ()
    if isinstance(updates, list) and any(
        isinstance(each, dict) and str(each.get("type")).lower() in ("retraction", "withdrawal") for each in updates
    ):
        return True
    return bool(RETRACTION.match(title or ""))


def _entry(entries: Mapping[str, Any], *names: str) -> str | None:
    for name in names:
        value = entries.get(name)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip():
            return _sound(str(value).strip())[:1000]
    return None


def _number(entries: Mapping[str, Any], *names: str, low: int, high: int) -> int | None:
    for name in names:
        value = entries.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
    return None


def _authors(value: Any) -> Iterable[str]:
    for each in value[:200] if isinstance(value, list) else ():
        name = each.get("name") if isinstance(each, dict) else each
        if isinstance(name, str) and name.strip():
            yield _sound(name.strip())[:200]


def _licence(entries: Mapping[str, Any]) -> str | None:
    access = entries.get("openAccessPdf") or entries.get("openaccessinfo")
    inside = _entry(access, "license", "licence") if isinstance(access, dict) else None
    return _entry(entries, "license", "licence") or inside


def _doi(value: Any) -> str | None:
    found = DOI.search(value) if isinstance(value, str) else None
    return found.group().lower()[:500] if found else None


def _title(title: str | None) -> str | None:
    line = " ".join(_sound(title or "").split())[:LONGEST_TITLE]
    return line or None


def _sound(text: str) -> str:
    """Return a text without half surrogate pairs and NUL, which tables cannot hold."""
    return text.encode("utf-8", "replace").decode().replace("\x00", " ")


def _text_id(text: str) -> str:
    return f"text:{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:16]}"


def source_digests(places: Sequence[str]) -> dict[str, str]:
    """Return the digest of every file that `read_papers` would read, by its name; they decide the rows.

    Raises:
        WatershedError: two files have one name, so that their rows could not be distinguished.
    """
    found: dict[str, str] = {}
    for file in input_files(places, KINDS) if places else ():
        digest = _digest(file.path, file.bytes, file.path.stat().st_mtime_ns)
        if found.setdefault(file.path.name, digest) != digest:
            raise WatershedError(f"two files of [scholar] papers are called {file.path.name}", "rename one of them")
    return found


WHOLE_BYTES, PIECE_BYTES, PIECES = 64 << 20, 1 << 20, 64


@lru_cache(maxsize=100_000)
def _digest(path: Path, size: int, changed: int) -> str:
    """Return the SHA-256 of a file, or of its size and of evenly spaced pieces if it is large.

    It is asked for whenever it is seen what is due, and a corpus has hundreds of gigabytes.
    """
    del changed
    if size <= WHOLE_BYTES:
        return sha256_of(path)
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for number in range(PIECES):
            file.seek((size - PIECE_BYTES) * number // (PIECES - 1))
            digest.update(file.read(PIECE_BYTES))
    return digest.hexdigest()


def paper_tables(places: Sequence[str], withdrawn: Sequence[tuple[str, str]] = ()) -> tuple[pa.Table, pa.Table]:
    """Return the rows of `scholar.papers` and `scholar.rejected`.

    Args:
        places: files, folders and patterns.
        withdrawn: papers and how each was withdrawn: forgotten ones are left out, retracted ones marked.
    """
    import pyarrow as pa

    papers, rejected = read_papers(places)
    forgotten = {paper for paper, kind in withdrawn if kind == "forgotten"}
    retracted = {paper for paper, kind in withdrawn if kind == "retracted"}
    rows = [
        {**paper.row(), "retracted": paper.retracted or paper.paper in retracted}
        for paper in papers
        if paper.paper not in forgotten
    ]
    lines = [{"source": each.source, "place": each.place, "reason": each.reason} for each in rejected]
    return pa.Table.from_pylist(rows, schema=PAPERS.schema), pa.Table.from_pylist(lines, schema=REJECTED.schema)
