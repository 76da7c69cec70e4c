"""A connection that records which tables its statements read; see `catalog.reads`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import duckdb

from catalog.reads import record_read
from catalog.sql.views import VIEWS
from catalog.tables import CONTRACTS

READING = ("execute", "executemany", "sql", "query", "from_query", "table", "view")
"""Methods of a connection whose first argument is SQL, or the name of a table."""

_WORD = re.compile(r'"[^"]*"|\w+|.?')


class RecordedConnection:
    """`connection`, with the tables of every statement recorded before it runs."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        # DuckDB looks for Python variables in the frame that calls it, which is now one of this class.
        connection.execute("SET python_scan_all_frames = true")

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._connection, name)
        if name == "cursor":
            return lambda: RecordedConnection(found())
        if name not in READING:
            return found

        def run(what: Any, *args: Any, **options: Any) -> Any:
            record_read(*tables_of(what if isinstance(what, str) else what.query))
            answer = found(what, *args, **options)
            return self if answer is self._connection else answer

        return run

    def __enter__(self) -> RecordedConnection:
        return self

    def __exit__(self, *failure: object) -> None:
        self._connection.close()


def tables_of(sql: str) -> set[str]:
    """The tables of the lake that `sql` names, in code rather than in strings and comments, views resolved.

    A table is known by its qualified name: one that is reached after `USE dclm` as `documents` is missed.
    """
    raw = sql.encode()
    starts = [(offset, kind == duckdb.token_type.string_const) for offset, kind in duckdb.tokenize(sql)]
    stops = [offset for offset, _ in starts[1:]] + [len(raw)]
    words = [
        "" if is_string else "".join(_WORD.findall(raw[start:stop].decode())[:1]).strip('"').lower()
        for (start, is_string), stop in zip(starts, stops, strict=True)
    ]
    # A version of a table is version_3.dclm.documents, or dclm.documents_at(3).
    pairs = {f"{first}.{second.removesuffix('_at')}" for first, dot, second in _triples(words) if dot == "."}
    found = {name for name in pairs if name in CONTRACTS}
    return found.union(*(VIEWS[name].tables for name in pairs if name in VIEWS))


def _triples(words: list[str]) -> Iterator[tuple[str, str, str]]:
    return zip(words, words[1:], words[2:], strict=False)
