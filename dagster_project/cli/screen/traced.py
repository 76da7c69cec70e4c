"""Traces on the terminal: rows and tables upstream and downstream, versions, sources and licences; columns likewise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from catalog.lineage.corpora import corpora, model_tables
from catalog.lineage.readings import Reading
from catalog.lineage.rows import Reached
from catalog.lineage.trace import Thing, Trace
from catalog.lineage.versions import Version
from dagster_project.cli.screen.render import cell, moment

LABEL = 12
KEYS_SHOWN, CORPUS_SHOWN, VALUE = 3, 10, 100
VALUES = 12
"""Values of a row that are shown: the first ones that fit in a line."""


def title(screen: Console, kind: str, name: str) -> None:
    """Print what is traced."""
    screen.print(Text(f"{kind} ", style="dim") + Text(name, style="bold"), soft_wrap=True)


def line(screen: Console, label: str, value: str) -> None:
    """Print one fact."""
    screen.print(Text(f"  {label:<{LABEL}}", style="dim") + Text(value), soft_wrap=True)


def print_trace(screen: Console, found: Trace) -> None:
    """Print a trace of a table or of rows. More rows are shown of tables of documents than of others."""
    thing = found.thing
    title(screen, "table" if thing.key is None else "rows" if (found.rows or 0) > 1 else "row", thing.name)
    if found.row:
        values = ", ".join(f"{name} {cell(value, 40)}" for name, value in _short(found.row).items())
        more = f" (the first of {found.rows:,})" if (found.rows or 0) > 1 else ""
        line(screen, "values", f"{values}{more}")
    if found.made:
        line(screen, "version", _version(found.made))
    for name, value in found.configuration.items():
        line(screen, name, cell(value, 400))
    _print_lines(screen, "made from", [_reached(each) for each in found.upstream])
    _print_lines(screen, "rests on it", [_reached(each) for each in found.downstream])
    print_readings(screen, found.readings, found.documents)
    followed = {reached.table for reached in (*found.upstream, *found.downstream)}
    _print_tables(screen, "upstream", [each for each in found.read if each.table not in followed or thing.key is None])
    _print_tables(screen, "downstream", found.readers if thing.key is None else ())
    _print_stated(screen, "source", found.sources)
    _print_stated(screen, "licence", found.licences)
    for command in next_commands(found):
        line(screen, "next", command)


def print_readings(screen: Console, readings: Sequence[Reading], documents: int) -> None:
    """Print how often each run has read the documents that were traced; nothing if there are none."""
    if not documents:
        return
    which = "it" if documents == 1 else f"{documents:,} documents"
    lines = [f"{each.run}  {reading_count(each)} of {which}  ({each.table})" for each in readings]
    _print_lines(screen, "read by", lines or ["no model, as far as the lake has recorded training steps"])


def reading_count(reading: Reading) -> str:
    """Return how much a run has read, in words."""
    sequences = "1 sequence" if reading.sequences == 1 else f"{reading.sequences:,} sequences"
    return f"{sequences} with {reading.tokens:,} {'token' if reading.tokens == 1 else 'tokens'}"


def next_commands(found: Trace) -> list[str]:
    """Return commands that follow the trace further: its models, its shards, its documents."""
    ways = {*model_tables(), *(name for each in corpora() for name in (each.shards, each.documents))}
    commands = []
    for each in found.upstream:
        thing = Thing(each.table, each.keys[0]) if each.keys else None
        if thing and each.table in ways:
            commands.append(f"watershed trace {thing.name}")
    return commands[-3:]


def print_columns(
    screen: Console, name: str, upstream: Sequence[tuple[str, str]], downstream: Sequence[tuple[str, str]]
) -> None:
    """Print the columns that a column was made from, and those that are made from it."""
    title(screen, "column", name)
    for reader, source in upstream:
        line(screen, "made from", source if reader == name else f"{source}, for {reader}")
    for source, reader in downstream:
        line(screen, "rests on it", reader if source == name else f"{reader}, by {source}")
    if not upstream and not downstream:
        line(screen, "alone", "it is made from no other column, and none is made from it")


def print_others(screen: Console, things: Iterable[Thing]) -> None:
    """Print other things of the same name."""
    for thing in things:
        line(screen, "also", f"watershed trace {thing.name}")


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a row that fit in a line."""
    fitting = {
        name: value
        for name, value in row.items()
        if value is not None and not isinstance(value, (bytes, list, dict)) and len(str(value)) <= VALUE
    }
    return dict(list(fitting.items())[:VALUES])


def _reached(found: Reached) -> str:
    documents = {each.documents for each in corpora()}
    shown = CORPUS_SHOWN if found.table in documents else KEYS_SHOWN
    names = ", ".join("/".join(str(value) for value in key.values()) for key in found.keys[:shown])
    more = f" and {found.rows - shown:,} more" if found.rows > shown else ""
    count = "1 row" if found.rows == 1 else f"{found.rows:,} rows"
    partial = "; the first ones were followed" if found.partial else ""
    return f"{found.table:<25} {count:>12}  {names}{more}{partial}"


def _version(found: Version) -> str:
    parts = [f"{found.version}, written {moment(found.written_at)} UTC"]
    if found.fingerprint:
        parts.append(f"fingerprint {found.fingerprint}")
    if found.code:
        parts.append(f"code {found.code}")
    if found.outdated:
        parts.append(f"the latest is {found.latest}")
    return ", ".join(parts)


def _print_tables(screen: Console, label: str, versions: Iterable[Version]) -> None:
    _print_lines(screen, label, [f"{each.table:<25} version {_version(each)}" for each in versions])


def _print_stated(screen: Console, label: str, stated: Mapping[str, Sequence[str]]) -> None:
    _print_lines(screen, label, [f"{value} ({', '.join(tables)})" for value, tables in stated.items()])


def _print_lines(screen: Console, label: str, values: Sequence[str]) -> None:
    """Print several facts under one label."""
    for at, value in enumerate(values):
        line(screen, "" if at else label, value)
