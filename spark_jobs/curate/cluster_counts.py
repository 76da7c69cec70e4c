"""What copies a run found, in numbers: clusters by size, the largest ones, and what each input lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spark_jobs.compute import pc

LARGEST = 10
"""Clusters that are shown one by one."""
SIZES = ((2, 2), (3, 5), (6, 10), (11, 100), (101, 1_000), (1_001, None))
"""First and last size of the clusters that are counted together."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster of copies."""

    kept_id: str | None
    """None if no copy is kept."""
    kept_run: str | None
    """The earlier run that holds the kept copy; None if it is of this run."""
    cluster_id: str
    size: int
    least_similarity: float | None
    """Of a dropped document and the kept copy; None if the method does not compare texts, or no copy is kept."""


@dataclass(frozen=True, kw_only=True)
class ClusterCounts:
    """The clusters that a method found."""

    method: str
    clusters: int
    documents: int
    """Of this run, in clusters."""
    sizes: tuple[tuple[str, int], ...]
    """A range of sizes, and the number of clusters in it; without empty ranges."""
    largest: tuple[Cluster, ...]


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What an input lost to deduplication."""

    documents: int
    """That the rules keep."""
    dropped: int

    @property
    def most(self) -> bool:
        """Whether more than half of the documents are dropped."""
        return 2 * self.dropped > self.documents


def cluster_counts(method: str, rows: pa.Table) -> ClusterCounts:
    """Count the clusters in rows of DUPLICATES."""
    found = rows.group_by("cluster_id", use_threads=False).aggregate(
        [("kept_id", "first"), ("kept_run", "first"), ("cluster_size", "first"), ("similarity", "min")]
    )
    found = found.sort_by([("cluster_size_first", "descending"), ("cluster_id", "ascending")])
    sizes = found["cluster_size_first"].to_numpy()
    counts = []
    for low, high in SIZES:
        count = int(((sizes >= low) & (sizes <= (high or sizes.max(initial=0)))).sum())
        if count:
            shown = f"{low:,}" if high == low else f"{low:,} to {high:,}" if high else f"{low:,} or more"
            counts.append((shown, count))
    return ClusterCounts(
        method=method,
        clusters=len(found),
        documents=len(rows),
        sizes=tuple(counts),
        largest=tuple(
            Cluster(
                kept_id=row["kept_id_first"],
                kept_run=row["kept_run_first"],
                cluster_id=row["cluster_id"],
                size=row["cluster_size_first"],
                least_similarity=row["similarity_min"],
            )
            for row in found[:LARGEST].to_pylist()
        ),
    )


def losses(parts: Sequence[Path], rows: pa.Table) -> tuple[Loss, ...]:
    """Count the documents of each part that rows of DUPLICATES drop.

    Args:
        parts: files of KEPT rows.
        rows: rows of DUPLICATES of all methods.
    """
    gone = pc.unique(rows.filter(pc.invert(rows["kept"]))["id"])
    tables = [pq.read_table(part, columns=["id"])["id"] for part in parts]
    ids = pa.chunked_array([chunk for table in tables for chunk in table.chunks], pa.string())
    dropped = np.concatenate([[0], np.cumsum(pc.is_in(ids, gone).to_numpy())])
    ends = np.cumsum([0, *map(len, tables)])
    return tuple(
        Loss(documents=int(stop - start), dropped=int(dropped[stop] - dropped[start])) for start, stop in pairwise(ends)
    )
