"""Every expectation of a contract, evaluated on its table by DuckDB.

One aggregate query decides all expectations about single rows. Uniqueness and references take a query each. Rows are
fetched only for expectations that fail. Every table is read at one version, so that a writer does not interfere.

NaN is a number outside every interval, not a missing value.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from catalog.contract import Contract, Expectation
from catalog.errors import WatershedError
from catalog.inventory import Drift, column_drift
from catalog.lake import Lake, partition_key
from catalog.literals import partitions_sql, sql_literal
from catalog.storage.log import repair_advice
from catalog.storage.verify import lost_partitions
from catalog.tables import CONTRACTS
from catalog.violations import violation_sql
from quality.outcome import (
    BETWEEN,
    COMPOUND_UNIQUE,
    IN_SET,
    NOT_NULL,
    PARTITIONS_NAMED,
    REFERENCES,
    REGEX,
    ROW_COUNT,
    SCHEMA,
    UNIQUE,
    Outcome,
    examples_shown,
    judge,
    observation,
    unjudged,
)

Answer = TypeVar("Answer")

ROW_STATEMENTS = (NOT_NULL, BETWEEN, IN_SET, REGEX)
TYPE_FREE = (NOT_NULL, UNIQUE, COMPOUND_UNIQUE, ROW_COUNT)
"""Expectations that do not depend on the type of the column."""

MORE = 3
"""Number of other columns shown if the key does not identify a row."""


@dataclass(frozen=True)
class Reading:
    """One version of a table, opened for queries."""

    connection: duckdb.DuckDBPyConnection
    lake: Lake
    contract: Contract
    version: int
    drift: tuple[Drift, ...]
    outdated: tuple[Mapping[str, Any], ...] = ()
    """Partitions that are to be made again. Their rows are not compared with those of others."""

    @classmethod
    def of(
        cls,
        connection: duckdb.DuckDBPyConnection,
        lake: Lake,
        contract: Contract,
        outdated: Sequence[Mapping[str, Any]] = (),
    ) -> Reading:
        """The latest version of the table.

        Raises:
            WatershedError: the table does not exist or cannot be read.
        """
        table = lake.table(contract.name)
        return cls(connection, lake, contract, table.version(), column_drift(contract, table), tuple(outdated))

    @property
    def scan(self) -> str:
        """The table in a FROM clause."""
        return f"delta_scan({sql_literal(self.lake.path(self.contract.name))}, version => {self.version})"

    @property
    def current_scan(self) -> str:
        """The table without its outdated partitions, in a FROM clause."""
        if not self.outdated:
            return self.scan
        return f"(FROM {self.scan} WHERE NOT coalesce({partitions_sql(self.outdated)}, false))"

    @property
    def columns(self) -> list[str]:
        """The contract's columns that the table has."""
        missing = {drift.column for drift in self.drift if drift.kind == "missing"}
        return [name for name in self.contract.schema.names if name not in missing]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query.

        Raises:
            WatershedError: a data file of the table is missing or broken.
        """
        return self._read(sql, lambda answer: answer.fetchall())

    def arrow(self, sql: str) -> pa.Table:
        """The rows of a query as an Arrow table.

        Raises:
            WatershedError: a data file of the table is missing or broken.
        """
        return self._read(sql, lambda answer: answer.to_arrow_table())

    def _read(self, sql: str, fetch: Callable[[duckdb.DuckDBPyConnection], Answer]) -> Answer:
        try:
            return fetch(self.connection.execute(sql))
        except (duckdb.BinderException, duckdb.ParserException):
            raise
        except duckdb.Error as error:
            raise WatershedError(
                f"{self.contract.name} cannot be read: {str(error).splitlines()[0]}",
                repair_advice(self.contract.name),
            ) from error

    def problem(self, expectation: Expectation) -> str | None:
        """Why the expectation cannot be evaluated: a column is missing or has a type that cannot be compared."""
        used = {expectation.column, *(expectation["column_list"] or ())}
        for drift in self.drift:
            hinders = drift.kind == "missing" or (
                drift.kind == "type" and not drift.comparable and expectation.name not in TYPE_FREE
            )
            if drift.column in used and hinders:
                return f"that {drift.column} {drift.problem}"
        return None


def check_table(reading: Reading) -> list[Outcome]:
    """The outcomes of the schema and of every expectation of the contract, in its order."""
    expectations = reading.contract.all_expectations()
    rows = reading.rows(f"SELECT count(*) FROM {reading.scan}")[0][0]
    outcomes: dict[int, Outcome] = {}
    for place, expectation in enumerate(expectations):
        problem = reading.problem(expectation)
        if problem:
            outcomes[place] = unjudged(reading.contract, expectation, problem, rows, reading.version)
    open_places = [place for place in range(len(expectations)) if place not in outcomes]
    outcomes |= _row_statements(reading, {p: e for p, e in enumerate(expectations) if p in open_places})
    for place in open_places:
        if place not in outcomes:
            outcomes[place] = _single(reading, expectations[place], rows)
    return [*schema_outcomes(reading, rows), *(outcomes[place] for place in sorted(outcomes))]


def schema_outcomes(reading: Reading, rows: int) -> list[Outcome]:
    """A failure for every column that is missing, unknown or of another type, or one outcome that passes."""

    def outcome(column: str | None, passed: bool, observed: str) -> Outcome:
        return Outcome(
            table=reading.contract.name,
            label=f"{column}__{SCHEMA}" if column else SCHEMA,
            column=column,
            statement="the columns of the contract, each of its type",
            passed=passed,
            observed=observed,
            violations=0 if passed else rows,
            rows=rows,
            version=reading.version,
        )

    if not reading.drift:
        return [outcome(None, True, f"all {len(reading.contract.columns)} columns")]
    return [outcome(drift.column, False, f"that {drift.column} {drift.problem}") for drift in reading.drift]


def _row_statements(reading: Reading, expectations: dict[int, Expectation]) -> dict[int, Outcome]:
    """The outcomes of all expectations about single rows, in one pass over the table."""
    chosen = {place: e for place, e in expectations.items() if e.name in ROW_STATEMENTS}
    if not chosen:
        return {}
    types = {place: reading.contract.schema.field(e.column).type for place, e in chosen.items()}
    broken = {place: violation_sql(e, types[place]) for place, e in chosen.items()}
    answers: list[str] = ["count(*)"]
    for place, e in chosen.items():
        column = f'"{e.column}"'
        answers += [f"count({column})", f"count(*) FILTER (WHERE {broken[place]})", *_span(e, column, types[place])]
    began = time.perf_counter()
    (rows, *flat), *_ = reading.rows(f"SELECT {', '.join(answers)} FROM {reading.scan}")
    seconds = (time.perf_counter() - began) / len(chosen)
    outcomes = {}
    for number, (place, e) in enumerate(chosen.items()):
        present, violations, low, high = flat[4 * number : 4 * number + 4]
        count = rows if e.name == NOT_NULL else present
        outcomes[place] = judge(
            reading.contract,
            e,
            rows=rows,
            compared=count,
            violations=violations,
            observed=observation(e, violations, count, low, high),
            version=reading.version,
            examples=_examples(reading, e, f"FROM {reading.scan} WHERE {broken[place]}") if violations else (),
            partitions=_partitions(reading, f"FROM {reading.scan} WHERE {broken[place]}") if violations else (),
            seconds=seconds,
        )
    return outcomes


def _span(expectation: Expectation, column: str, type_: pa.DataType) -> tuple[str, str]:
    """SQL of the smallest and the largest value, without NaN, which DuckDB sorts last; NULL if they are not needed."""
    if expectation.name != BETWEEN:
        return "NULL", "NULL"
    numbers = f" FILTER (WHERE NOT isnan({column}))" if pa.types.is_floating(type_) else ""
    return f"min({column}){numbers}", f"max({column}){numbers}"


def _single(reading: Reading, expectation: Expectation, rows: int) -> Outcome:
    """The outcome of an expectation that takes a query of its own."""
    if expectation.name == ROW_COUNT:
        return row_count_outcome(reading.contract, expectation, rows, reading.version)
    began = time.perf_counter()
    if expectation.name in (UNIQUE, COMPOUND_UNIQUE):
        compared, violations, broken = _uniqueness(reading, expectation)
    elif expectation.name == REFERENCES:
        problem = target_problem(reading, expectation)
        if problem:
            return unjudged(reading.contract, expectation, problem, rows, reading.version)
        compared, violations, broken = _references(reading, expectation)
    else:
        raise WatershedError(
            f"{reading.contract.name} expects {expectation.name}, which no engine evaluates",
            "use a type of catalog/contract.py, or add it to quality/expectations.py",
        )
    return judge(
        reading.contract,
        expectation,
        rows=rows,
        compared=compared,
        violations=violations,
        version=reading.version,
        examples=_examples(reading, expectation, broken) if violations else (),
        partitions=_partitions(reading, broken) if violations else (),
        seconds=time.perf_counter() - began,
    )


def row_count_outcome(contract: Contract, expectation: Expectation, rows: int, version: int) -> Outcome:
    """The outcome of an expectation about the number of rows; it has no example rows."""
    low, high = expectation["min_value"], expectation["max_value"]
    fits = (low is None or rows >= low) and (high is None or rows <= high)
    return judge(
        contract,
        expectation,
        rows=rows,
        compared=rows,
        violations=int(not fits),
        observed=observation(expectation, 0, rows),
        version=version,
    )


TARGET = '"value in the other table"'
"""A name that no column of a contract has, so that `target` and others may be columns."""


def target_problem(reading: Reading, expectation: Expectation) -> str | None:
    """Why a reference cannot be evaluated: its table is not made, is damaged, or lacks the column."""
    family, table, column = expectation["target"].split(".")
    name = f"{family}.{table}"
    if not reading.lake.exists(name):
        return f"that {name} is not made yet"
    if reading.lake.damage(name):
        return f"that {name} is damaged"
    if lost_partitions(reading.lake, CONTRACTS[name], beside=False):
        return f"that files of {name} are missing or damaged"
    found = {field.name for field in reading.lake.table(name).schema().fields}
    return None if column in found else f"that {name} lacks the column {column}"


def target_scan(reading: Reading, expectation: Expectation) -> str:
    """The values that a reference may have, in a FROM clause, as the column TARGET of `known`."""
    family, table, column = expectation["target"].split(".")
    name = f"{family}.{table}"
    version = reading.lake.table(name).version()
    path = sql_literal(reading.lake.path(name))
    return f'(SELECT DISTINCT "{column}" AS {TARGET} FROM delta_scan({path}, version => {version})) AS known'


def _uniqueness(reading: Reading, expectation: Expectation) -> tuple[int, int, str]:
    names = [f'"{name}"' for name in expectation["column_list"] or (expectation.column,)]
    columns, present = ", ".join(names), " OR ".join(f"{name} IS NOT NULL" for name in names)
    shared = f"FROM {reading.current_scan} WHERE ({present}) QUALIFY count(*) OVER (PARTITION BY {columns}) > 1"
    compared, violations = reading.rows(
        f"SELECT coalesce(sum(copies), 0)::BIGINT, coalesce(sum(copies) FILTER (WHERE copies > 1), 0)::BIGINT "
        f"FROM (SELECT count(*) AS copies FROM {reading.current_scan} WHERE {present} GROUP BY {columns})"
    )[0]
    return compared, violations, shared


def _references(reading: Reading, expectation: Expectation) -> tuple[int, int, str]:
    column = f'"{expectation.column}"'
    orphans = (
        f"FROM {reading.current_scan} ANTI JOIN {target_scan(reading, expectation)} ON {column} = known.{TARGET} "
        f"WHERE {column} IS NOT NULL"
    )
    compared = reading.rows(f"SELECT count({column}) FROM {reading.current_scan}")[0][0]
    return compared, reading.rows(f"SELECT count(*) {orphans}")[0][0], orphans


def _examples(reading: Reading, expectation: Expectation, broken: str) -> tuple[dict[str, Any], ...]:
    """The first rows of `broken`, a FROM clause, by primary key."""
    names = example_columns(reading, expectation)
    columns = ", ".join(f'"{name}"' for name in names)
    found = reading.rows(f"SELECT {columns} {broken} ORDER BY ALL NULLS FIRST LIMIT {examples_shown(expectation)}")
    return tuple(dict(zip(names, row, strict=True)) for row in found)


def _partitions(reading: Reading, broken: str) -> tuple[tuple[str, int], ...]:
    """The partitions that hold the rows of `broken`, a FROM clause, and how many rows; most rows first."""
    names = [name for name in reading.contract.partition_by if name in reading.columns]
    if not names or names != list(reading.contract.partition_by):
        return ()
    columns = ", ".join(f'"{name}"' for name in names)
    found = reading.rows(
        f"SELECT {columns}, count(*) AS violations FROM (SELECT {columns} {broken}) GROUP BY {columns} "
        f"ORDER BY violations DESC, {columns} LIMIT {PARTITIONS_NAMED}"
    )
    return tuple((partition_key(dict(zip(names, row, strict=False))), row[-1]) for row in found)


def example_columns(reading: Reading, expectation: Expectation) -> list[str]:
    """The columns shown of a violating row: its primary key, the columns that name it, and the column in question.

    If the key itself is null or not unique, a few other columns are added.
    """
    key = reading.contract.primary_key
    wanted = [*key, *reading.contract.named_by, expectation.column]
    if expectation.name in (NOT_NULL, UNIQUE, COMPOUND_UNIQUE) and expectation.column in (*key, None):
        known = {*wanted, *reading.contract.partition_by}
        others = [f.name for f in reading.contract.schema if f.name not in known and not pa.types.is_nested(f.type)]
        wanted += others[:MORE]
    return [name for name in dict.fromkeys(wanted) if name in reading.columns]
