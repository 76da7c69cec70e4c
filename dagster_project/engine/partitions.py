"""Partitions of an asset: Dagster's partition keys and the partition columns of the Delta table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

Partition = Mapping[str, Any]
"""The partition columns of a Delta table, and their values."""


@dataclass(frozen=True)
class Cut:
    """A Dagster partitions definition, and the mapping between its keys and the partition columns of a table.

    Attributes:
        definition: The keys that can exist.
        columns: Returns the partition columns of a key.
        key: Returns the key of partition columns.
    """

    definition: dg.PartitionsDefinition
    columns: Callable[[str], Partition]
    key: Callable[[Partition], str]
