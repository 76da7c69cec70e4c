"""The result of a mixture by bucket: the repeats that the recipe requests and those that a pass reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from spark_jobs.selection.quantiles import ALL

Tally = Sequence[dict[str, Any]]
"""By topic, place of the bucket and split: documents and bytes of the pool, good enough, and taken; bytes read."""


def split_counts(tally: Tally) -> dict[str, int]:
    """Documents, their bytes, and the bytes that a pass reads, by split."""
    counts = dict.fromkeys(
        (f"{split}_{what}" for split in ("train", "heldout") for what in ("documents", "bytes", "read_bytes")), 0
    )
    for row in tally:
        counts[f"{row['split']}_documents"] += row["taken_documents"]
        counts[f"{row['split']}_bytes"] += row["taken_bytes"]
        counts[f"{row['split']}_read_bytes"] += row["read_bytes"]
    return counts


def bucket_rows(
    tally: Tally, boundaries: Sequence[Fraction], times: Callable[[Fraction, str | None], Fraction]
) -> list[dict[str, Any]]:
    """Rows of dclm.mixture_buckets, in the order of topics and quantiles.

    Args:
        boundaries: quantiles at which buckets begin, by place.
        times: how often the recipe reads a kept document of a bucket and topic.
    """
    rows: list[dict[str, Any]] = []
    for topic, place in sorted({(row["topic"] or ALL, row["place"]) for row in tally}):
        own = [row for row in tally if (row["topic"] or ALL, row["place"]) == (topic, place)]
        train = [row for row in own if row["split"] == "train"]
        asked = float(times(boundaries[place], topic))
        good, read = _sum(train, "good_bytes"), _sum(train, "read_bytes")
        rows.append(
            {
                "topic": topic,
                "from_quantile": float(boundaries[place]),
                "to_quantile": float([*boundaries, Fraction(1)][place + 1]),
                "documents": _sum(own, "pool_documents"),
                "bytes": _sum(own, "pool_bytes"),
                "good_documents": _sum(own, "good_documents"),
                "trained_documents": _sum(train, "taken_documents"),
                "read_bytes": read,
                "requested_repeats": asked,
                "effective_repeats": read / good if good else 0.0,
                "requested_share": asked * good,
                "effective_share": float(read),
            }
        )
    for share in ("requested_share", "effective_share"):
        whole = sum(float(row[share]) for row in rows)
        for row in rows:
            row[share] = row[share] / whole if whole else 0.0
    return rows


def _sum(rows: Tally, name: str) -> int:
    return sum(row[name] for row in rows)
