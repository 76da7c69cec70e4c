"""Partitions of an asset: Dagster's partition keys and the partition columns of the Delta table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from catalog.lake import WHOLE, partition_columns

Partition = Mapping[str, Any]
"""The partition columns of a Delta table, and their values."""


@dataclass(frozen=True)
class Cut:
    """A Dagster partitions definition, and the mapping between its keys and the partition columns of a table.

    Attributes:
        definition: The keys that can exist, or a dynamic definition, whose keys are those that `follow` has added.
        columns: Returns the partition columns of a key.
        key: Returns the key of partition columns.
    """

    definition: dg.PartitionsDefinition
    columns: Callable[[str], Partition]
    key: Callable[[Partition], str]

    def shown(self, key: str) -> str:
        """Return as Dagster names it the partition that commits name `key`; `WHOLE` stays as it is."""
        return WHOLE if key == WHOLE else self.key(partition_columns(key))

    def known(self, instance: dg.DagsterInstance) -> list[str]:
        """Return the keys that Dagster knows, in its order."""
        if isinstance(self.definition, dg.DynamicPartitionsDefinition):
            assert self.definition.name
            return list(instance.get_dynamic_partitions(self.definition.name))
        return list(self.definition.get_partition_keys())

    def follow(self, instance: dg.DagsterInstance, keys: Iterable[str]) -> None:
        """Make `keys` the keys of a dynamic definition: those that Dagster lacks are added, all others removed."""
        if not isinstance(self.definition, dg.DynamicPartitionsDefinition):
            return
        name, wanted, known = self.definition.name, list(keys), self.known(instance)
        assert name
        for gone in set(known) - set(wanted):
            instance.delete_dynamic_partition(name, gone)
        if new := [key for key in wanted if key not in known]:
            instance.add_dynamic_partitions(name, new)


def cut_by(name: str, column: str) -> Cut:
    """Return a cut whose keys are the values of one partition column, as the dynamic definition `name`.

    Example:
        >>> cut_by("tulu_runs", "run").columns("sft")
        {'run': 'sft'}
    """
    return Cut(
        dg.DynamicPartitionsDefinition(name=name), lambda key: {column: key}, lambda columns: str(columns[column])
    )
