"""A removal from the whole lake: what it would do, its steps, and the proof that nothing is left.

The steps may be repeated, and a removal that was killed goes on where it was: the order is written first, and is marked
as done when a search of every table, every file of earlier versions, and every index and shard finds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Protocol

import duckdb

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.lineage.corpora import corpora
from catalog.lineage.readings import Reading, readings_of_keys
from catalog.lineage.removal.orders import (
    Order,
    Removals,
    blanked,
    carriers,
    digest_of,
    finished,
    new_order,
    origins,
    write_order,
)
from catalog.lineage.removal.tables import clear_table, left_in_table, rows_to_remove, values_of
from catalog.storage.store import Store
from catalog.tables import CONTRACTS

Connection = duckdb.DuckDBPyConnection


class Holder(Protocol):
    """Files outside the tables that hold parts of rows: shards, indexes."""

    def held(self, lake: Lake, removals: Removals) -> list[str]:
        """Return what the files hold of what is to be forgotten, in words."""
        ...

    def remove(self, lake: Lake, removals: Removals) -> None:
        """Remove it. Tables are cleared afterwards."""
        ...

    def remove_after_tables(self, lake: Lake, removals: Removals) -> None:
        """Remove what has to be made again from the tables once these are cleared."""
        ...

    def advice(self, lake: Lake, connection: Connection, keys: Mapping[str, Sequence[str]]) -> list[str]:
        """Return what the user should know before the removal, such as copies of what is to be forgotten."""
        ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a removal would do."""

    keys: Mapping[str, tuple[str, ...]]
    """Values by identity: what is named, and what other tables call it."""
    prefixes: Mapping[str, tuple[str, ...]]
    rows: Mapping[str, int]
    """Rows of the latest versions that are deleted, by table; in tables of `blanked`, rows that are emptied."""
    held: tuple[str, ...]
    readings: tuple[Reading, ...]
    """The runs that have read it already."""
    advice: tuple[str, ...]


def plan_removal(
    lake: Lake, connection: Connection, names: Sequence[str], prefixes: Sequence[str], holders: Sequence[Holder]
) -> Plan:
    """Find out what a removal would do. Nothing is changed.

    Args:
        lake: the lake.
        connection: SQL over it.
        names: keys of rows of an origin, such as doc_ids.
        prefixes: beginnings of web addresses, with scheme and host.
        holders: files outside the tables.

    Raises:
        WatershedError: nothing has such a name, or a prefix is too short to be meant.
    """
    keys = _named(lake, names)
    begun = {f"{each.table}.{each.url}": tuple(map(_prefix, prefixes)) for each in origins() if each.url and prefixes}
    removals = Removals.of([new_order(0, "", keys, begun)])
    # In the order in which data flows: passages are known when their vectors are looked for.
    for contract in CONTRACTS.values():
        if not removals.concern(contract) or not lake.exists(contract.name):
            continue
        for column, identity in carriers(contract).items():
            if identity == f"{contract.name}.{column}":
                keys[identity] = sorted({*keys.get(identity, ()), *values_of(lake, contract, removals, column)})
                removals = Removals.of([new_order(0, "", keys, begun)])
    rows = {name: rows_to_remove(lake, contract, removals) for name, contract in CONTRACTS.items()}
    documents_named = {each.documents: keys.get(f"{each.documents}.doc_id", []) for each in corpora()}
    return Plan(
        keys={identity: tuple(each) for identity, each in keys.items() if each},
        prefixes=begun,
        rows={name: count for name, count in rows.items() if count},
        held=tuple(words for holder in holders for words in holder.held(lake, removals)),
        readings=readings_of_keys(connection, documents_named),
        advice=(
            *_archives(lake, connection, documents_named),
            *(words for holder in holders for words in holder.advice(lake, connection, keys)),
        ),
    )


def order_removal(lake: Lake, plan: Plan, reason: str) -> Order:
    """Write the order of a plan. From now on no writer brings the rows back."""
    order = new_order(len(lake.removals().orders), reason, plan.keys, plan.prefixes)
    order = replace(order, seen_by=tuple(asdict(reading) for reading in plan.readings))
    write_order(_root(lake), order)
    return order


def unfinished(lake: Lake) -> list[Order]:
    """Orders that are not done: a removal was killed, or something is left."""
    return [order for order in lake.removals().orders if order.done_at is None]


def carry_out(lake: Lake, order: Order, holders: Sequence[Holder]) -> tuple[Order, list[str]]:
    """Carry out an order, from its beginning or from where it was killed; return it, and what is left.

    Raises:
        WatershedError: a table is damaged, or the disk is full; the order can be resumed.
    """
    removals = Removals.of([order])
    for holder in holders:
        holder.remove(lake, removals)
    rows = dict(order.rows)
    for contract in CONTRACTS.values():
        if removals.concern(contract) and lake.exists(contract.name):
            cleared = clear_table(lake, contract, removals)
            rows[contract.name] = rows.get(contract.name, 0) + cleared.rows
            if cleared.rows:
                order = replace(order, rows=dict(rows))
                write_order(_root(lake), order)
    for holder in holders:
        holder.remove_after_tables(lake, removals)
    left = what_is_left(lake, removals, holders)
    if not left:
        order = finished(order, {})
        write_order(_root(lake), order)
    return order, left


def what_is_left(lake: Lake, removals: Removals, holders: Sequence[Holder]) -> list[str]:
    """Everything in the lake that still holds what was to be forgotten, in words; empty if nothing does."""
    found = [words for contract in CONTRACTS.values() for words in left_in_table(lake, contract, removals)]
    return found + [words for holder in holders for words in holder.held(lake, removals)]


def proof_sql(order: Order) -> list[str]:
    """Queries that count rows which the order names, by the digests of the list; each gives 0 when it is done."""
    found = []
    for contract in CONTRACTS.values():
        if contract.name in blanked():
            continue
        for column, identity in carriers(contract).items():
            if identity in order.keys:
                found.append(
                    f"SELECT count(*) FROM {contract.name} WHERE sha256('{identity}' || chr(10) || {column}) IN "
                    f"(SELECT digest FROM watershed.removals WHERE removal = '{order.id}')"
                )
    return found


def removed_at(lake: Lake, name: str) -> Order | None:
    """The order by which the row called `name` was removed; None if there is none."""
    for order in lake.removals().orders:
        for identity, digests in order.keys.items():
            if digest_of(identity, name) in digests:
                return order
    return None


def _named(lake: Lake, names: Sequence[str]) -> dict[str, list[str]]:
    """The names by the identity of the origin that has them, in its latest version or an earlier one."""
    found: dict[str, list[str]] = {}
    missing = dict.fromkeys(names)
    for origin in origins():
        contract = CONTRACTS[origin.table]
        if not missing or not lake.exists(origin.table):
            continue
        identity = f"{origin.table}.{origin.key}"
        removals = Removals.of([new_order(0, "", {identity: list(missing)}, {})])
        held = values_of(lake, contract, removals, origin.key)
        if held:
            found[identity] = sorted(held)
            missing = dict.fromkeys(name for name in missing if name not in held)
    if missing:
        name = next(iter(missing))
        if order := removed_at(lake, name):
            raise WatershedError(f"{name} was removed already, by the order of {order.ordered_at[:10]}", "leave it out")
        tables = " or ".join(origin.table for origin in origins())
        raise WatershedError(f"nothing in {tables} is called {name}", "give whole ids, as SQL shows them")
    return found


def _prefix(prefix: str) -> str:
    scheme, separator, rest = prefix.partition("://")
    if not separator or not scheme.isalpha() or not rest.split("/")[0]:
        raise WatershedError(
            f"{prefix!r} is not the beginning of a web address", "give scheme and host: https://lake.example/people/"
        )
    return prefix


def _archives(lake: Lake, connection: Connection, named: Mapping[str, Sequence[str]]) -> list[str]:
    """The archives outside the lake that hold the documents, which stay.

    Args:
        lake: the lake.
        connection: SQL over it.
        named: doc_ids by the table of documents.
    """
    found: list[str] = []
    for corpus in corpora():
        doc_ids = named.get(corpus.documents)
        if not doc_ids or not corpus.archives or not all(map(lake.exists, (corpus.archives, corpus.documents))):
            continue
        sql = (
            f"SELECT uri, count(*) FROM {corpus.documents} JOIN {corpus.archives} USING (warc) "
            "WHERE doc_id IN (SELECT unnest($ids::VARCHAR[])) GROUP BY uri ORDER BY uri"
        )
        found += [
            f"{uri} holds {count:,} of them; the archive is not in the lake, and stays"
            for uri, count in connection.execute(sql, {"ids": list(doc_ids)}).fetchall()
        ]
    return found


def _root(lake: Lake) -> Store:
    return Store(lake.root, lake.storage_options)
