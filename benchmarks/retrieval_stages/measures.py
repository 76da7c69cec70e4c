"""How an index of vectors is measured: recall, queries a second in batches, and the time of single queries."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Search = Callable[[np.ndarray], np.ndarray]
"""Positions (queries, 10) of the nearest vectors."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table."""

    name: str
    build_seconds: float
    bytes_a_vector: float
    """Without the table of vectors in half precision, which all read or hold in their own way."""
    recall: float
    batch_qps: float
    single_qps: float
    p50_ms: float
    p99_ms: float


def measured(
    name: str, search: Search, queries: np.ndarray, true: np.ndarray, *, build_seconds: float, bytes_a_vector: float
) -> Row:
    """Measure a search, after one that warms it up."""
    search(queries[:32])
    began = time.perf_counter()
    found = search(queries)
    batch = time.perf_counter() - began
    times = []
    for query in queries[:500]:
        began = time.perf_counter()
        search(query[None])
        times.append(time.perf_counter() - began)
    hits = (true[:, :, None] == found[:, None, :]).any(axis=2) & (true >= 0)
    return Row(
        name=name,
        build_seconds=build_seconds,
        bytes_a_vector=bytes_a_vector,
        recall=float(hits.sum() / (true >= 0).sum()),
        batch_qps=len(queries) / batch,
        single_qps=len(times) / sum(times),
        p50_ms=float(np.percentile(times, 50) * 1000),
        p99_ms=float(np.percentile(times, 99) * 1000),
    )


def as_table(rows: list[Row]) -> str:
    """Return the lines as a table of Markdown."""
    head = "| index | build s | bytes a vector | recall@10 | queries/s in batches | queries/s alone | p50 ms | p99 ms |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        values = (
            f"{row.build_seconds:,.1f}",
            f"{row.bytes_a_vector:,.0f}",
            f"{row.recall:.4f}",
            f"{row.batch_qps:,.0f}",
        )
        times = (f"{row.single_qps:,.0f}", f"{row.p50_ms:.2f}", f"{row.p99_ms:.2f}")
        lines.append(f"| {' | '.join((row.name, *values, *times))} |")
    return "\n".join(lines)
