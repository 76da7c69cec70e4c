"""The contract of a table: what it is, declared once.

A `Contract` names a table, describes every column, and states what must be true of its rows. From it follow the schema
and the constraints of the Delta table, the metadata of the Dagster asset, the Great Expectations suite, the DuckDB view
with its comments, and the data card.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pyarrow as pa

from catalog.errors import WatershedError

Value = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One statement that must be true of a table, in the vocabulary of Great Expectations.

    `name` is the name of a Great Expectations type, and `kwargs` its arguments without the column. The only exception
    is `references`: every non-null value of `column` is in the column `target` of another table (a foreign key).
    """

    name: str
    column: str | None = None
    kwargs: tuple[tuple[str, Any], ...] = ()
    why: str = ""
    severity: Literal["error", "warn"] = "error"
    """`error` stops everything that reads the table; `warn` is only reported."""

    def __getitem__(self, key: str) -> Any:
        return dict(self.kwargs).get(key)

    @property
    def label(self) -> str:
        """A short name, unique within the table, that Dagster accepts as the name of a check."""
        short = self.name.removeprefix("expect_").replace("column_values_to_", "").replace("table_", "")
        return "__".join(part for part in (self.column, short) if part)


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: its Arrow type, its meaning with units, and the origin of its values. See also `catalog.columns`."""

    name: str
    type: pa.DataType
    description: str
    nullable: bool = False
    personal_data: str | None = None
    derived_from: tuple[str, ...] = ()
    """Upstream columns as `family.table.column`, for column lineage."""


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The declaration of a table. `name` is `family.table`, in Dagster, in the lake and in SQL.

    Raises:
        WatershedError: a key, a partition or an expectation uses a column that is not declared.

    Example:
        >>> from catalog.columns import integer, real, text
        >>> from catalog.contract import Contract, between
        >>> rain = Contract(
        ...     name="weather.rain",
        ...     description="Rain, a row per gauge and day.",
        ...     columns=(
        ...         text("gauge", "Name of the gauge."),
        ...         integer("day", "Day of the year, 1..366."),
        ...         real("millimetres", "Rain of the day.", nullable=True),
        ...     ),
        ...     primary_key=("gauge", "day"),
        ...     expectations=(between("day", 1, 366), between("millimetres", 0)),
        ... )
        >>> rain.family, rain.table
        ('weather', 'rain')
        >>> for expectation in rain.all_expectations():
        ...     print(expectation.label)
        gauge__not_be_null
        day__not_be_null
        compound_columns_to_be_unique
        day__be_between
        millimetres__be_between
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    source: str = "derived"
    licence: str = "as its upstream tables"
    """The licence in words, for people."""
    licences: tuple[str, ...] = ()
    """The same as SPDX identifiers or LicenseRefs, where the words alone are not understood; see `catalog.licences`."""
    licence_column: str | None = None
    """The column that states the licence of each row, if there is one."""
    selection: bool = False
    """Whether each row is one of an upstream table and `licence_column` states all licences of it: the table, once it
    is made, then carries those of its rows, and not those of rows that were left out."""
    owner: str = "data"
    """The role that owns the table. `[dagster.owners]` of watershed.toml names the people."""
    freshness: datetime.timedelta | None = None
    """How old the table may be before Dagster calls it late; None if age does not matter."""
    expectations: tuple[Expectation, ...] = ()
    named_by: tuple[str, ...] = ()
    """Columns that name a row to people, if its primary key does not."""
    tags: tuple[str, ...] = ()
    """Words that the table can be found and filtered by."""
    modalities: tuple[str, ...] = ()
    """What the rows hold for models: text, image, audio, video, tabular; empty for results and other records."""
    command: str | None = None
    """The command that writes the table; None if only Dagster writes it."""
    schema: pa.Schema = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        for used in (
            *self.primary_key,
            *self.partition_by,
            *self.named_by,
            *((self.licence_column,) if self.licence_column else ()),
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
        """The family that the table belongs to: `dclm` of `dclm.documents`."""
        return self.name.split(".")[0]

    @property
    def table(self) -> str:
        """The name within its family: `documents` of `dclm.documents`."""
        return self.name.split(".")[1]

    @property
    def personal_data(self) -> dict[str, str]:
        """Columns that may hold personal data, and the kind of that data."""
        return {column.name: column.personal_data for column in self.columns if column.personal_data}

    def column(self, name: str) -> Column:
        """The column called `name`.

        Raises:
            KeyError: the contract has no such column.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def all_expectations(self) -> tuple[Expectation, ...]:
        """All expectations: those that required columns and the primary key imply, then those that are declared."""
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
            why="the primary key identifies a row",
        )
        return (*required, key, *self.expectations)

    def conform(self, table: pa.Table) -> pa.Table:
        """`table` with the contract's columns, in order and cast to their types.

        Raises:
            WatershedError: a column is missing or unknown, cannot be cast, or has nulls although it is required.
        """
        missing = [column.name for column in self.columns if column.name not in table.column_names]
        unknown = [name for name in table.column_names if name not in self.schema.names]
        if missing or unknown:
            problems = "; ".join(
                f"{what} {', '.join(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names
            )
            raise WatershedError(
                f"rows for {self.name} do not fit its contract: {problems}",
                f"change the rows, or the contract of {self.name}",
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
                f"cast the column, or change its type in the contract of {self.name}",
            ) from error


def conforming(
    contract: Contract, rows: Iterable[pa.RecordBatch], keep: Callable[[pa.Table], pa.Table] = lambda table: table
) -> pa.RecordBatchReader:
    """The stream of `rows` with the contract's columns, each batch cast as `Contract.conform` does it.

    Args:
        keep: returns the rows of a batch that are written.
    """
    schema = pa.schema([field.remove_metadata() for field in contract.schema])

    def cast() -> Iterator[pa.RecordBatch]:
        for batch in rows:
            yield from keep(contract.conform(pa.Table.from_batches([batch]))).cast(schema).to_batches()

    return pa.RecordBatchReader.from_batches(schema, cast())


def _field(column: Column) -> pa.Field:
    return pa.field(column.name, column.type, column.nullable, metadata={"comment": column.description})


def between(column: str, low: float | None = None, high: float | None = None, *, why: str = "") -> Expectation:
    """Every non-null value is in [low, high]; a bound that is None is not checked."""
    bounds = tuple((key, value) for key, value in (("min_value", low), ("max_value", high)) if value is not None)
    return Expectation(name="expect_column_values_to_be_between", column=column, kwargs=bounds, why=why)


def one_of(column: str, values: tuple[Value, ...], *, why: str = "") -> Expectation:
    """Every non-null value is one of `values`."""
    return Expectation(
        name="expect_column_values_to_be_in_set", column=column, kwargs=(("value_set", values),), why=why
    )


def matches(column: str, regex: str, *, why: str = "") -> Expectation:
    """Every non-null value matches `regex`, which is anchored at the start of the value."""
    return Expectation(name="expect_column_values_to_match_regex", column=column, kwargs=(("regex", regex),), why=why)


def row_count(low: int, *, why: str = "") -> Expectation:
    """The table has at least `low` rows."""
    return Expectation(name="expect_table_row_count_to_be_between", kwargs=(("min_value", low),), why=why)


def references(column: str, target: str, *, why: str = "") -> Expectation:
    """Every non-null value is a value of `target`, a column `family.table.column`."""
    return Expectation(name="references", column=column, kwargs=(("target", target),), why=why)


def filled(column: str, *, why: str = "") -> Expectation:
    """No value is null. Used inside `warned`: a column that is not declared nullable implies it anyway."""
    return Expectation(name="expect_column_values_to_not_be_null", column=column, why=why)


def mostly(expectation: Expectation, share: float) -> Expectation:
    """The same expectation of at least a `share` (0..1) of the rows."""
    return replace(expectation, kwargs=(*expectation.kwargs, ("mostly", share)))


def warned(expectation: Expectation) -> Expectation:
    """The same expectation as a warning, for faults of a source: violations are reported, and stop nothing."""
    return replace(expectation, severity="warn")
