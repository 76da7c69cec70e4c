"""What a SQL text names and does, from DuckDB's own parser and tokenizer: the tables that it reads, and whether it
might write files, or read files that are not of the lake."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import duckdb

from catalog.errors import WatershedError
from catalog.sql.views import VIEWS
from catalog.tables import CONTRACTS

READING = frozenset(
    """SELECT EXPLAIN PREPARE EXECUTE CREATE CREATE_FUNC INSERT UPDATE DELETE MERGE_INTO DROP ALTER ANALYZE VACUUM SET
    VARIABLE_SET TRANSACTION DETACH MULTI RELATION""".split()
)
"""DuckDB's types of statements that read, or change only what the connection holds in memory."""

NESTING = ("EXPLAIN", "PREPARE")
"""Types of statements that hold another one, of a type that DuckDB does not return. EXPLAIN ANALYZE runs it."""

NESTED = frozenset({"copy", "export", "import", "attach", "load", "install", "call", "checkpoint"})
"""Words that such a statement is refused for."""

UNCONFINED = frozenset(
    {
        # Delta's own reader of logs does not ask DuckDB whether it may read a place.
        "delta_scan",
        "delta_list_files",
        "delta_domain_metadata",
        "delta_get_transaction_version",
        "delta_set_transaction_version",
        # These write log files.
        "enable_logging",
        "enable_profiling",
        # These run SQL that is in a string, or read a place in memory.
        "query",
        "query_table",
        "json_execute_serialized_sql",
        "arrow_scan",
        "arrow_scan_dumb",
        "pandas_scan",
        "python_map_function",
    }
)
"""Functions that reach beyond the files that a connection may read."""

_WORD = re.compile(r'"[^"]*"|\w+|.?')


def tables_of(sql: str) -> set[str]:
    """The tables of the lake that `sql` names, in code rather than in strings and comments, views resolved.

    A table is known by its qualified name: one that is reached after `USE dclm` as `documents` is missed.
    """
    words = _words(sql)
    # A version of a table is version_3.dclm.documents, or dclm.documents_at(3).
    pairs = {f"{first}.{second.removesuffix('_at')}" for first, dot, second in _triples(words) if dot == "."}
    found = {name for name in pairs if name in CONTRACTS}
    return found.union(*(VIEWS[name].tables for name in pairs if name in VIEWS))


def check_confined(sql: str, *, files: bool = False) -> None:
    """Refuse SQL that might write a file, load an extension, or read what is not of the lake unseen by DuckDB.

    DuckDB itself refuses other files (`allowed_directories`). Statements that only change tables in the connection's
    memory are accepted. A text that DuckDB cannot parse is accepted, since it fails when it runs.

    Args:
        sql: one or more statements.
        files: whether files outside the lake may be read.

    Raises:
        WatershedError: a statement is refused.
    """
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error:
        return
    for statement in statements:
        _check_statement(statement.type.name, _words(statement.query), files)


def _check_statement(kind: str, words: list[str], files: bool) -> None:
    accepted = kind in READING or (kind == "ATTACH" and files and "read_only" in words)
    nested = NESTED.intersection(words) if kind in NESTING else set()
    if not accepted or nested or (kind == "CREATE" and "secret" in words[:6]):
        statement = " ".join([words[0] if words else kind, *sorted(nested)]).upper()
        raise WatershedError(
            f"{statement}: the statement is not allowed, because the connection only reads",
            "`watershed sql --output FILE` writes rows to a file; `watershed sql --write`, or connect(write=True) in "
            "Python, allows every statement",
        )
    called = {word for word, after in itertools.pairwise(words) if after == "("} & UNCONFINED
    if called and not files:
        raise WatershedError(
            f"{min(called)}: the function is not allowed, because the connection reads only the lake",
            "name a table of the lake; `watershed sql --files`, or connect(files=True) in Python, reads other files",
        )


def _words(sql: str) -> list[str]:
    """The tokens of `sql` outside comments: words in lower case without quotes, an empty string for a literal."""
    raw = sql.encode()
    tokens = duckdb.tokenize(sql)
    stops = [*(offset for offset, _ in tokens), len(raw)][1:]
    return [
        ""
        if kind == duckdb.token_type.string_const
        else "".join(_WORD.findall(raw[offset:stop].decode())[:1]).strip('"').lower()
        for (offset, kind), stop in zip(tokens, stops, strict=True)
        if kind != duckdb.token_type.comment
    ]


def _triples(words: list[str]) -> Iterator[tuple[str, str, str]]:
    return zip(words, words[1:], words[2:], strict=False)
