"""Which documents a shard holds: a range of their 64-bit keys, as bins of equal width that are counted first."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from spark_jobs.compute import pc

SPLITS = ("train", "heldout")
BIN_DIGITS = 5
"""Hex digits of a key that give its bin: 16^5 bins are counted, and a shard is a run of bins."""
PLAN_SCHEMA = pa.schema([("split", pa.string()), ("bin", pa.int64()), ("shard", pa.int64())])


def plan_shards(sizes: pa.Table, shard_bytes: float) -> pa.Table:
    """Group bins into shards of nearly equal size: a row (split, bin, shard) for every bin that is not empty.

    The bin that fills a shard is its last. A last shard that is less than half full is merged into the one before.

    Args:
        sizes: `split`, `bin`, `bytes` of text.
        shard_bytes: the target size.
    """
    parts = []
    for split in SPLITS:
        bins = sizes.filter(pc.field("split") == split).sort_by("bin")
        held = bins["bytes"].to_numpy()
        fill = held.sum() / max(1, round(held.sum() / shard_bytes))
        shards, shard, filled = np.zeros(len(held), dtype=np.int64), 0, 0
        for place, size in enumerate(held.tolist()):
            if filled >= fill:
                shard, filled = shard + 1, 0
            shards[place], filled = shard, filled + size
        if shard and filled < fill / 2:
            shards[shards == shard] = shard - 1
        parts.append(pa.table([pa.array([split] * len(held), pa.string()), bins["bin"], shards], schema=PLAN_SCHEMA))
    return pa.concat_tables(parts)
