"""How rows name the rows that they were made from, by the contracts alone.

A column that is derived from a primary key of another table names rows of it, and so does an expectation `references`.
Families declare what no column says (`catalog.family.Link`). Lineage of rows and removals follow the same links, so a
table that is declared is traced and cleared without another line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

import pyarrow as pa

from catalog.contract import Contract
from catalog.family import Link
from catalog.tables import CONTRACTS, families, generation


def place(name: str) -> tuple[str, str]:
    """Table and column of `family.table.column`."""
    table, _, column = name.rpartition(".")
    return table, column


def links() -> tuple[Link, ...]:
    """Every link between rows of two tables, those of a table together, each once."""
    return _links(generation())


@lru_cache(maxsize=1)
def _links(_generation: int) -> tuple[Link, ...]:
    identities = {place(name) for family in families() for name in family.lineage.identities}
    declared = [link for family in families() for link in family.lineage.links]
    pairs = {(link.table, link.upstream) for link in declared}
    found = [link for contract in CONTRACTS.values() for link in _links_of(contract, identities)]
    # What a family declares about two tables replaces what their columns say one by one.
    return tuple(dict.fromkeys([*declared, *(link for link in found if (link.table, link.upstream) not in pairs)]))


def ancestors(table: str) -> tuple[str, ...]:
    """Every table that the table is made from, directly or not, the nearest first."""
    return _walk(table, lambda name: CONTRACTS[name].upstream)


def descendants(table: str) -> tuple[str, ...]:
    """Every table that is made from the table, directly or not, the nearest first."""
    return _walk(table, _made_of)


def is_list(type_: pa.DataType) -> bool:
    """Whether a column of this type holds several values in a row."""
    return pa.types.is_list(type_) or pa.types.is_large_list(type_)


def _links_of(contract: Contract, identities: set[tuple[str, str]]) -> list[Link]:
    # A table is named by all the columns together that are derived from it: split and shard, but not shard alone.
    together: dict[str, list[dict[str, str]]] = {}
    for column, (upstream, theirs) in _named(contract, identities):
        sets = together.setdefault(upstream, [{}])
        # A second column with the same meaning, such as chosen_model and rejected_model, is a link of its own.
        free = next((each for each in sets if theirs not in each), None)
        if free is None:
            sets.append(free := {})
        if column not in free.values():
            free[theirs] = column
    return [
        Link(contract.name, tuple(each.values()), upstream, tuple(each))
        for upstream, sets in together.items()
        for each in sets
        if each
    ]


def _named(contract: Contract, identities: set[tuple[str, str]]) -> list[tuple[str, tuple[str, str]]]:
    """Columns of the contract and the columns of other tables whose values they hold as names of rows."""
    found = []
    for column in contract.columns:
        for upstream, theirs in map(place, column.derived_from):
            known = CONTRACTS.get(upstream)
            if known is None or known is contract or theirs not in known.schema.names:
                continue
            if (theirs in known.primary_key or (upstream, theirs) in identities) and _same(
                column.type, known.column(theirs).type
            ):
                found.append((column.name, (upstream, theirs)))
    referring = [(e.column, place(e["target"])) for e in contract.expectations if e.name == "references" and e.column]
    return list(
        dict.fromkeys([*found, *((column, target) for column, target in referring if target[0] != contract.name)])
    )


def _same(type_: pa.DataType, theirs: pa.DataType) -> bool:
    return (type_.value_type if isinstance(type_, pa.ListType) else type_) == theirs


def _made_of(table: str) -> list[str]:
    return [contract.name for contract in CONTRACTS.values() if table in contract.upstream]


def _walk(table: str, next_of: Callable[[str], Iterable[str]]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    waiting = [table]
    while waiting:
        for name in next_of(waiting.pop(0)):
            if name not in found and name != table:
                found[name] = None
                waiting.append(name)
    return tuple(found)
