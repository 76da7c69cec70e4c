"""From rows to the rows that they were made from, and to those that were made from them, in SQL over the tables.

Rows of a table are followed along the links of the contracts (`catalog.lineage.links`) until no further row is found.
Each table that is reached has a set of rows, held by their primary keys in the memory of the connection.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import duckdb
import pyarrow as pa

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.family import Link
from catalog.lineage.links import is_list, links
from catalog.literals import sql_literal
from catalog.sql.connection import LakeConnection, unchecked
from catalog.sql.declare import MADE
from catalog.tables import CONTRACTS

Direction = Literal["upstream", "downstream"]

FOLLOWED = 100_000
"""Most rows of a table that are followed to other tables. Their number is exact whatever it is."""
SHOWN = 10
"""Rows of a table whose keys are returned."""


@dataclass(frozen=True)
class Reached:
    """Rows of a table that a trace has reached."""

    table: str
    rows: int
    keys: tuple[Mapping[str, Any], ...]
    """The primary keys of the first rows, in their order."""
    via: tuple[str, ...]
    """The tables from which the rows were reached."""

    @property
    def partial(self) -> bool:
        """Whether only some of the rows were followed further."""
        return self.rows > FOLLOWED


def key_of(contract: Contract, words: Iterable[str]) -> dict[str, Any]:
    """The columns of the primary key, or its first ones, with values given as text."""
    return dict(zip(contract.primary_key, words, strict=False))


def rows_named(connection: duckdb.DuckDBPyConnection | LakeConnection, table: str, key: Mapping[str, Any]) -> int:
    """How many rows of the table have the values `key`, which are compared as text."""
    (found,) = unchecked(connection).execute(f"SELECT count(*) FROM {table} WHERE {_is(table, key)}").fetchall()
    return int(found[0])


def row_values(
    connection: duckdb.DuckDBPyConnection | LakeConnection, table: str, key: Mapping[str, Any], count: int = 1
) -> list[dict[str, Any]]:
    """The first rows of the table with the values `key`, in the order of the primary key."""
    order = ", ".join(map(_quoted, CONTRACTS[table].primary_key))
    found = unchecked(connection).execute(
        f"SELECT * FROM {table} WHERE {_is(table, key)} ORDER BY {order} LIMIT {count}"
    )
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def follow(
    connection: duckdb.DuckDBPyConnection | LakeConnection,
    table: str,
    key: Mapping[str, Any],
    direction: Direction,
    whole: Collection[str] = (),
) -> list[Reached]:
    """The rows that rows of `table` were made from, or those made from them, table by table.

    Args:
        connection: what `catalog.connect` returned.
        table: the table to begin with.
        key: columns of the table and the values of the rows to begin with.
        direction: `upstream` or `downstream`.
        whole: tables of which the keys of all rows that are followed are returned, and not only those of the first.

    Returns:
        The tables that were reached, the nearest in the flow of data first; without the first table, unless its rows
        are reached again through others.

    Raises:
        WatershedError: no row of the table has these values.
    """
    if not rows_named(connection, table, key):
        raise WatershedError(
            f"{table} has no row with {' and '.join(f'{name} {value}' for name, value in key.items())}",
            f'see its rows by `watershed sql "FROM {table} LIMIT 10"`',
        )
    return _Trace(unchecked(connection).cursor(), direction, frozenset(whole)).follow(table, key)


@dataclass
class _Trace:
    connection: duckdb.DuckDBPyConnection
    direction: Direction
    whole: frozenset[str]
    via: dict[str, list[str]] = field(default_factory=dict)
    created: set[str] = field(default_factory=set)

    def follow(self, table: str, key: Mapping[str, Any]) -> list[Reached]:
        """Follow until no new row is found; tables are taken in the order in which data flows."""
        order = {name: at for at, name in enumerate(CONTRACTS)}
        made = {
            name
            for (name,) in self.connection.execute(
                f"SELECT name FROM watershed.tables WHERE kind = 'table' AND state = '{MADE}'"
            ).fetchall()
        }
        try:
            self._create(table)
            self._add(table, f"SELECT {_keys(table)} FROM {table} WHERE {_is(table, key)}")
            waiting = {table}
            while waiting:
                now = (max if self.direction == "upstream" else min)(waiting, key=order.__getitem__)
                waiting.discard(now)
                for link in self._links(now, made):
                    other = link.upstream if self.direction == "upstream" else link.table
                    self._create(other)
                    # Rows of the first table are not reached from themselves.
                    if self._add(other, self._joined(link)):
                        waiting.add(other)
                    if now not in self.via.setdefault(other, []):
                        self.via[other].append(now)
            reached = [
                self._reached(name)
                for name in sorted(self.via, key=order.__getitem__)
                if self._count(name) and name != table
            ]
        finally:
            for name in {table, *self.via}:
                self.connection.execute(f"DROP TABLE IF EXISTS {_memory(name)}")
        return reached[::-1] if self.direction == "upstream" else reached

    def _links(self, table: str, made: set[str]) -> list[Link]:
        near, far = ("table", "upstream") if self.direction == "upstream" else ("upstream", "table")
        return [
            link
            for link in links()
            if getattr(link, near) == table and getattr(link, far) in made and link.table != link.upstream
        ]

    def _joined(self, link: Link) -> str:
        """Select the primary keys at the other end of a link."""
        contract = CONTRACTS[link.table]
        columns = [
            f"unnest({_quoted(name)}) AS j{at}" if is_list(contract.column(name).type) else f"{_quoted(name)} AS j{at}"
            for at, name in enumerate(link.columns)
        ]
        theirs = [f"{_quoted(name)} AS j{at}" for at, name in enumerate(link.theirs)]
        names = ", ".join(f"j{at}" for at in range(len(theirs)))
        if self.direction == "upstream":
            near, far, near_columns, far_columns = link.table, link.upstream, columns, theirs
        else:
            near, far, near_columns, far_columns = link.upstream, link.table, theirs, columns
        keys = [f"{_quoted(name)} AS k{at}" for at, name in enumerate(CONTRACTS[far].primary_key)]
        held = f"(SELECT {_keys(near)} FROM {_memory(near)} LIMIT {FOLLOWED})"
        return (
            f"SELECT DISTINCT {', '.join(f'k{at}' for at in range(len(keys)))} "
            f"FROM (SELECT {', '.join([*keys, *far_columns])} FROM {far}) "
            f"SEMI JOIN (SELECT {', '.join(near_columns)} FROM {near} SEMI JOIN {held} USING ({_keys(near)})) "
            f"USING ({names})"
        )

    def _create(self, table: str) -> None:
        # DuckDB reads the log of a table for every statement that names it.
        if table in self.created:
            return
        self.created.add(table)
        self.connection.execute(
            f"CREATE TEMP TABLE IF NOT EXISTS {_memory(table)} AS SELECT {_keys(table)} FROM {table} LIMIT 0"
        )

    def _add(self, table: str, sql: str) -> int:
        """Add the keys that `sql` selects; return how many were new."""
        before = self._count(table)
        self.connection.execute(
            f"INSERT INTO {_memory(table)} (SELECT * FROM ({sql}) EXCEPT SELECT * FROM {_memory(table)})"
        )
        return self._count(table) - before

    def _count(self, table: str) -> int:
        ((count,),) = self.connection.execute(f"SELECT count(*) FROM {_memory(table)}").fetchall()
        return int(count)

    def _reached(self, table: str) -> Reached:
        names = CONTRACTS[table].primary_key
        most = FOLLOWED if table in self.whole else SHOWN
        rows = self.connection.execute(
            f"SELECT {_keys(table)} FROM {_memory(table)} ORDER BY {_keys(table)} LIMIT {most}"
        ).fetchall()
        keys = tuple(dict(zip(names, row, strict=True)) for row in rows)
        return Reached(table, self._count(table), keys, tuple(self.via[table]))


def _is(table: str, key: Mapping[str, Any]) -> str:
    # Files are skipped by their statistics only if a column is compared as it is.
    types = {column.name: column.type for column in CONTRACTS[table].columns}
    return " AND ".join(
        f"{_quoted(name)}{'' if pa.types.is_string(types[name]) else '::VARCHAR'} = {sql_literal(str(value))}"
        for name, value in key.items()
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _keys(table: str) -> str:
    return ", ".join(map(_quoted, CONTRACTS[table].primary_key))


def _memory(table: str) -> str:
    return _quoted(f"traced {table}")
