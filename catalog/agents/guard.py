"""Which SQL of strangers is run: one query, of tables that are known by name, without functions that reach beyond them.

DuckDB itself parses the query and gives its tree, so that what is looked at is what will run. DuckDB's own settings
refuse other files (`catalog.sql.engine.confine`); this also refuses the files of the lake, which hold what views mask.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from catalog.errors import WatershedError

TABLE_FUNCTIONS = frozenset(("unnest", "range", "generate_series", "generate_subscripts"))
"""Functions in FROM that read nothing but their arguments."""
REFUSED_FUNCTIONS = frozenset(
    "current_setting getenv getvariable json_execute_serialized_sql json_deserialize_sql query query_table "
    "read_text read_blob which_secret".split()
)
"""Functions of values that would show settings, or run other SQL."""
LONGEST_QUERY = 100_000
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True)
class Named:
    """The tables that a query names, as `family.table` in lower case."""

    tables: frozenset[str]


def check_query(sql: str) -> Named:
    """The tables of a query that may be run if these may be read.

    Raises:
        WatershedError: it is no query, it is not valid, or it reads something that is not a table of the lake.
    """
    if len(sql) > LONGEST_QUERY:
        raise WatershedError(f"the query has {len(sql):,} characters", f"write at most {LONGEST_QUERY:,}")
    parser = duckdb.connect()
    try:
        ((tree,),) = parser.execute("SELECT json_serialize_sql($1::VARCHAR, skip_null := true)", [sql]).fetchall()
    finally:
        parser.close()
    found = json.loads(tree)
    if found.get("error"):
        message = str(found.get("error_message") or "it is not valid").splitlines()[0]
        raise WatershedError(f"the query is refused: {message}", "write one SELECT, in DuckDB's dialect")
    if len(found["statements"]) != 1:
        raise WatershedError("several statements are refused", "write one SELECT at a time")
    nodes = list(_nodes(found["statements"][0]))
    ctes = {str(entry["key"]).lower() for node in nodes for entry in _cte_entries(node)}
    if odd := sorted(name for name in ctes if not PLAIN.fullmatch(name)):
        raise WatershedError(f"WITH {odd[0]!r} is refused", "name it in letters, digits and underscores")
    tables: set[str] = set()
    for node in nodes:
        kind = node.get("type")
        if kind == "BASE_TABLE":
            tables |= _table(node, ctes)
        elif kind == "TABLE_FUNCTION":
            name = str(node["function"].get("function_name", "")).lower()
            if name not in TABLE_FUNCTIONS:
                raise WatershedError(f"{name}(): the function is refused in FROM", "name a table: FROM family.table")
        elif node.get("class") == "FUNCTION" and str(node.get("function_name", "")).lower() in REFUSED_FUNCTIONS:
            raise WatershedError(f"{node['function_name']}(): the function is refused", "leave it out")
    return Named(frozenset(tables))


def _table(node: dict[str, Any], ctes: set[str]) -> set[str]:
    catalog, schema, table = (str(node.get(key) or "") for key in ("catalog_name", "schema_name", "table_name"))
    if not catalog and not schema and table.lower() in ctes:
        return set()
    if catalog or not PLAIN.fullmatch(schema) or not PLAIN.fullmatch(table):
        shown = ".".join(part for part in (catalog, schema, table) if part)
        raise WatershedError(f"{shown!r} is not a table of the lake", "name it as family.table; search lists tables")
    return {f"{schema}.{table}".lower()}


def _cte_entries(node: dict[str, Any]) -> list[dict[str, Any]]:
    held = node.get("cte_map")
    return held.get("map", []) if isinstance(held, dict) else []


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of the tree. Nesting is bounded by DuckDB's parser."""
    waiting = [tree]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield each
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
