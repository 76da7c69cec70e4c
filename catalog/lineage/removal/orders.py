"""The list of removals: what people ordered to forget, stored so that it names no content.

    lake/_removals/ORDER.json    an order: SHA-256 digests of keys and of beginnings of addresses, and how far it is

An order is written before anything is deleted. From then on no writer of the lake can commit a row that it names
(`kept_rows`), so what is removed cannot come back by a run that began before, by a run again, or by a new crawl of the
same address. `watershed.removals` shows the list in SQL.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache, lru_cache
from typing import Any

import pyarrow as pa

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.family import Origin
from catalog.lineage.links import links
from catalog.storage.store import Stat, Store
from catalog.tables import CONTRACTS, FAMILIES, generation

FOLDER = "_removals"


@dataclass(frozen=True, kw_only=True)
class Order:
    """One order to forget, and what was done about it."""

    id: str
    ordered_at: str
    reason: str
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Digests of the values of identities such as `dclm.documents.doc_id`."""
    prefixes: Mapping[str, tuple[tuple[int, str], ...]] = field(default_factory=dict)
    """Length and digest of beginnings of addresses, by column."""
    done_at: str | None = None
    """When nothing was left; None if the removal is not finished."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """Rows that were removed or emptied, by table."""
    seen_by: tuple[Mapping[str, Any], ...] = ()
    """The runs that had read what was removed: run, sequences, tokens and the table of their steps."""


@dataclass(frozen=True)
class Removals:
    """All orders of a lake together: what no table may hold."""

    orders: tuple[Order, ...] = ()
    keys: Mapping[str, frozenset[str]] = field(default_factory=dict)
    prefixes: Mapping[str, Mapping[int, frozenset[str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, orders: Iterable[Order]) -> Removals:
        """The removals of the orders."""
        orders = tuple(orders)
        keys: dict[str, set[str]] = {}
        prefixes: dict[str, dict[int, set[str]]] = {}
        for order in orders:
            for identity, digests in order.keys.items():
                keys.setdefault(identity, set()).update(digests)
            for column, each in order.prefixes.items():
                for length, digest in each:
                    prefixes.setdefault(column, {}).setdefault(length, set()).add(digest)
        return cls(
            orders,
            {identity: frozenset(each) for identity, each in keys.items()},
            {column: {n: frozenset(each) for n, each in lengths.items()} for column, lengths in prefixes.items()},
        )

    def concern(self, contract: Contract) -> bool:
        """Whether the table may hold a row that is to be forgotten."""
        names = {*carriers(contract).values()}
        return bool(names & self.keys.keys()) or any(
            f"{contract.name}.{c.name}" in self.prefixes for c in contract.columns
        )

    def named(self, contract: Contract, rows: pa.Table | pa.RecordBatch) -> list[bool]:
        """For each row, whether it is to be forgotten. Columns that `rows` lacks are not looked at."""
        found = [False] * rows.num_rows
        for column, identity in carriers(contract).items():
            if column in rows.schema.names and (digests := self.keys.get(identity)):
                # A null names nothing, and "None" is a name.
                hits = {
                    value: value is not None and digest_of(identity, value) in digests
                    for value in set(rows[column].to_pylist())
                }
                found = [one or hits[value] for one, value in zip(found, rows[column].to_pylist(), strict=True)]
        for column in rows.schema.names:
            if lengths := self.prefixes.get(f"{contract.name}.{column}"):
                values = rows[column].to_pylist()
                found = [
                    one or self._begins(f"{contract.name}.{column}", value, lengths)
                    for one, value in zip(found, values, strict=True)
                ]
        return found

    @staticmethod
    def _begins(column: str, value: str | None, lengths: Mapping[int, frozenset[str]]) -> bool:
        return value is not None and any(
            len(value) >= length and digest_of(column, value[:length]) in digests for length, digests in lengths.items()
        )


def digest_of(identity: str, value: object) -> str:
    """The digest under which the list holds a value. SQL computes it as `sha256(identity || chr(10) || value)`."""
    return hashlib.sha256(f"{identity}\n{value}".encode("utf-8", "replace")).hexdigest()


def origins() -> tuple[Origin, ...]:
    """The tables whose rows people may order to forget.

    They are those that families declare, tables of files whose rows one column names, and mixtures.
    """
    return _origins(generation())


@lru_cache(maxsize=1)
def _origins(_generation: int) -> tuple[Origin, ...]:
    declared = [origin for family in FAMILIES for origin in family.lineage.origins]
    families = {family.name for family in FAMILIES}
    own = [each for each in CONTRACTS.values() if each.family not in families]
    named = [
        Origin(table=each.name, key=each.primary_key[0])
        for each in own
        if len(each.primary_key) == 1
        and (each.selection or not each.upstream)
        and (pa.types.is_string(type_ := each.column(each.primary_key[0]).type) or pa.types.is_integer(type_))
    ]
    return (*declared, *named)


def all_carriers() -> Mapping[str, Mapping[str, str]]:
    """The columns by which rows name what can be forgotten, by table: the identity that each column holds.

    They follow from the links of the contracts: a column derived from the key of an origin, however often, and a column
    that names rows of a table which are removed with it, such as the passages of a paper.
    """
    return _all_carriers(generation())


@lru_cache(maxsize=1)
def _all_carriers(_generation: int) -> Mapping[str, Mapping[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for origin in origins():
        found.setdefault(origin.table, {})[origin.key] = f"{origin.table}.{origin.key}"
    single = [link for link in links() if len(link.columns) == 1]
    named = {(link.upstream, link.theirs[0]) for link in single}
    changed = True
    while changed:
        changed = False
        for link in single:
            identity = found.get(link.upstream, {}).get(link.theirs[0])
            if identity and link.columns[0] not in found.setdefault(link.table, {}):
                found[link.table][link.columns[0]] = identity
                changed = True
        for name, columns in list(found.items()):
            key = CONTRACTS[name].primary_key
            if (
                columns
                and len(key) == 1
                and key[0] not in columns
                and (name, key[0]) in named
                and name not in blanked()
            ):
                columns[key[0]] = f"{name}.{key[0]}"
                changed = True
    return {name: columns for name, columns in found.items() if columns}


def carriers(contract: Contract) -> Mapping[str, str]:
    """The columns of the table by which its rows name what can be forgotten, with the identity of each."""
    return all_carriers().get(contract.name, {})


@cache
def blanked() -> Mapping[str, tuple[str, ...]]:
    """Tables whose rows stay, with the columns that are emptied."""
    return {name: columns for family in FAMILIES for name, columns in family.lineage.blanked.items()}


def kept_rows(contract: Contract, rows: pa.Table, removals: Removals) -> pa.Table:
    """`rows` without those that are to be forgotten; in a table of `blanked`, with their columns emptied."""
    if not removals.concern(contract):
        return rows
    named = removals.named(contract, rows)
    if not any(named):
        return rows
    if contract.name not in blanked():
        return rows.filter(pa.array([not one for one in named]))
    for column in blanked()[contract.name]:
        empty = None if contract.column(column).nullable else ""
        values = [empty if one else value for one, value in zip(named, rows[column].to_pylist(), strict=True)]
        at = rows.schema.get_field_index(column)
        rows = rows.set_column(at, rows.schema.field(at), pa.array(values, rows.schema.field(at).type))
    return rows


def read_removals(store: Store) -> Removals:
    """The list of removals of a lake.

    Args:
        store: the root of the lake.

    Raises:
        WatershedError: an order cannot be read; nothing may be written before it can.
    """
    listed = {path: stat for path, stat in store.listed(FOLDER).items() if path.endswith(".json")}
    if not listed:
        return Removals()
    known = _read.get(store.root)
    if known is None or known[0] != listed:
        # Changed orders are read again, and those that were there before, too: they are few.
        _read[store.root] = known = (listed, Removals.of(_order(store, path) for path in sorted(listed)))
    return known[1]


_read: dict[str, tuple[dict[str, Stat], Removals]] = {}


def write_order(store: Store, order: Order) -> None:
    """Write an order, or what has become of it, whole or not at all."""
    store.write(f"{FOLDER}/{order.id}.json", json.dumps(asdict(order), sort_keys=True).encode())


def finished(order: Order, rows: Mapping[str, int]) -> Order:
    """The order, done."""
    return replace(order, done_at=_now(), rows=_sum(order.rows, rows))


def new_order(
    number: int, reason: str, keys: Mapping[str, Iterable[str]], prefixes: Mapping[str, Iterable[str]]
) -> Order:
    """An order that names its values by digests alone.

    Args:
        number: how many orders there were before.
        reason: why, in the words of the person who ordered it.
        keys: values by identity.
        prefixes: beginnings of addresses by column.
    """
    named = {identity: tuple(sorted(digest_of(identity, v) for v in set(each))) for identity, each in keys.items()}
    begun = {
        column: tuple(sorted({(len(prefix), digest_of(column, prefix)) for prefix in each}))
        for column, each in prefixes.items()
    }
    at = _now()
    digest = hashlib.sha256(json.dumps([at, named, begun]).encode()).hexdigest()[:8]
    return Order(id=f"{number + 1:06}-{digest}", ordered_at=at, reason=reason, keys=named, prefixes=begun)


def _order(store: Store, path: str) -> Order:
    try:
        fields = json.loads(store.read(path))
        keys = {identity: tuple(each) for identity, each in fields.pop("keys").items()}
        prefixes = {
            column: tuple((int(n), str(digest)) for n, digest in each)
            for column, each in fields.pop("prefixes").items()
        }
        return Order(
            id=str(fields["id"]),
            ordered_at=str(fields["ordered_at"]),
            reason=str(fields["reason"]),
            keys=keys,
            prefixes=prefixes,
            done_at=fields["done_at"],
            rows=dict(fields["rows"]),
            seen_by=tuple(fields["seen_by"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WatershedError(
            f"{store.name(path)}, an order to forget, cannot be read: {error}",
            "put it back from a copy: without it, rows that were removed could be written again",
        ) from error


def _sum(before: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    return {name: before.get(name, 0) + more.get(name, 0) for name in {**before, **more}}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
