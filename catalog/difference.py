"""What changed between two versions of a table: columns, rows, statistics of columns, and a sample of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.evolution import Change, changes
from catalog.lake import Lake
from catalog.lineage.links import descendants
from catalog.sql.query import query

SAMPLE = 5
"""Rows of each kind that are shown."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """A column in one version. Values are text, as SQL prints them; None for a type that has no order."""

    nulls: int
    distinct: int
    """Number of distinct values, estimated by HyperLogLog."""
    lowest: str | None
    highest: str | None
    mean: float | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What changed from one version of a table to another."""

    table: str
    first: int
    second: int
    columns: tuple[Change, ...]
    rows: tuple[int, int]
    added: int
    removed: int
    changed: int
    """Rows with the same primary key and another value in a column that both versions have."""
    statistics: Mapping[str, tuple[Statistics, Statistics]]
    """For each column whose statistics differ, those of both versions."""
    samples: Mapping[str, tuple[Mapping[str, Any], ...]]
    """Primary keys of the first rows that were `added`, `removed` and `changed`; of changed ones, also each column that
    changed, as [before, after]."""


def difference(
    lake: Lake, connection: duckdb.DuckDBPyConnection, contract: Contract, first: int, second: int
) -> Difference:
    """Compare two versions of a table, row by row along its primary key.

    Raises:
        WatershedError: a version does not exist, cannot be read any more, or lacks a column of the primary key.
    """
    schemas = [lake.table(contract.name, version).schema() for version in (first, second)]
    names = [[field.name for field in schema.fields] for schema in schemas]
    if missing := [key for key in contract.primary_key if key not in names[0] or key not in names[1]]:
        raise WatershedError(
            f"version {first} or {second} of {contract.name} has no column {missing[0]}, by which rows are compared",
            "compare versions that have the whole primary key",
        )
    shared = [name for name in names[0] if name in names[1]]
    compared = [name for name in shared if name not in contract.primary_key]
    counts, samples = _rows(connection, contract, compared, first, second)
    return Difference(
        table=contract.name,
        first=first,
        second=second,
        columns=tuple(changes(*schemas)),
        rows=(counts["before"], counts["after"]),
        added=counts["added"],
        removed=counts["removed"],
        changed=counts["changed"],
        statistics=_statistics(connection, contract, shared, first, second),
        samples=samples,
    )


def _rows(
    connection: duckdb.DuckDBPyConnection, contract: Contract, compared: list[str], first: int, second: int
) -> tuple[dict[str, int], dict[str, tuple[Mapping[str, Any], ...]]]:
    keys = [_quoted(key) for key in contract.primary_key]
    # Text, because a map cannot be compared; the values of a row are few.
    values = ", ".join(f"{_quoted(name)}::VARCHAR AS {_quoted(f'v{at}')}" for at, name in enumerate(compared))
    sides = [
        f"(SELECT {', '.join([*keys, *([values] if values else [])])}, 1 AS here "
        f"FROM {contract.name} AT (VERSION => {version}))"
        for version in (first, second)
    ]
    other = " OR ".join(f"a.v{at} IS DISTINCT FROM b.v{at}" for at in range(len(compared))) or "false"
    joined = f"{sides[0]} a FULL JOIN {sides[1]} b USING ({', '.join(keys)})"
    kind = f"CASE WHEN a.here IS NULL THEN 'added' WHEN b.here IS NULL THEN 'removed' WHEN {other} THEN 'changed' END"
    (row,) = _fetch(
        connection,
        "SELECT count(ah) AS before, count(bh) AS after, count(*) FILTER (kind = 'added') AS added, "
        "count(*) FILTER (kind = 'removed') AS removed, count(*) FILTER (kind = 'changed') AS changed "
        f"FROM (SELECT a.here AS ah, b.here AS bh, {kind} AS kind FROM {joined})",
    )
    both = ", ".join(f"a.v{at} AS a{at}, b.v{at} AS b{at}" for at in range(len(compared)))
    samples: dict[str, tuple[Mapping[str, Any], ...]] = {}
    for which in ("added", "removed", "changed"):
        shown = ", ".join([*keys, *([both] if which == "changed" and both else [])])
        found = _fetch(
            connection,
            f"SELECT {shown} FROM {joined} WHERE {kind} = '{which}' ORDER BY {', '.join(keys)} LIMIT {SAMPLE}",
        )
        samples[which] = tuple(_sample(each, contract, compared) for each in found)
    return row, samples


def _sample(row: Mapping[str, Any], contract: Contract, compared: list[str]) -> Mapping[str, Any]:
    """The key of a row, and of each column that changed the value before and after."""
    found: dict[str, Any] = {key: row[key] for key in contract.primary_key}
    for at, name in enumerate(compared):
        if f"a{at}" in row and row[f"a{at}"] != row[f"b{at}"]:
            found[name] = [row[f"a{at}"], row[f"b{at}"]]
    return found


def _statistics(
    connection: duckdb.DuckDBPyConnection, contract: Contract, shared: list[str], first: int, second: int
) -> dict[str, tuple[Statistics, Statistics]]:
    types = {column.name: column.type for column in contract.columns}
    found: list[dict[str, Statistics]] = []
    for version in (first, second):
        parts = []
        for at, name in enumerate(shared):
            quoted, type_ = _quoted(name), types.get(name)
            number = type_ is not None and (pa.types.is_integer(type_) or pa.types.is_floating(type_))
            ordered = number or (type_ is not None and (pa.types.is_string(type_) or pa.types.is_timestamp(type_)))
            parts += [
                f"count(*) - count({quoted}) AS n{at}",
                f"approx_count_distinct({quoted}::VARCHAR) AS d{at}",
                f"{f'min({quoted})' if ordered else 'NULL'}::VARCHAR AS l{at}",
                f"{f'max({quoted})' if ordered else 'NULL'}::VARCHAR AS h{at}",
                f"{f'avg({quoted})' if number else 'NULL'}::DOUBLE AS m{at}",
            ]
        (row,) = _fetch(connection, f"SELECT {', '.join(parts)} FROM {contract.name} AT (VERSION => {version})")
        found.append(
            {
                name: Statistics(
                    nulls=row[f"n{at}"],
                    distinct=row[f"d{at}"],
                    lowest=row[f"l{at}"],
                    highest=row[f"h{at}"],
                    mean=row[f"m{at}"],
                )
                for at, name in enumerate(shared)
            }
        )
    return {name: (found[0][name], found[1][name]) for name in shared if found[0][name] != found[1][name]}


def _fetch(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    found = query(connection, sql)
    assert found is not None
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def readers(lake: Lake, contract: Contract) -> list[str]:
    """The tables of the lake that are made from the table, directly or not."""
    return [name for name in descendants(contract.name) if lake.exists(name)]
