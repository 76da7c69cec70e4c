"""How assets are cut: the pool by (global, local) shard as DCLM released it, the ladder by run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from catalog.settings import load_settings
from catalog.tables.dclm import SHARDS
from dagster_project.families.models.runs import ladder_runs

Partition = Mapping[str, Any]
"""Partition columns of a Delta table and their values."""


@dataclass(frozen=True)
class Cut:
    """A Dagster partitions definition and what its keys mean in a table's partition columns."""

    definition: dg.PartitionsDefinition
    columns: Callable[[str], Partition]
    key: Callable[[Partition], str]


def _shard_columns(key: str) -> Partition:
    global_shard, local_shard = key.split("-")
    return {"global_shard": int(global_shard), "local_shard": int(local_shard)}


POOL_SHARDS = Cut(
    dg.StaticPartitionsDefinition([f"{g}-{local}" for g in range(SHARDS) for local in range(SHARDS)]),
    _shard_columns,
    lambda columns: f"{columns['global_shard']}-{columns['local_shard']}",
)

# The runs of the configured ladder alone, so that a range of them is a part of that ladder and nothing else.
LADDER_RUNS = Cut(
    dg.StaticPartitionsDefinition(list(ladder_runs(load_settings()))),
    lambda key: {"run": key},
    lambda columns: str(columns["run"]),
)
