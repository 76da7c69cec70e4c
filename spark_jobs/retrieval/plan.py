"""What a datastore of many papers needs, computed from what one was measured to need per passage. Nothing is built.

Bytes grow with the number of passages. Segments of the index have a bounded size, so that build time does so too. A
query searches every segment; in a segment the number of inverted lists grows with the root of its vectors, and with it
the vectors that are compared.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

PASSAGES_PER_PAPER = 236e6 / 45e6
"""OpenScholar's datastore: 236M passages of 45M papers (arXiv 2411.14199, section 2.1)."""
SEGMENT = 8_000_000
DAY = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured, per passage unless it says otherwise."""

    source: str
    """Where the numbers come from."""
    passages: int
    """Passages of the index that was measured."""
    words: int
    """Words of such a passage. Text, words' index and embedding grow with them."""
    dimensions: int
    text_bytes: float
    """Text in UTF-8."""
    code_bytes: float
    """Codes and ids beside the vectors."""
    word_bytes: float
    """The index of words with the stored passages."""
    embed_seconds: float
    vector_seconds: float
    """Building the index of vectors, without embedding."""
    word_seconds: float
    query_ms: float
    """One query of the index of vectors, alone on the machine."""


RECORDED = Measured(
    source="benchmarks.retrieval: 100,000 passages of 100 words, wordllama, two cores shared with other work",
    passages=100_000,
    words=100,
    dimensions=256,
    text_bytes=759.7,
    code_bytes=74.6,
    word_bytes=500.0,
    embed_seconds=0.001386,
    vector_seconds=0.000499,
    word_seconds=0.00024,
    query_ms=5.16,
)
"""What is used where a lake has no index of its own."""


@dataclass(frozen=True, kw_only=True)
class DatastorePlan:
    """What a datastore needs. Bytes, seconds and milliseconds are of one machine like the measured one."""

    papers: int
    passages: int
    text_bytes: int
    vector_bytes: int
    code_bytes: int
    word_bytes: int
    segments: int
    embed_seconds: float
    vector_seconds: float
    word_seconds: float
    query_ms: float
    memory_bytes: int
    """Codes, which every query reads: they should fit in memory. Vectors and text may stay on the disk."""
    engine: str
    """What serves it."""
    measured: Measured
    notes: tuple[str, ...] = field(default=())

    @property
    def disk_bytes(self) -> int:
        """All files."""
        return self.text_bytes + self.vector_bytes + self.code_bytes + self.word_bytes

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {**asdict(self), "disk_bytes": self.disk_bytes}


def planned(
    papers: int,
    measured: Measured,
    *,
    memory_bytes: int,
    disk_bytes: int,
    words: int = 250,
    passages_per_paper: float = PASSAGES_PER_PAPER,
) -> DatastorePlan:
    """Return what so many papers need.

    Args:
        papers: number of papers.
        measured: what an index of the same kind of text was measured to need.
        memory_bytes: memory of a machine.
        disk_bytes: free disk of a machine.
        words: words of a passage.
        passages_per_paper: passages of a paper.
    """
    longer = words / measured.words
    passages = math.ceil(papers * passages_per_paper)
    segments = max(math.ceil(passages / SEGMENT), 1)
    code_bytes = round(passages * measured.code_bytes)
    vector_bytes = passages * measured.dimensions * 2
    text_bytes, word_bytes = (round(passages * longer * each) for each in (measured.text_bytes, measured.word_bytes))
    in_segment = passages / segments
    query_ms = measured.query_ms * segments * math.sqrt(max(in_segment / measured.passages, 1e-9))
    disk = text_bytes + vector_bytes + code_bytes + word_bytes
    fits = code_bytes <= 0.8 * memory_bytes and disk <= 0.9 * disk_bytes
    engine = (
        f"this index, {segments:,} segment{'s' if segments > 1 else ''} on one machine"
        if fits
        else "LanceDB on object storage (IVF codes re-ranked from stored vectors too, built in parts), then Milvus "
        "or Vespa where many users ask at a time"
    )
    return DatastorePlan(
        papers=papers,
        passages=passages,
        text_bytes=text_bytes,
        vector_bytes=vector_bytes,
        code_bytes=code_bytes,
        word_bytes=word_bytes,
        segments=segments,
        embed_seconds=passages * longer * measured.embed_seconds,
        vector_seconds=passages * measured.vector_seconds,
        word_seconds=passages * longer * measured.word_seconds,
        query_ms=query_ms,
        memory_bytes=code_bytes,
        engine=engine,
        measured=measured,
        notes=()
        if fits
        else (
            f"this machine has {memory_bytes / 1e9:,.0f} GB of memory for {code_bytes / 1e9:,.0f} GB of codes, and "
            f"{disk_bytes / 1e9:,.0f} GB of free disk for {disk / 1e9:,.0f} GB of files",
        ),
    )
