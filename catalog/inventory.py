"""What is in the lake: for each table its rows, bytes and versions, and whether it is what its contract says."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.lake import Lake, Written, constraint_sql
from catalog.tables import CONTRACTS


@dataclass(frozen=True)
class Drift:
    """One way in which a table is not what its contract says.

    `kind` is `missing`, `unknown` or `type` where the columns differ, and `constraint` where Delta would let a bad
    row in; `comparable` tells whether values of the table's type can still be held against the contract.
    """

    column: str
    kind: str
    said: str
    comparable: bool = False


@dataclass(frozen=True, kw_only=True)
class TableState:
    """A table as it stands; everything but the contract is empty where it is not made."""

    contract: Contract
    path: str
    version: int | None = None
    rows: int = 0
    bytes: int = 0
    files: int = 0
    written_at: datetime.datetime | None = None
    drift: tuple[Drift, ...] = ()
    partitions: Mapping[str, Written] = field(default_factory=dict)
    """The last commit of every partition, by its key; see `Lake.written`."""

    @property
    def made(self) -> bool:
        """The table has been created."""
        return self.version is not None

    @property
    def said(self) -> str:
        """Its state in a few words."""
        if not self.made:
            return "not made yet"
        said = [f"{drift.column} {drift.said}" for drift in self.drift if drift.kind != "constraint"]
        if self.unguarded:
            count = len(self.unguarded)
            said.append("1 constraint is not enforced" if count == 1 else f"{count} constraints are not enforced")
        return "; ".join(said) or "fits its contract"

    @property
    def unguarded(self) -> tuple[str, ...]:
        """What Delta would let in although the contract forbids it."""
        return tuple(f"{drift.column} {drift.said}" for drift in self.drift if drift.kind == "constraint")


def table_state(lake: Lake, contract: Contract) -> TableState:
    """The table of `contract` as its latest version stands.

    Raises:
        WatershedError: there is a table, but it cannot be read.
    """
    path = lake.path(contract.name)
    if not lake.exists(contract.name):
        return TableState(contract=contract, path=path)
    table = open_table(lake, contract.name)
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
        partitions=lake.written(contract.name),
    )


def open_table(lake: Lake, name: str) -> Any:
    """`Lake.table`, with what delta-rs says of a broken log turned into a WatershedError."""
    try:
        return lake.table(name)
    except WatershedError:
        raise
    except Exception as error:  # delta-rs raises a dozen types, OSError and ValueError among them
        raise WatershedError(
            f"{lake.path(name)} cannot be read: {str(error).splitlines()[0]}",
            "restore its _delta_log, or delete the folder and materialise it again",
        ) from error


def column_drift(contract: Contract, table: Any) -> tuple[Drift, ...]:
    """Columns that a `deltalake.DeltaTable` lacks, has beyond the contract, or has in another type."""
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
    """Every column's type as Delta names it, whatever may be null in it."""
    return {field["name"]: _type(field["type"]) for field in json.loads(schema.to_json())["fields"]}


def _type(said: Any) -> str:
    if isinstance(said, str):
        return said
    if said["type"] == "array":
        return f"array<{_type(said['elementType'])}>"
    if said["type"] == "map":
        return f"map<{_type(said['keyType'])},{_type(said['valueType'])}>"
    inner = (f"{each['name']}:{_type(each['type'])}" for each in said["fields"])
    return f"struct<{','.join(inner)}>"


def _kind(type_: str) -> str:
    """Types of one kind compare with the same literals."""
    if type_ in ("byte", "short", "integer", "long", "float", "double") or type_.startswith("decimal"):
        return "number"
    return "time" if type_ in ("date", "timestamp", "timestamp_ntz") else type_
