"""The documents of a shard of an index: a Parquet file in the order of id, whose columns are read when needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from catalog.errors import WatershedError
from spark_jobs.compute import pc
from spark_jobs.dedup.clusters import Signed
from spark_jobs.dedup.kept_copies import Ranked

if TYPE_CHECKING:
    from spark_jobs.kernels.near_copies import Marks

ROW_GROUP = 1 << 15
"""Documents whose signatures are read at once: 16 MiB of 128 values each."""


class Shard:
    """The documents of a shard, in the order of id."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        self.documents = _metadata(path).num_rows

    def small(self, columns: list[str]) -> pa.Table:
        """Some columns of the shard's documents, in their order."""
        return read_table(self._path, columns)

    def ids(self) -> pa.ChunkedArray:
        """The ids of the shard's documents, in their order."""
        return self.small(["id"])["id"]

    def keys(self) -> npt.NDArray[np.int64]:
        """(documents, bands)."""
        column = self.small(["keys"])["keys"].combine_chunks()
        return column.flatten().to_numpy().reshape(self.documents, column.type.list_size)

    def signed(self) -> npt.NDArray[np.bool_]:
        """Whether each document has a signature; without one it has no bands."""
        return self.small(["print"])["print"].to_numpy() != 0

    def signatures(self, wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
        """Signatures of the wanted documents, (wanted, values), read one row group at a time."""
        file = pq.ParquetFile(self._path)
        found, start = [], 0
        for group in range(file.metadata.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            rows = np.flatnonzero(wanted[start : start + size])
            if len(rows):
                column = file.read_row_group(group, ["minhash"])["minhash"].combine_chunks()
                found.append(np.frombuffer(b"".join(column.take(pa.array(rows)).to_pylist()), np.uint32))
            start += size
        return np.concatenate(found) if found else np.zeros(0, np.uint32)


def grouped_signatures(ranked: Ranked, shards: list[Shard]) -> tuple[Marks, npt.NDArray[np.int64]]:
    """The signatures of the documents of groups, and the index of each document in them."""
    from spark_jobs.kernels.near_copies import Marks

    names, rows = np.array(ranked.table["shard"].to_pylist(), object), ranked.table["row"].to_numpy()
    signed = ranked.table["print"].to_numpy() != 0
    places = np.zeros(len(ranked), np.int64)
    values, widths, start = [np.zeros(0, np.uint32)], [], 0
    for shard in shards:
        own = np.flatnonzero(names == shard.name)
        own = own[np.argsort(rows[own])]
        places[own] = start + np.arange(len(own))
        start += len(own)
        wanted = np.zeros(shard.documents, np.bool_)
        wanted[rows[own][signed[own]]] = True
        found = shard.signatures(wanted)
        values.append(found)
        widths.append(signed[own] * (len(found) // max(int(wanted.sum()), 1)))
    bounds = np.concatenate([[0], *widths]).cumsum().astype(np.int64)
    return Marks(np.concatenate(values), bounds), places


def write_shard(signed: Signed, path: Path) -> None:
    """Write the documents in the order of id, one row group at a time."""
    table = signed.table().drop_columns(["run"])
    order = pc.array_sort_indices(table["doc_id"].combine_chunks()).to_numpy()
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("text_hash", pa.int64()),
            ("text_bytes", pa.int64()),
            ("print", pa.int64()),
            ("keys", pa.list_(pa.int64(), signed.bands)),
            ("minhash", pa.binary(4 * signed.options.permutations)),
        ]
    )
    # Signatures and keys are random bits, which do not compress.
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for start in range(0, len(order), ROW_GROUP):
            rows = order[start : start + ROW_GROUP]
            some = table.take(pa.array(rows))
            keys = pa.FixedSizeListArray.from_arrays(pa.array(signed.keys()[rows].ravel()), signed.bands)
            values = signed.signatures(rows)
            minhash = pa.Array.from_buffers(schema.field("minhash").type, len(rows), [None, pa.py_buffer(values)])
            writer.write_table(pa.table([*some.columns, keys, minhash], schema=schema))


def _metadata(path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise WatershedError(f"{path} cannot be read: {error}", "add its shard again") from error


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read columns of a Parquet file of the index, or all of them.

    Raises:
        WatershedError: the file is missing or damaged.
    """
    try:
        return pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise WatershedError(f"{path} cannot be read: {error}", "add its shard again") from error
