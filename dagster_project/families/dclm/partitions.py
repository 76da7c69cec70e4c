"""The partitions of the pool: the (global, local) shards that hold archives, of 10 x 10, as DCLM released its pool."""

from __future__ import annotations

import dagster as dg

from dagster_project.engine.partitions import Cut, Partition


def _shard_columns(key: str) -> Partition:
    global_shard, local_shard = key.split("-")
    return {"global_shard": int(global_shard), "local_shard": int(local_shard)}


POOL_SHARDS = Cut(
    dg.DynamicPartitionsDefinition(name="pool_shards"),
    _shard_columns,
    lambda columns: f"{columns['global_shard']}-{columns['local_shard']}",
)
