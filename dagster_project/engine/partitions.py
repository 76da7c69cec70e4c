"""How an asset is cut into partitions: Dagster's partition keys and the partition columns of a Delta table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

Partition = Mapping[str, Any]
"""Partition columns of a Delta table and their values."""


@dataclass(frozen=True)
class Cut:
    """A Dagster partitions definition and what its keys mean in a table's partition columns."""

    definition: dg.PartitionsDefinition
    columns: Callable[[str], Partition]
    key: Callable[[Partition], str]
