"""The rows of files that break a contract, each with its file, its number, its key and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from catalog.adding.reading import SOURCE_FILE, SOURCE_ROW, SPLIT, Opened, readable, rows_sql
from catalog.cards.card import statement
from catalog.contract import Contract, Expectation
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.literals import sql_literal
from catalog.printable import one_line
from catalog.projects.contract_file import OwnTable
from catalog.projects.types import quoted, sql_type
from catalog.violations import violation_sql

ROWS_NAMED = 5
"""Rows named of those that break one rule."""
VALUE_WIDTH = 60
INCOMING = "incoming_rows"

UNIQUE = ("expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique")
ROW_COUNT = "expect_table_row_count_to_be_between"
REFERENCES = "references"


@dataclass(frozen=True)
class Broken:
    """A rule that rows of files break: the rule in words, how many rows break it, and the first of them by name."""

    rule: str
    rows: int
    named: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """The rows, one a line, and how many more there are."""
        yield from self.named
        if self.rows > len(self.named) > 0:
            yield f"and {self.rows - len(self.named):,} more rows: {self.rule}"


class BrokenContract(WatershedError):
    """Files break a contract. `broken` names the rows."""

    def __init__(self, table: OwnTable, broken: Sequence[Broken]) -> None:
        first = next((name for each in broken for name in each.named), broken[0].rule)
        rules = f"{len(broken)} rules of the contract" if len(broken) > 1 else "the contract"
        super().__init__(
            f"the rows break {rules} of {table.contract.name}: {first}",
            f"correct the file, or change {table.path} if the contract is wrong; nothing was written",
        )
        self.broken = tuple(broken)

    def __reduce__(self) -> Any:
        return WatershedError, (self.cause, self.mend)


def require_kept(
    connection: duckdb.DuckDBPyConnection, lake: Lake, table: OwnTable, files: Sequence[Opened], *, beside: bool
) -> None:
    """Check that the rows of files fulfil a contract, before anything is written.

    Args:
        beside: whether the rows will stand beside those of other files in the table: a key must not be in both.

    Raises:
        BrokenContract: rows break the contract.
    """
    if broken := broken_rows(connection, lake, table, files, beside=beside):
        raise BrokenContract(table, broken)


def broken_rows(
    connection: duckdb.DuckDBPyConnection, lake: Lake, table: OwnTable, files: Sequence[Opened], *, beside: bool
) -> list[Broken]:
    """What the rows of files break of a contract."""
    contract = table.contract
    broken = list(_columns(table, files))
    if broken:
        return broken
    with readable(", ".join(each.listed.name for each in files[:3])):
        # In memory, or on disk where they do not fit: files are parsed once.
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {INCOMING} AS {rows_sql(table, files)}")
    # What a rule says, the predicate of rows that break it, and the column of the value that is shown.
    rules: list[tuple[str, str, str | None]] = [
        (f"{column.name} is of type {sql_type(column.type)}", f'"bad {at}"', f"raw {at}")
        for at, column in enumerate(contract.columns)
    ]
    for expectation in contract.all_expectations():
        if expectation.severity == "warn" or expectation.name in (*UNIQUE, ROW_COUNT, REFERENCES):
            continue
        predicate = violation_sql(expectation, contract.schema.field(expectation.column).type)
        # A value of another type is one fault, not two.
        at = contract.schema.names.index(str(expectation.column))
        rules.append((statement(expectation), f'({predicate} AND NOT "bad {at}")', expectation.column))
    counts = connection.sql(
        f"SELECT {', '.join(f'count(*) FILTER (WHERE {sql})' for _, sql, _ in rules)} FROM {INCOMING}"
    )
    for (rule, predicate, column), count in zip(rules, counts.fetchall()[0], strict=True):
        if count:
            broken.append(Broken(rule, count, _named(connection, contract, files, rule, f"WHERE {predicate}", column)))
    for expectation in contract.all_expectations():
        if expectation.severity == "warn" or expectation["mostly"] is not None:
            continue
        if expectation.name in UNIQUE:
            broken += _duplicates(connection, lake, contract, files, expectation, beside)
        elif expectation.name == REFERENCES:
            broken += _orphans(connection, lake, contract, files, expectation)
        elif expectation.name == ROW_COUNT and not beside:
            ((count,),) = connection.execute(f"SELECT count(*) FROM {INCOMING}").fetchall()
            if count < (expectation["min_value"] or 0):
                broken.append(Broken(f"{statement(expectation)}, not {count:,}", 1, ()))
    return broken


def _columns(table: OwnTable, files: Sequence[Opened]) -> Iterator[Broken]:
    known = {table.name_in_files(column.name) for column in table.contract.columns} | set(table.left_out)
    made = {SOURCE_FILE, SOURCE_ROW, SPLIT}
    for each in files:
        for name in each.columns:
            if name not in known:
                yield Broken(f"{each.listed.name}: the column {name!r} is not in the contract", 1, ())
        for column in table.contract.columns:
            name = table.name_in_files(column.name)
            if name not in each.columns and not column.nullable and column.name not in made:
                yield Broken(f"{each.listed.name}: the column {name!r} is missing, and it must not be null", 1, ())


def _duplicates(  # noqa: PLR0917
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    contract: Contract,
    files: Sequence[Opened],
    expectation: Expectation,
    beside: bool,
) -> Iterator[Broken]:
    columns = [quoted(name) for name in expectation["column_list"] or (str(expectation.column),)]
    listed, present = ", ".join(columns), " OR ".join(f"{column} IS NOT NULL" for column in columns)
    rule = f"{listed.replace(chr(34), '')} is unique"
    where = f"WHERE ({present}) QUALIFY count(*) OVER (PARTITION BY {listed}) > 1"
    ((count,),) = connection.execute(f"SELECT count(*) FROM (SELECT 1 FROM {INCOMING} {where})").fetchall()
    if count:
        named = _named(
            connection, contract, files, f"{rule}; several rows of the files have it", where, expectation.column
        )
        yield Broken(rule, count, named)
    # Where every row is called by its file and number, other files have other keys.
    if beside and set(expectation["column_list"] or ()) != {SOURCE_FILE, SOURCE_ROW} and lake.exists(contract.name):
        others = _stored(lake, contract.name)
        if SOURCE_FILE in contract.schema.names:
            names = ", ".join(sql_literal(each.listed.name) for each in files)
            others = f"(FROM {others} WHERE {SOURCE_FILE} NOT IN ({names}))"
        where = f"SEMI JOIN {others} AS stored USING ({listed})"
        ((count,),) = connection.execute(f"SELECT count(*) FROM {INCOMING} {where}").fetchall()
        if count:
            rule = f"{rule}; the table has it already"
            yield Broken(rule, count, _named(connection, contract, files, rule, where, expectation.column))


def _orphans(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    contract: Contract,
    files: Sequence[Opened],
    expectation: Expectation,
) -> Iterator[Broken]:
    family, name, column = expectation["target"].split(".")
    target = f"{family}.{name}"
    if target == contract.name:
        known = f"SELECT {quoted(column)} AS known_value FROM {INCOMING}"
        known += f" UNION ALL SELECT {quoted(column)} FROM {_stored(lake, target)}" if lake.exists(target) else ""
    elif lake.exists(target):
        known = f"SELECT {quoted(column)} AS known_value FROM {_stored(lake, target)}"
    else:
        yield Broken(f"{statement(expectation)}, and {target} is not made yet", 1, ())
        return
    own = quoted(str(expectation.column))
    where = f"ANTI JOIN ({known}) AS known ON {own} = known_value WHERE {own} IS NOT NULL"
    ((count,),) = connection.execute(f"SELECT count(*) FROM {INCOMING} {where}").fetchall()
    if count:
        rule = statement(expectation)
        yield Broken(rule, count, _named(connection, contract, files, rule, where, expectation.column))


def _stored(lake: Lake, name: str) -> str:
    return f"delta_scan({sql_literal(lake.path(name))}, version => {lake.table(name).version()})"


def _named(  # noqa: PLR0917
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    files: Sequence[Opened],
    rule: str,
    where: str,
    column: str | None,
) -> tuple[str, ...]:
    """The first rows of a FROM clause's rest, each as its place, its key and the value in question."""
    key = [name for name in contract.primary_key if name not in (SOURCE_FILE, SOURCE_ROW)]
    shown = list(dict.fromkeys((*key, *([column] if column else []))))
    has_place = {SOURCE_FILE, SOURCE_ROW} <= set(contract.schema.names)
    places = [SOURCE_FILE, SOURCE_ROW] if has_place else []
    selected = ", ".join(quoted(name) for name in (*places, *shown)) or "1"
    found = connection.execute(
        f"SELECT {selected} FROM {INCOMING} {where} {f'ORDER BY {SOURCE_FILE}, {SOURCE_ROW}' if has_place else ''} "
        f"LIMIT {ROWS_NAMED}"
    ).fetchall()
    lines = []
    for row in found:
        place = f"{one_line(str(row[0]), 80)} row {row[1]:,}" if has_place else one_line(files[0].listed.name, 80)
        values = ", ".join(
            f"{_called(contract, name)}={_value(value)}" for name, value in zip(shown, row[len(places) :], strict=False)
        )
        lines.append(f"{place}{f' ({values})' if values else ''}: expected {rule}")
    return tuple(lines)


def _called(contract: Contract, name: str) -> str:
    return contract.schema.names[int(name.removeprefix("raw "))] if name.startswith("raw ") else name


def _value(value: Any) -> str:
    return "NULL" if value is None else one_line(repr(value), VALUE_WIDTH)
