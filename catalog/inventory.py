"""What is in the lake: the rows, bytes and versions of each table, and where a table differs from its contract."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from catalog.contract import Contract
from catalog.creation import constraint_sql
from catalog.evolution import type_name
from catalog.lake import Lake, Written, partition_key
from catalog.storage.records import recorded_versions
from catalog.storage.removed import Removed, read_removed
from catalog.tables import CONTRACTS


@dataclass(frozen=True)
class Drift:
    """One way in which a table differs from its contract.

    `kind` is `missing`, `unknown` or `type` if a column differs, and `constraint` if Delta would accept a bad row.
    `comparable` is whether values of the table's type can still be compared with the literals of the contract.
    """

    column: str
    kind: str
    problem: str
    comparable: bool = False


@dataclass(frozen=True, kw_only=True)
class TableState:
    """The latest version of a table; everything but the contract is empty if the table is not made."""

    contract: Contract
    path: str
    version: int | None = None
    rows: int = 0
    bytes: int = 0
    files: int = 0
    written_at: datetime.datetime | None = None
    drift: tuple[Drift, ...] = ()
    partition_rows: Mapping[str, int] = field(default_factory=dict)
    """The rows of every partition that has any, by its key."""
    partitions: Mapping[str, Written] = field(default_factory=dict)
    """The last commit of every partition, by its key; see `Lake.written`."""
    expected: tuple[str, ...] = ()
    """The keys of the partitions that the last run was to make; empty for a table without partitions."""
    checksums_from: int | None = None
    """The first version whose files have recorded checksums; None if none has."""
    removed: Removed = field(default_factory=Removed)
    """The orders to forget that were carried out on the table, and the versions that cannot be read since."""

    @property
    def made(self) -> bool:
        """Whether the table has been created."""
        return self.version is not None

    @property
    def lacking(self) -> tuple[str, ...]:
        """The keys of the partitions that the last run was to make and that have not been made."""
        return tuple(key for key in self.expected if key not in self.partitions)

    @property
    def partition_count(self) -> str:
        """How many partitions are made: "1 of 4 partitions"; empty for a table without partitions."""
        if not self.expected:
            return ""
        return f"{len(self.expected) - len(self.lacking):,} of {len(self.expected):,} partitions"

    @property
    def checksums(self) -> str:
        """Since when the files of the table have recorded checksums."""
        if self.checksums_from is None:
            return "none: no version has a record of its files"
        return f"from version {self.checksums_from} on" if self.checksums_from else "of every version"

    @property
    def summary(self) -> str:
        """The state of the table in a few words."""
        if not self.made:
            return "not made yet"
        problems = [self.partition_count] if self.lacking else []
        problems += [f"{drift.column} {drift.problem}" for drift in self.drift if drift.kind != "constraint"]
        if self.unguarded:
            count = len(self.unguarded)
            problems.append("1 constraint is not enforced" if count == 1 else f"{count} constraints are not enforced")
        return "; ".join(problems) or "fits its contract"

    @property
    def unguarded(self) -> tuple[str, ...]:
        """What Delta would accept although the contract forbids it."""
        return tuple(f"{drift.column} {drift.problem}" for drift in self.drift if drift.kind == "constraint")


def table_state(lake: Lake, contract: Contract) -> TableState:
    """The state of the latest version of the table of `contract`.

    Raises:
        WatershedError: the table exists, but cannot be read.

    Example:
        >>> from catalog import CONTRACTS, Lake, load_settings
        >>> from catalog.inventory import table_state
        >>> state = table_state(Lake.of(load_settings()), CONTRACTS["dclm.documents"])
        >>> state.rows, state.summary
        (6, 'fits its contract')
    """
    path = lake.path(contract.name)
    if not lake.exists(contract.name):
        return TableState(contract=contract, path=path)
    table = lake.table(contract.name)
    with lake.readable(contract.name):
        added = table.get_add_actions(flatten=True)
        commit = table.history(1)[0]
    return TableState(
        contract=contract,
        path=path,
        version=table.version(),
        rows=sum(added.column("num_records").to_pylist()) if added.num_rows else 0,
        bytes=sum(added.column("size_bytes").to_pylist()) if added.num_rows else 0,
        files=added.num_rows,
        written_at=datetime.datetime.fromtimestamp(commit["timestamp"] / 1000, datetime.UTC),
        drift=(*column_drift(contract, table), *_constraint_drift(contract, table)),
        partition_rows=_partition_rows(contract, added),
        partitions=lake.written(contract.name),
        expected=lake.planned_partitions(contract.name),
        checksums_from=min(recorded_versions(lake.store(contract.name)), default=None),
        removed=read_removed(lake.store(contract.name)),
    )


def _partition_rows(contract: Contract, added: Any) -> dict[str, int]:
    """Rows by partition key, from the `add` actions of a table's log."""
    found: dict[str, int] = {}
    if contract.partition_by and added.num_rows:
        columns = [added.column(f"partition.{column}").to_pylist() for column in contract.partition_by]
        for rows, *values in zip(added.column("num_records").to_pylist(), *columns, strict=True):
            key = partition_key(dict(zip(contract.partition_by, values, strict=True)))
            found[key] = found.get(key, 0) + rows
    return found


def lacking_partitions(lake: Lake, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The keys of the partitions that the last run was to make of the table, and those of them that are not made."""
    expected = lake.planned_partitions(name)
    if not expected or lake.damage(name):
        return (), ()
    made = lake.written(name)
    return expected, tuple(key for key in expected if key not in made)


def column_drift(contract: Contract, table: Any) -> tuple[Drift, ...]:
    """Columns of a `deltalake.DeltaTable` that are missing, not in the contract, or of another type."""
    from deltalake import Schema

    declared = _types(Schema.from_arrow(contract.schema))
    found = _types(table.schema())
    drift = [Drift(name, "missing", "is missing") for name in declared if name not in found]
    drift += [Drift(name, "unknown", "is not in the contract") for name in found if name not in declared]
    drift += [
        Drift(name, "type", f"is {found[name]}, not {declared[name]}", _kind(found[name]) == _kind(declared[name]))
        for name in declared
        if name in found and found[name] != declared[name]
    ]
    return tuple(drift)


def downstream(name: str) -> tuple[str, ...]:
    """The tables made from the table `name`."""
    return tuple(contract.name for contract in CONTRACTS.values() if name in contract.upstream)


def _constraint_drift(contract: Contract, table: Any) -> tuple[Drift, ...]:
    known = table.metadata().configuration
    nullable = {field.name for field in pa.schema(table.schema().to_arrow()) if field.nullable}
    loose = [
        Drift(expectation.column or "", "constraint", "out of bounds")
        for expectation in contract.expectations
        if constraint_sql(expectation) and f"delta.constraints.{expectation.label}" not in known
    ]
    return (
        *(
            Drift(column.name, "constraint", "null")
            for column in contract.columns
            if not column.nullable and column.name in nullable
        ),
        *loose,
    )


def _types(schema: Any) -> dict[str, str]:
    """The type of every column as Delta names it, without nullability."""
    return {field["name"]: type_name(field["type"]) for field in json.loads(schema.to_json())["fields"]}


def _kind(type_: str) -> str:
    """The kind of a type; types of one kind can be compared with the same literals."""
    if type_ in ("byte", "short", "integer", "long", "float", "double") or type_.startswith("decimal"):
        return "number"
    return "time" if type_ in ("date", "timestamp", "timestamp_ntz") else type_
