"""Python values as literals of SQL, the same for Delta, Spark and DuckDB."""

from __future__ import annotations

from typing import Any


def sql_literal(value: Any) -> str:
    """`value` as a literal of SQL."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value) if isinstance(value, (int, float)) else "'" + str(value).replace("'", "''") + "'"
