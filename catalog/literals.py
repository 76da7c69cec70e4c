"""Python values as literals of SQL, the same for Delta, Spark and DuckDB."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def sql_literal(value: Any) -> str:
    """`value` as a literal of SQL."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value) if isinstance(value, (int, float)) else "'" + str(value).replace("'", "''") + "'"


def partition_sql(partition: Mapping[str, Any]) -> str:
    """The SQL predicate that is true of the rows of the partition alone."""
    return " AND ".join(f"{column} = {sql_literal(value)}" for column, value in partition.items())


def partitions_sql(partitions: Iterable[Mapping[str, Any]]) -> str | None:
    """The SQL predicate that is true of the rows of these partitions alone; None for a table without partitions."""
    predicates = [partition_sql(partition) for partition in partitions if partition]
    return " OR ".join(f"({one})" for one in predicates) if len(predicates) > 1 else "".join(predicates) or None
