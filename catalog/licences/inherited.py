"""The licences of a table: those that it states itself, and those of every table that it is made from.

A table that is made from others carries all of their licences, also where it states one of its own: a table of scores
may hold nothing that can be licensed, but that is for its owner to say, in `[licences] accept`. Where a table has a
licence a row (`Contract.licence_column`), the rows in the lake are counted by licence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache

from catalog.contract import Contract
from catalog.lake import Lake
from catalog.licences.known import NOT_STATED, Terms
from catalog.licences.names import INHERITED, Reading, licence_of, read_licence, read_licences
from catalog.literals import sql_literal

Counts = Callable[[Contract], Mapping[str, int]]
"""The rows of a table by the licence that they state; empty if the table has no such column, or is not made."""

MOST_NAMES = 500
"""Different licences of rows that are read from a table; what is beyond them is one entry."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """A licence that a table carries: its identifier, its terms, the tables that state it, and the rows that do."""

    id: str
    terms: Terms
    tables: tuple[str, ...]
    written: tuple[str, ...]
    """How these tables and rows name it."""
    rows: int | None = None
    """Rows with this licence, in tables that have a licence a row; None if none of the tables does."""
    problem: str = ""
    """Why the licence is not known, or what its name leaves open."""

    @property
    def title(self) -> str:
        """The name of the licence in words."""
        return licence_of(self.id).title


def own_licences(contract: Contract) -> tuple[Reading, ...]:
    """The licences that the contract of a table states, apart from those of its upstream tables."""
    if contract.licences:
        return tuple(read_licence(each) for each in contract.licences)
    if contract.licence == INHERITED:
        return () if contract.upstream else (read_licence(None),)
    return read_licences(contract.licence)


def rows_by_licence(lake: Lake) -> Counts:
    """A function that counts the rows of a table of `lake` by licence; it reads each table once."""

    @cache
    def counted(name: str, column: str) -> Mapping[str, int]:
        if not lake.exists(name) or lake.damage(name):
            return {}
        from catalog.sql.engine import open_engine

        with open_engine(lake) as connection:
            rows = connection.execute(
                f"SELECT coalesce({column}, ''), count(*) FROM delta_scan({sql_literal(lake.path(name))}) "
                f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {MOST_NAMES}"
            ).fetchall()
        return {str(licence): int(count) for licence, count in rows}

    return lambda contract: counted(contract.name, contract.licence_column) if contract.licence_column else {}


def licences_of(name: str, contracts: Mapping[str, Contract], counts: Counts | None = None) -> tuple[Held, ...]:
    """All licences that the table `name` carries, in the order of their identifiers.

    Args:
        contracts: the contracts of the catalog, by name.
        counts: what `rows_by_licence` returns for the lake; without it, only contracts are read.

    Example:
        >>> from catalog import CONTRACTS
        >>> from catalog.licences.inherited import licences_of
        >>> [held.id for held in licences_of("models.checkpoints", CONTRACTS)]
        ['LicenseRef-Common-Crawl', 'LicenseRef-Web-Page']
    """
    found: dict[str, list[tuple[Reading, str, int | None]]] = {}
    counted = {table: counts(contracts[table]) if counts else {} for table in ancestors(name, contracts)}
    # A selection states the licences of the rows that it has taken.
    closed = {table for table, by_row in counted.items() if by_row and contracts[table].selection}
    for table in ancestors(name, contracts, closed):
        contract, by_row = contracts[table], counted[table]
        for written, rows in (by_row or {"": None}).items():
            # A row that states no licence has those of its table.
            for reading in read_licences(written) if written else own_licences(contract):
                found.setdefault(reading.shown, []).append((reading, table, rows))
    return tuple(_held(found[identifier]) for identifier in sorted(found, key=str.casefold))


def ancestors(name: str, contracts: Mapping[str, Contract], closed: Collection[str] = ()) -> tuple[str, ...]:
    """The table itself and every table that it is made from, nearest first; what is above tables of `closed` is not."""
    seen = [name]
    for table in (each for each in seen if each not in closed):
        seen += [each for each in contracts[table].upstream if each in contracts and each not in seen]
    return tuple(seen)


def _held(stated: list[tuple[Reading, str, int | None]]) -> Held:
    reading = stated[0][0]
    counts = [rows for _, _, rows in stated if rows is not None]
    unknown = reading.id is None or reading.id == NOT_STATED
    return Held(
        id=reading.shown,
        terms=reading.terms,
        tables=tuple(dict.fromkeys(table for _, table, _ in stated)),
        written=tuple(dict.fromkeys(each.written for each, _, _ in stated if each.written)),
        rows=sum(counts) if counts else None,
        problem=_problem(reading) if unknown else "",
    )


def _problem(reading: Reading) -> str:
    if reading.candidates:
        return f"{reading.problem}: one of {', '.join(reading.candidates)}"
    return reading.problem or "no licence is stated"
