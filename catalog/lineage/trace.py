"""A trace: what a thing of the lake was made from, and what was made from it, down to versions, code and licences.

A thing is a table, a version of it, or rows of it: `dclm.mixture`, `dclm.mixture@3`, `models.checkpoints:70k-1xC`, or
the name of a row alone where a table has one of that name: a run, the target of a forecast, the uuid of an evaluation,
an answer, a document.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import duckdb
import pyarrow as pa

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.lineage.links import ancestors, descendants, links
from catalog.lineage.readings import Reading, document_tables, documents_among, readings_of_keys
from catalog.lineage.rows import SHOWN, Reached, follow, key_of, row_values, rows_named
from catalog.lineage.versions import Version, Versions, licences, made_from, sources
from catalog.names import find
from catalog.sql.connection import LakeConnection
from catalog.sql.declare import MADE
from catalog.tables import CONTRACTS

_NAMED = re.compile(r"(?P<table>[A-Za-z_]\w*\.[A-Za-z_]\w*)(?:@(?P<version>\d+)|:(?P<key>.+))?\Z", re.DOTALL)

CONFIGURATION = ("config", "settings", "recipe", "protocol")
"""Columns that hold how a row was made."""


@dataclass(frozen=True)
class Thing:
    """What is traced: a table, a version of it, or the rows with some values of its key."""

    table: str
    key: Mapping[str, Any] | None = None
    version: int | None = None

    @property
    def name(self) -> str:
        """The thing as `watershed trace` takes it."""
        if self.key is not None:
            return f"{self.table}:{'/'.join(map(str, self.key.values()))}"
        return self.table if self.version is None else f"{self.table}@{self.version}"


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What is known about a thing."""

    thing: Thing
    made: Version | None
    """The version that holds it."""
    rows: int | None
    """How many rows it is; None for a table."""
    row: Mapping[str, Any] | None
    """The first of these rows."""
    configuration: Mapping[str, Any]
    upstream: tuple[Reached, ...]
    downstream: tuple[Reached, ...]
    read: tuple[Version, ...]
    """Versions of all tables that the version rests on."""
    readers: tuple[Version, ...]
    """Latest versions of the tables that are made from its table."""
    documents: int
    """How many training documents the rows are, or became, in all corpora together."""
    readings: tuple[Reading, ...]
    """How often each run has read one of these documents."""
    sources: Mapping[str, list[str]]
    licences: Mapping[str, list[str]]

    def as_json(self) -> dict[str, Any]:
        """The trace as JSON values."""
        return _plain(
            {
                "thing": self.thing.name,
                "table": self.thing.table,
                "key": self.thing.key,
                "version": _version(self.made) if self.made else None,
                "rows": self.rows,
                "row": self.row,
                "configuration": self.configuration,
                "upstream": {"rows": list(map(_reached, self.upstream)), "tables": list(map(_version, self.read))},
                "downstream": {
                    "rows": list(map(_reached, self.downstream)),
                    "tables": list(map(_version, self.readers)),
                },
                "readings": [asdict(each) for each in self.readings],
                "sources": self.sources,
                "licences": self.licences,
            }
        )


def named_things(connection: duckdb.DuckDBPyConnection | LakeConnection, name: str) -> list[Thing]:
    """The things that `name` may mean: several, if tables have rows of that name that mean different things.

    Raises:
        WatershedError: it names a table that does not exist or is not made, or a version or row that it lacks.
    """
    if (match := _NAMED.match(name)) and (table := find(match["table"], CONTRACTS)):
        if match["key"]:
            return [Thing(table, key_of(CONTRACTS[table], match["key"].split("/")))]
        return [Thing(table, version=int(match["version"]) if match["version"] else None)]
    if match and (match["key"] or match["version"]):
        from catalog.tables import contract

        contract(match["table"])
    found = []
    for table in _made(connection):
        for key in _names_of(CONTRACTS[table], name.split("/")):
            if rows_named(connection, table, key):
                found.append(Thing(table, key))
                break
    return found


def trace(connection: duckdb.DuckDBPyConnection | LakeConnection, thing: Thing) -> Trace:
    """Everything that the thing was made from, and that was made from it.

    Raises:
        WatershedError: the table is not made, or it has no such version or row.

    Example:
        >>> from catalog import connect, load_settings
        >>> from catalog.lineage.trace import Thing, trace
        >>> found = trace(connect(load_settings()), Thing("ladder.predictions", {"target": "80k-4xC"}))
        >>> [reached.table for reached in found.upstream][:3]
        ['ladder.fits', 'ladder.points', 'evals.results']
    """
    versions = Versions(connection)
    made = versions.latest(thing.table)
    if made is None:
        command = CONTRACTS[thing.table].command
        raise WatershedError(f"{thing.table} is not made yet", f"run `{command or f'watershed make {thing.table}'}`")
    if thing.version is not None:
        latest, made = made.version, versions.at(thing.table, thing.version)
        if made is None:
            raise WatershedError(f"{thing.table} has no version {thing.version}", f"choose one up to {latest}")
    upstream: list[Reached] = []
    downstream: list[Reached] = []
    documents: dict[str, list[str]] = {}
    rows = row = None
    if thing.key is not None:
        upstream = follow(connection, thing.table, thing.key, "upstream")
        found = follow(connection, thing.table, thing.key, "downstream", document_tables())
        downstream = [replace(each, keys=each.keys[:SHOWN]) for each in found]
        documents = documents_among(thing.table, thing.key, found)
        rows = rows_named(connection, thing.table, thing.key)
        (row,) = row_values(connection, thing.table, thing.key)
        made = _written(versions, CONTRACTS[thing.table], row) or made
    tables = (thing.table, *ancestors(thing.table))
    return Trace(
        thing=thing,
        made=made,
        rows=rows,
        row=row,
        configuration={name: _parsed(row[name]) for name in CONFIGURATION if row and row.get(name)},
        upstream=tuple(upstream),
        downstream=tuple(downstream),
        read=tuple(made_from(versions, made)),
        readers=tuple(latest for name in descendants(thing.table) if (latest := versions.latest(name))),
        documents=sum(map(len, documents.values())),
        readings=readings_of_keys(connection, documents),
        sources=sources(tables),
        licences=licences(tables),
    )


def _names_of(contract: Contract, words: list[str]) -> list[dict[str, Any]]:
    """The keys of rows that the words may name: the table's own names, and not those of the rows it was made from."""
    own = [
        name
        for name in (*contract.primary_key, *contract.named_by)
        if pa.types.is_string(contract.column(name).type) and name not in _borrowed(contract.name)
    ]
    found = [
        {name: words[0]} for name in own if len(words) == 1 and name in (contract.primary_key[0], *contract.named_by)
    ]
    whole = [name for name in contract.primary_key if pa.types.is_string(contract.column(name).type)]
    if len(words) > 1 and len(words) == len(contract.primary_key) == len(whole) and whole[0] in own:
        found.append(dict(zip(contract.primary_key, words, strict=True)))
    return found


def _borrowed(table: str) -> set[str]:
    """Columns of the table that name rows of others."""
    declared = {column.name for column in CONTRACTS[table].columns if column.derived_from}
    return declared | {name for link in links() if link.table == table for name in link.columns}


def _written(versions: Versions, contract: Contract, row: Mapping[str, Any]) -> Version | None:
    """The last version that wrote the partition of the row."""
    from catalog.lake import partition_key

    key = partition_key({name: row[name] for name in contract.partition_by})
    return next((each for each in reversed(versions.of.get(contract.name, [])) if key and each.partition == key), None)


def _made(connection: duckdb.DuckDBPyConnection | LakeConnection) -> list[str]:
    rows = connection.execute("SELECT name, state FROM watershed.tables WHERE kind = 'table'").fetchall()
    return [name for name, state in rows if state == MADE]


def _parsed(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _version(found: Version) -> dict[str, Any]:
    return {
        "table": found.table,
        "version": found.version,
        "written_at": found.written_at,
        "fingerprint": found.fingerprint,
        "code": found.code,
        "latest": found.latest,
    }


def _reached(found: Reached) -> dict[str, Any]:
    return {
        "table": found.table,
        "rows": found.rows,
        "keys": list(found.keys),
        "via": list(found.via),
        "partial": found.partial,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
