"""Documents that earlier runs kept, which a run is compared `--against`.

A results folder holds the texts of kept documents (kept.parquet) and their hashes and signatures (index.parquet). An
index.parquet on its own serves methods that compare no texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from catalog.errors import WatershedError
from spark_jobs.compute import pc
from spark_jobs.curate.parts import KEPT

INDEX = pa.schema([KEPT.field(name) for name in ("id", "url", "text_hash", "text_bytes", "minhash")])
"""Columns of index.parquet."""
_TEXTS = pa.schema([KEPT.field(name) for name in ("id", "text")])
BATCH_ROWS = 8_192


@dataclass(frozen=True, kw_only=True)
class EarlierRun:
    """The documents that a run kept. They are read again each time."""

    name: str
    """The folder or file, as it was given."""
    index: Path
    texts: Path | None
    """Where texts are stored; None for an index on its own."""
    kept: npt.NDArray[np.bool_] | None
    """Which rows of the index the run kept; None if all. Earlier versions also listed the copies that were dropped."""

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Columns of INDEX, or `id` and `text`, of the documents, in the order of the run."""
        if "text" in columns and self.texts is not None:
            yield from _read(self.texts, columns)
            return
        start = 0
        for batch in _read(self.index, columns):
            rows = slice(start, start + batch.num_rows)
            yield batch if self.kept is None else batch.filter(pa.array(self.kept[rows]))
            start += batch.num_rows


def earlier_runs(against: Sequence[Path], *, texts: bool) -> list[EarlierRun]:
    """The runs whose results folders, or index.parquet files, are given.

    Args:
        against: the paths.
        texts: whether texts are needed.

    Raises:
        WatershedError: a path is neither, its index and its texts are of different runs, or it lacks texts.
    """
    runs = [_earlier(place) for place in dict.fromkeys(against)]
    for run in runs:
        if texts and run.texts is None:
            raise WatershedError(
                f"{run.name}: an index on its own holds no texts, and the recipe compares them",
                "give the --out folder of the earlier run, or set `verify: signature` in the recipe",
            )
    return runs


def _earlier(place: Path) -> EarlierRun:
    index = place / "index.parquet" if place.is_dir() else place
    texts = index.parent / "kept.parquet" if index.name == "index.parquet" else None
    try:
        _check(index, INDEX)
        ids = pq.read_table(index, columns=["id"])["id"].combine_chunks()
        if texts is None or not texts.is_file():
            return EarlierRun(name=str(place), index=index, texts=None, kept=None)
        _check(texts, _TEXTS)
        kept = pq.read_table(texts, columns=["id"])["id"].combine_chunks()
    except (OSError, pa.ArrowException) as error:
        raise WatershedError(
            f"{place}: not an index ({str(error).splitlines()[0]})",
            "give the --out folder of an earlier run, or its index.parquet",
        ) from error
    listed = pc.is_in(ids, kept)
    if not ids.filter(listed).equals(kept):
        raise WatershedError(
            f"{place}: kept.parquet and index.parquet are of different runs", "make the earlier run again"
        )
    rows = None if len(kept) == len(ids) else listed.to_numpy(zero_copy_only=False)
    return EarlierRun(name=str(place), index=index, texts=texts, kept=rows)


def _check(path: Path, wanted: pa.Schema) -> None:
    """Raise ArrowInvalid if a file lacks columns, or has them with other types."""
    schema = pq.read_schema(path)
    for field in wanted:
        if field.name not in schema.names:
            raise pa.ArrowInvalid(f"no column {field.name!r}")
        if schema.field(field.name).type != field.type:
            raise pa.ArrowInvalid(f"column {field.name!r} is {schema.field(field.name).type}, not {field.type}")


def _read(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    schema = pa.schema([KEPT.field(name) for name in columns])
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=schema.names):
                if "minhash" in columns:
                    _check_signatures(batch["minhash"])
                yield batch.select(schema.names).cast(schema)
    except (OSError, pa.ArrowException) as error:
        raise WatershedError(
            f"{path}: damaged ({str(error).splitlines()[0]})", "make the earlier run again, or leave it out"
        ) from error


def _check_signatures(signatures: pa.Array) -> None:
    from spark_jobs.kernels.minhash import PERMUTATIONS

    lengths = pc.unique(pc.binary_length(signatures.drop_null())).to_pylist()
    if lengths and lengths != [4 * PERMUTATIONS]:
        raise pa.ArrowInvalid(f"signatures of {lengths[0]} bytes where {4 * PERMUTATIONS} are expected")
