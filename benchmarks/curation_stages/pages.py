"""The documents that both sides get: pages of a crawl, as payloads, as texts, and as an archive of their own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog.errors import WatershedError

SEED = 20_250_115
"""Of planted copies and of made-up documents."""
CHANGES = (0.002, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.05, 0.1)
"""Shares of words that a planted copy has changed: of 0.022 the five-word shingles are 0.8 alike."""


@dataclass(frozen=True)
class Pages:
    """Some pages of a crawl, in its order."""

    payloads: list[bytes]
    """HTML as served."""
    texts: list[str]
    """What `spark_jobs.archives.extract` takes from them; pages without text are left out of both."""
    archive: Path
    """A WARC file of these records, and of the records between them that are not pages."""
    scratch: Path
    """A folder for files that a stage passes to a peer."""

    @cached_property
    def text_array(self) -> pa.Array:
        """The texts as Arrow strings."""
        return pa.array(self.texts, pa.string())

    @cached_property
    def text_bytes(self) -> int:
        """UTF-8 bytes of all texts."""
        return sum(len(text.encode()) for text in self.texts)

    @cached_property
    def payload_bytes(self) -> int:
        """Bytes of all payloads."""
        return sum(map(len, self.payloads))

    def pool_row(self) -> dict[str, Any]:
        """The archive as `spark_jobs.dclm.documents` wants it: a row of dclm.pool."""
        return {
            "warc": self.archive.name,
            "uri": str(self.archive),
            "bytes": self.archive.stat().st_size,
            "global_shard": 0,
            "local_shard": 0,
            "state": "ready",
        }


def read_pages(corpus: Path, wanted: int, scratch: Path) -> Pages:
    """The first `wanted` pages of a crawl that have text.

    Args:
        corpus: folder of WARC files gzipped by record, taken by name.
        wanted: number of pages; a smaller crawl gives all of its pages.
        scratch: folder for the archive of these pages.

    Raises:
        WatershedError: the folder has no archive with a page.
    """
    from spark_jobs.archives.extract import extract
    from spark_jobs.archives.records import read_records

    archives = sorted(corpus.rglob("*.warc.gz"))
    payloads: list[bytes] = []
    texts: list[str] = []
    archive = scratch / "pages.warc.gz"
    with archive.open("wb") as file:
        for path in archives:
            end: int | None = None
            for record in read_records(str(path)):
                if len(texts) == wanted:
                    end = record.offset
                    break
                if record.payload is None:
                    continue
                page = extract(record.payload, record.content_type, record.charset)
                if page.text is not None:
                    payloads.append(record.payload)
                    texts.append(page.text)
            file.write(path.read_bytes()[:end])
            if end is not None or len(texts) == wanted:
                break
    if not texts:
        raise WatershedError(f"{corpus}: no page with text in any *.warc.gz", "name a folder of archives of a crawl")
    return Pages(payloads, texts, archive, scratch)


def changed(text: str, share: float, draw: random.Random) -> str:
    """`text` with about `share` of its words replaced by made-up ones: a near copy."""
    lines = text.split("\n")
    for place, line in enumerate(lines):
        words = line.split(" ")
        changes = share * len(words)
        count = int(changes) + (draw.random() < changes % 1)
        for _ in range(count):
            words[draw.randrange(len(words))] = f"w{draw.getrandbits(40):x}"
        if count:
            lines[place] = " ".join(words)
    return "\n".join(lines)


def with_near_copies(texts: list[str]) -> list[str]:
    """The texts, and a near copy of each, from nearly equal to very different."""
    draw = random.Random(SEED)
    return texts + [changed(text, draw.choice(CHANGES), draw) for text in texts]


def made_documents(texts: list[str], count: int, most_characters: int = 3_000) -> Iterator[str]:
    """`count` different documents: real ones, cut to `most_characters`, a twentieth of the words of each changed."""
    draw = random.Random(SEED)
    for number in range(count):
        text = texts[number % len(texts)]
        start = draw.randrange(max(1, len(text) - most_characters))
        yield changed(text[start : start + most_characters], 0.05, draw)


def batches(texts: Iterator[str], rows: int = 4_096) -> Iterator[pa.Array]:
    """Arrow arrays of `rows` texts; the last may have fewer."""
    held: list[str] = []
    for text in texts:
        held.append(text)
        if len(held) == rows:
            yield pa.array(held, pa.string())
            held = []
    if held:
        yield pa.array(held, pa.string())
