"""The partitions of the pool: 10 global shards of 10 local shards each, as DCLM released it."""

from __future__ import annotations

import dagster as dg

from catalog.tables.dclm import SHARDS
from dagster_project.engine.partitions import Cut, Partition


def _shard_columns(key: str) -> Partition:
    global_shard, local_shard = key.split("-")
    return {"global_shard": int(global_shard), "local_shard": int(local_shard)}


POOL_SHARDS = Cut(
    dg.StaticPartitionsDefinition([f"{g}-{local}" for g in range(SHARDS) for local in range(SHARDS)]),
    _shard_columns,
    lambda columns: f"{columns['global_shard']}-{columns['local_shard']}",
)
