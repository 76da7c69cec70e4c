"""Documents between two methods of deduplication, and the rows that the methods write about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spark_jobs.compute import pc
from spark_jobs.curate.parts import KEPT

DUPLICATES = pa.schema(
    [
        ("id", pa.string()),
        ("method", pa.string()),
        ("kept", pa.bool_()),
        ("kept_id", pa.string()),
        ("kept_run", pa.string()),
        ("cluster_id", pa.string()),
        ("cluster_size", pa.int64()),
        ("similarity", pa.float64()),
        ("removed_bytes", pa.int64()),
        ("reason", pa.string()),
    ]
)
"""A row for each document of this run that is a member of a cluster of copies or lost text, by each method.

`kept_id` is the copy that is kept; null if none is, and where methods compare parts of texts. `kept_run` is the
earlier run that holds it, as it was given to `--against`; null if it is of this run. `cluster_size` counts the
documents of this run, and the kept copy. `similarity` is that of the texts of both, where a method compares texts."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Documents between two methods: files of KEPT rows, and the ids that are dropped from them."""

    files: tuple[Path, ...]
    dropped: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    """Ids."""

    def batches(self, columns: Sequence[str] = KEPT.names) -> Iterator[pa.RecordBatch]:
        """The remaining documents, in the order of the inputs."""
        wanted = list(dict.fromkeys(["id", *columns]))
        for path in self.files:
            with pq.ParquetFile(path) as file:
                left, start = self._left(file), 0
                for batch in file.iter_batches(8_192, columns=wanted):
                    rows = batch.filter(left[start : start + batch.num_rows]) if left is not None else batch
                    start += batch.num_rows
                    if rows.num_rows:
                        yield rows.select(list(columns))

    def _left(self, file: pq.ParquetFile) -> pa.Array | None:
        """Which rows of a file are left; None if all are."""
        if not len(self.dropped):
            return None
        # Once for a file: Arrow hashes all the ids that are dropped at each call.
        return pc.invert(pc.is_in(file.read(columns=["id"])["id"], value_set=self.dropped)).combine_chunks()

    def less(self, ids: pa.ChunkedArray) -> Stage:
        """The stage without some documents."""
        return dataclasses.replace(self, dropped=pa.concat_arrays([self.dropped, *ids.chunks]))

    def without(self, rows: pa.Table) -> Stage:
        """The stage without the documents that these rows of DUPLICATES drop."""
        return self.less(rows.filter(pc.invert(rows["kept"]))["id"])


Found = tuple[pa.Table, Stage]
"""Rows of DUPLICATES, and the documents with the text that the method left of them."""


def duplicate_rows(rows: int, by: str, **columns: pa.Array) -> pa.Table:
    """Rows of DUPLICATES by one method, unless it is given as a column; columns that are not given are null."""
    given = {"method": pa.array([by] * rows, pa.string())} | columns
    arrays = [given.get(name, pa.nulls(rows, DUPLICATES.field(name).type)) for name in DUPLICATES.names]
    return pa.table(arrays, names=DUPLICATES.names).cast(DUPLICATES)


def write_parquet(path: Path, schema: pa.Schema, batches: Any) -> None:
    """Write an intermediate file."""
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1) as file:
        for batch in batches:
            file.write_batch(batch)
