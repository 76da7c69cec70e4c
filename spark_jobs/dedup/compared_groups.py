"""What was found in groups of documents that were compared before, so that they are not compared again.

What is found in a group depends on its documents only (`kept_copies`). A group is known by a hash of the ids, text
hashes, lengths and signatures of all its documents; documents that differ in one of these have another hash.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_jobs.compute import pc
from spark_jobs.dedup.kept_copies import MEMBERS, Ranked

KEY = pa.binary(16)
FOUND = pa.schema([("key", KEY), *(field.with_nullable(True) for field in MEMBERS)])
"""A row without a `doc_id` for each group that was compared, and a row for each member of a cluster in it."""


def group_keys(ranked: Ranked) -> pa.Array:
    """A hash of each group, of 128 bits."""
    from spark_jobs.kernels.text_hash import text_hash

    if not len(ranked):
        return pa.array([], KEY)
    # Chunk by chunk: the ids may exceed what one Arrow array holds.
    ids = np.concatenate([text_hash(chunk).to_numpy() for chunk in ranked.table["doc_id"].chunks])
    mixed = _mix(ids.view(np.uint64))
    for name in ("text_hash", "text_bytes", "print"):
        mixed = _mix(mixed ^ ranked.table[name].to_numpy().view(np.uint64))
    halves = [np.add.reduceat(half, ranked.starts[:-1]) for half in (mixed, _mix(mixed + np.uint64(1)))]
    keys = np.ascontiguousarray(np.stack(halves, axis=1))
    return pa.Array.from_buffers(KEY, len(keys), [None, pa.py_buffer(keys)])


def split(ranked: Ranked, found: pa.Table) -> tuple[Ranked, pa.Table]:
    """The groups that were not compared before, and the rows of MEMBERS of those that were."""
    keys = group_keys(ranked)
    known = pc.is_in(keys, pc.unique(found["key"])).to_numpy(zero_copy_only=False)
    unknown = np.repeat(~known, np.diff(ranked.starts))
    rows = found.filter(pc.and_(pc.is_valid(found["doc_id"]), pc.is_in(found["key"], keys)))
    return Ranked.of(ranked.table.filter(pa.array(unknown))), rows.select(MEMBERS.names).cast(MEMBERS)


def to_remember(ranked: Ranked, rows: pa.Table) -> pa.Table:
    """Rows of FOUND of all groups, of which `rows` are the members of clusters."""
    keys = group_keys(ranked)
    group = np.repeat(np.arange(len(keys)), np.diff(ranked.starts))
    positions = pc.index_in(rows["doc_id"], ranked.table["doc_id"].combine_chunks()).to_numpy()
    members = rows.add_column(0, "key", keys.take(pa.array(group[positions]))).cast(FOUND)
    nulls = [pa.nulls(len(keys), field.type) for field in MEMBERS]
    return pa.concat_tables([pa.table([keys, *nulls], schema=FOUND), members])


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)
