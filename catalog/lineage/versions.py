"""Which version of each table another was made from, from the commits of the lake alone.

Every commit is stored with its time, its fingerprint and the version of the code. A table was made from the versions of
its upstream tables that were the latest when it was committed. This needs neither Dagster nor its runs, so it survives
a run that failed, and a Dagster home that was lost.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

import duckdb

from catalog.sql.connection import LakeConnection, unchecked
from catalog.tables import CONTRACTS


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a table: what was committed, when, and by which code."""

    table: str
    version: int
    written_at: datetime.datetime
    operation: str
    fingerprint: str | None = None
    """The fingerprint of the table, or of the partition that was written; None if the commit has no note."""
    code: str | None = None
    partition: str | None = None
    """The partition that was written, if it was one alone."""
    latest: int
    """The latest version of the table."""

    @property
    def outdated(self) -> bool:
        """Whether the table has a later version."""
        return self.version < self.latest


class Versions:
    """All versions of the tables of a lake, read once."""

    def __init__(self, connection: duckdb.DuckDBPyConnection | LakeConnection) -> None:
        rows = (
            unchecked(connection)
            .execute(
                "SELECT name, version, written_at AT TIME ZONE 'UTC', any_value(operation), any_value(fingerprint), "
                "any_value(code), if(count(*) = 1, any_value(partition), NULL) "
                "FROM watershed.history GROUP BY ALL ORDER BY name, version"
            )
            .fetchall()
        )
        latest = {row[0]: row[1] for row in rows}
        self.of: dict[str, list[Version]] = {}
        for name, version, written_at, operation, fingerprint, code, partition in rows:
            self.of.setdefault(name, []).append(
                Version(
                    table=name,
                    version=version,
                    written_at=written_at.replace(tzinfo=datetime.UTC),
                    operation=operation or "",
                    fingerprint=fingerprint,
                    code=code,
                    partition=partition,
                    latest=latest[name],
                )
            )

    def latest(self, table: str) -> Version | None:
        """The latest version of the table; None if it is not made."""
        return self.of[table][-1] if self.of.get(table) else None

    def at(self, table: str, version: int) -> Version | None:
        """One version of the table; None if it has no such version."""
        return next((each for each in self.of.get(table, ()) if each.version == version), None)

    def before(self, table: str, moment: datetime.datetime) -> Version | None:
        """The version of the table that was the latest at `moment`."""
        return next((each for each in reversed(self.of.get(table, ())) if each.written_at <= moment), None)


def made_from(versions: Versions, found: Version) -> list[Version]:
    """The versions of all ancestors that a version rests on: of each, the one that was the latest for its reader."""
    read: dict[str, Version] = {}
    waiting = [found]
    while waiting:
        reader = waiting.pop(0)
        for name in CONTRACTS[reader.table].upstream:
            source = versions.before(name, reader.written_at)
            # Two readers may have read two versions: the earlier reader's is the one that both rest on.
            if source and (name not in read or source.version < read[name].version):
                read[name] = source
                waiting.append(source)
    return list(read.values())


def licences(tables: Iterable[str]) -> dict[str, list[str]]:
    """The licences that tables state themselves, each with its tables."""
    return _stated(tables, "licence", "as its upstream tables")


def sources(tables: Iterable[str]) -> dict[str, list[str]]:
    """The sources outside the lake that tables were made from, each with its tables."""
    return _stated(tables, "source", "derived")


def _stated(tables: Iterable[str], fact: str, inherited: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in tables:
        value = getattr(CONTRACTS[name], fact)
        if value != inherited:
            found.setdefault(value, []).append(name)
    return found
