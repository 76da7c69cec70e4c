"""What a table is, declared once.

A `Contract` names a table, describes every column and states what must be true of its rows. Everything
else that the project says about a table is derived from it: the Delta schema and constraints, the Dagster
asset's metadata, the Great Expectations suite, the DuckDB view with its comments, and the data card.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pyarrow as pa

from catalog.errors import WatershedError

Value = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One statement about a table, in the vocabulary of Great Expectations.

    `name` is a Great Expectations type; `kwargs` its arguments without the column. The single exception is
    `references`: every non-null value of `column` stands in `table`.`other` (a foreign key across tables).
    """

    name: str
    column: str | None = None
    kwargs: tuple[tuple[str, Any], ...] = ()
    why: str = ""
    severity: Literal["error", "warn"] = "error"
    """`error` stops what reads the table; `warn` is reported and stops nothing."""

    def __getitem__(self, key: str) -> Any:
        return dict(self.kwargs).get(key)

    @property
    def label(self) -> str:
        """A short unique name within its table, usable as a Dagster check name."""
        short = self.name.removeprefix("expect_").replace("column_values_to_", "").replace("table_", "")
        return "__".join(part for part in (self.column, short) if part)


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: its Arrow type, what it holds (with units), and where its values come from."""

    name: str
    type: pa.DataType
    description: str
    nullable: bool = False
    personal_data: str | None = None
    derived_from: tuple[str, ...] = ()
    """Upstream columns as `family.table.column`, for column lineage."""


@dataclass(frozen=True, kw_only=True)
class Contract:
    """A table's declaration. `name` is `family.table`: asset key, Delta folder and SQL name alike."""

    name: str
    description: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    source: str = "derived"
    licence: str = "as its upstream tables"
    owner: str = "data@watershed.example"
    freshness: datetime.timedelta | None = None
    expectations: tuple[Expectation, ...] = ()
    named_by: tuple[str, ...] = ()
    """Columns by which people know a row whose primary key says nothing to them."""
    command: str | None = None
    """The command that writes it; None of a table that is only materialised."""
    schema: pa.Schema = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        for used in (
            *self.primary_key,
            *self.partition_by,
            *self.named_by,
            *(e.column for e in self.expectations if e.column),
        ):
            if used not in names:
                raise WatershedError(
                    f"contract {self.name} uses the column {used!r}, which it does not declare",
                    f"declare it among {', '.join(names)}",
                )
        object.__setattr__(self, "schema", pa.schema([_field(column) for column in self.columns]))

    @property
    def family(self) -> str:
        """The system it belongs to: `dclm` of `dclm.documents`."""
        return self.name.split(".")[0]

    @property
    def table(self) -> str:
        """The name within its family: `documents` of `dclm.documents`."""
        return self.name.split(".")[1]

    @property
    def personal_data(self) -> dict[str, str]:
        """Columns that may hold personal data, with the kind of it."""
        return {column.name: column.personal_data for column in self.columns if column.personal_data}

    def column(self, name: str) -> Column:
        """The column called `name`; a KeyError if the contract has none."""
        return next(column for column in self.columns if column.name == name)

    def all_expectations(self) -> tuple[Expectation, ...]:
        """Those declared, after those that the columns and the primary key imply."""
        required = tuple(
            Expectation(name="expect_column_values_to_not_be_null", column=column.name, why="required by the contract")
            for column in self.columns
            if not column.nullable
        )
        key = Expectation(
            name="expect_compound_columns_to_be_unique"
            if len(self.primary_key) > 1
            else "expect_column_values_to_be_unique",
            column=None if len(self.primary_key) > 1 else self.primary_key[0],
            kwargs=(("column_list", self.primary_key),) if len(self.primary_key) > 1 else (),
            why="the primary key names a row",
        )
        return (*required, key, *self.expectations)

    def conform(self, table: pa.Table) -> pa.Table:
        """`table` with the contract's columns, in order and cast to their types.

        Raises:
            WatershedError: a column is missing, unknown, of another kind, or null where it may not be.
        """
        missing = [column.name for column in self.columns if column.name not in table.column_names]
        unknown = [name for name in table.column_names if name not in self.schema.names]
        if missing or unknown:
            said = "; ".join(
                f"{what} {', '.join(names)}"
                for what, names in (("lacks", missing), ("does not know", unknown))
                if names
            )
            raise WatershedError(
                f"rows for {self.name} do not fit its contract: {said}",
                f"bring the rows or catalog/tables/{self.family}.py into agreement",
            )
        for column in self.columns:
            if not column.nullable and table[column.name].null_count:
                raise WatershedError(
                    f"rows for {self.name}: {table[column.name].null_count} nulls in {column.name}, which is required",
                    "fill them, or declare the column nullable",
                )
        try:
            return table.select(self.schema.names).cast(self.schema)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            raise WatershedError(
                f"rows for {self.name} do not fit its contract: {error}",
                f"cast the column, or change its type in catalog/tables/{self.family}.py",
            ) from error


def _field(column: Column) -> pa.Field:
    return pa.field(column.name, column.type, column.nullable, metadata={"comment": column.description})


def between(column: str, low: float | None = None, high: float | None = None, *, why: str = "") -> Expectation:
    """Every non-null value lies in [low, high]; an end that is None is open."""
    bounds = tuple((key, value) for key, value in (("min_value", low), ("max_value", high)) if value is not None)
    return Expectation(name="expect_column_values_to_be_between", column=column, kwargs=bounds, why=why)


def one_of(column: str, values: tuple[Value, ...], *, why: str = "") -> Expectation:
    """Every non-null value is one of `values`."""
    return Expectation(
        name="expect_column_values_to_be_in_set", column=column, kwargs=(("value_set", values),), why=why
    )


def matches(column: str, regex: str, *, why: str = "") -> Expectation:
    """Every non-null value matches `regex`, anchored at its start."""
    return Expectation(name="expect_column_values_to_match_regex", column=column, kwargs=(("regex", regex),), why=why)


def row_count(low: int, *, why: str = "") -> Expectation:
    """The table has at least `low` rows."""
    return Expectation(name="expect_table_row_count_to_be_between", kwargs=(("min_value", low),), why=why)


def references(column: str, target: str, *, why: str = "") -> Expectation:
    """Every non-null value stands in `target`, a column `family.table.column`."""
    return Expectation(name="references", column=column, kwargs=(("target", target),), why=why)


def filled(column: str, *, why: str = "") -> Expectation:
    """No value is null: for `warned`, since a column that is not declared nullable is held to it anyway."""
    return Expectation(name="expect_column_values_to_not_be_null", column=column, why=why)


def mostly(expectation: Expectation, share: float) -> Expectation:
    """The same statement, held to be true of at least `share` (0..1) of the rows."""
    return replace(expectation, kwargs=(*expectation.kwargs, ("mostly", share)))


def warned(expectation: Expectation) -> Expectation:
    """The same statement, whose breach is reported, row by row, and stops nothing: for faults of a source."""
    return replace(expectation, severity="warn")
