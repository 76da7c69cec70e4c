"""Time travel in SQL: `FROM dclm.documents AT (VERSION => 3)`, `... AT (TIMESTAMP => '2026-01-01 10:00')`.

DuckDB parses AT but cannot bind it on a view, so the name before it is replaced by that of a view of this version,
`version_3.dclm.documents`, which columns can still be qualified by. AT may come before or after an alias. DuckDB's own
tokenizer separates strings and comments from code. Anything that is not a table of the lake is left to DuckDB.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import duckdb

from catalog.errors import WatershedError
from catalog.literals import sql_literal
from catalog.object_store import is_object_store
from catalog.sql.connection import unchecked
from catalog.sql.declare import DAMAGED, MADE, damaged_table
from catalog.storage.removed import refuse_unreadable
from catalog.storage.store import Store

_GAP = rb"(?:\s|/\*.*?\*/|--[^\n]*\n)*"
_CLAUSE = re.compile(rb"AT%b\(%b(VERSION|TIMESTAMP)%b=>" % (_GAP, _GAP, _GAP), re.IGNORECASE | re.DOTALL)
_WORD = re.compile(rb'"(?:[^"]|"")*"|[^\W\d][\w$]*')


@dataclass(frozen=True)
class _Travel:
    """One AT clause: where the name of its table and the clause itself are, in bytes, and the version that it names."""

    name: str
    name_span: tuple[int, int]
    clause_span: tuple[int, int]
    unit: str
    moment: str


def resolve(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """`sql` with every AT clause on a table of the lake replaced by a view of that version.

    Raises:
        WatershedError: the table has no such version, or no version as old as the time, it is damaged, or rows of the
            version were removed by order.
    """
    raw = sql.encode()
    travels = _find(raw)
    if not travels:
        return sql
    tables = connection.execute("SELECT name, path, state FROM watershed.tables").fetchall()
    known = {name: path for name, path, state in tables if state == MADE}
    damaged = {name: state for name, _, state in tables if state.startswith(DAMAGED)}
    for travel in reversed(travels):
        if travel.name in damaged:
            raise damaged_table(travel.name, damaged[travel.name])
        if travel.name not in known:
            continue
        if known[travel.name] is None:
            raise WatershedError(f"{travel.name} is a view and has no versions", "use AT on the tables that it reads")
        version = _version(connection, travel)
        view = _view_at(connection, travel.name, known[travel.name], version).encode()
        (start, stop), (clause_start, clause_stop) = travel.name_span, travel.clause_span
        raw = raw[:start] + view + raw[stop:clause_start] + raw[clause_stop:]
    return raw.decode()


def _find(raw: bytes) -> list[_Travel]:
    """Every AT clause of `raw`, in order; offsets count bytes, as those of the tokenizer do."""
    matches = list(_CLAUSE.finditer(raw))
    if not matches:
        return []
    starts = [offset for offset, _ in duckdb.tokenize(raw.decode())]
    found = []
    for match in matches:
        if match.start() not in starts:
            continue
        place = starts.index(match.start())
        name = _name_before(raw, starts[:place])
        close = _closing(raw, [start for start in starts if start >= match.end()])
        if name and close:
            words, span = name
            moment = raw[match.end() : close].decode().strip()
            found.append(
                _Travel(".".join(words[-2:]), span, (match.start(), close + 1), match.group(1).decode().upper(), moment)
            )
    return found


def _closing(raw: bytes, starts: list[int]) -> int | None:
    depth = 1
    for start in starts:
        depth += {b"(": 1, b")": -1}.get(raw[start : start + 1], 0)
        if depth == 0:
            return start
    return None


def _name_before(raw: bytes, starts: list[int]) -> tuple[list[str], tuple[int, int]] | None:
    """The words and the span of the qualified name at the end of the tokens, without its alias."""

    def dotted(place: int) -> bool:
        return place >= 1 and raw[starts[place - 1] : starts[place - 1] + 1] == b"."

    place = len(starts) - 1
    if place >= 0 and not dotted(place):
        place -= 2 if place >= 1 and raw[starts[place - 1] :][:2].upper() == b"AS" else 1
    if place < 2 or not dotted(place):
        return None
    last = place
    while dotted(place) and place >= 2:
        place -= 2
    words = [_WORD.match(raw, start) for start in starts[place : last + 1 : 2]]
    if not all(words):
        return None
    names = [word.group().decode() for word in words if word]
    span = (starts[place], starts[last] + len(names[-1].encode()))
    return [word[1:-1].replace('""', '"') if word.startswith('"') else word.lower() for word in names], span


def _version(connection: duckdb.DuckDBPyConnection, travel: _Travel) -> int:
    kind, example = {"VERSION": ("BIGINT", "3"), "TIMESTAMP": ("TIMESTAMPTZ", "'2026-01-01 10:00'")}[travel.unit]
    try:
        ((moment,),) = connection.execute(f"SELECT ({travel.moment})::{kind}::VARCHAR").fetchall()
    except duckdb.Error as error:
        raise WatershedError(
            f"AT ({travel.unit} => {travel.moment}): {str(error).splitlines()[0]}",
            f"write it as AT ({travel.unit} => {example})",
        ) from error
    test = f"version = {moment or 'NULL'}" if kind == "BIGINT" else f"written_at <= {sql_literal(moment)}::TIMESTAMPTZ"
    of_table = f"FROM watershed.history WHERE name = {sql_literal(travel.name)}"
    ((found,),) = connection.execute(f"SELECT max(version) {of_table} AND {test}").fetchall()
    if found is not None:
        return int(found)
    ((first, last, begun, ended),) = connection.execute(
        "SELECT min(version), max(version), strftime(min(written_at), '%Y-%m-%d %H:%M:%S'), "
        f"strftime(max(written_at), '%Y-%m-%d %H:%M:%S') {of_table}"
    ).fetchall()
    raise WatershedError(
        f"{travel.name} has no version {'' if kind == 'BIGINT' else 'as old as '}{moment}: "
        f"it has versions {first} ({begun} UTC) to {last} ({ended} UTC)",
        f"choose one of FROM watershed.history WHERE name = '{travel.name}'",
    )


def _view_at(connection: duckdb.DuckDBPyConnection, name: str, path: str, version: int) -> str:
    if not is_object_store(path):
        # In an object store, DuckDB's own keys read the rows, and a deleted file says the same in other words.
        refuse_unreadable(Store(path), name, version)
    catalog, family = f"version_{version}", name.split(".", maxsplit=1)[0]
    unchecked(connection).execute(
        f"ATTACH IF NOT EXISTS ':memory:' AS {catalog}; CREATE SCHEMA IF NOT EXISTS {catalog}.{family};"
        f"CREATE VIEW IF NOT EXISTS {catalog}.{name} AS FROM delta_scan({sql_literal(path)}, version => {version})"
    )
    return f"{catalog}.{name}"
