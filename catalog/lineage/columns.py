"""From a column to the columns that it was made from, and to those made from it, views included.

The contracts say what a column is derived from (`Column.derived_from`). What a view reads follows from its SQL, which
sqlglot resolves against the schemas of the contracts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from catalog.errors import WatershedError
from catalog.lineage.links import ancestors, place
from catalog.sql.views import VIEWS
from catalog.tables import CONTRACTS


def upstream_columns(column: str) -> list[tuple[str, str]]:
    """Pairs of a column `family.table.column` and one that it was made from, from `column` on upwards."""
    return _walk(column, _made_from)


def downstream_columns(column: str) -> list[tuple[str, str]]:
    """Pairs of a column and one that was made from it, from `column` on downwards; the columns of views among them."""
    return _walk(column, _read_by)


def known_column(name: str) -> bool:
    """Whether a table or view has the column `family.table.column`."""
    table, column = place(name)
    if table in CONTRACTS:
        return column in CONTRACTS[table].schema.names
    return table in VIEWS and column in view_columns(table)


@cache
def view_columns(name: str) -> dict[str, tuple[str, ...]]:
    """For each column of a view, the columns of tables that its value is computed from.

    Raises:
        WatershedError: the SQL of the view cannot be resolved: it names a column that no contract declares.
    """
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError
    from sqlglot.lineage import lineage
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import build_scope

    schema: dict[str, Any] = {}
    for contract in (CONTRACTS[table] for table in VIEWS[name].tables):
        schema.setdefault(contract.family, {})[contract.table] = {column.name: "TEXT" for column in contract.columns}
    try:
        query = qualify(
            parse_one(VIEWS[name].sql, dialect="duckdb"),
            schema=schema,
            dialect="duckdb",
            validate_qualify_columns=False,
        )
        # One call for all columns resolves what they share once.
        nodes = lineage(None, query, schema, scope=build_scope(query), dialect="duckdb")
        assert isinstance(nodes, dict)
        found = {}
        for column, node in nodes.items():
            leaves = {
                f"{leaf.expression.db}.{leaf.expression.name}.{leaf.name.rpartition('.')[2].strip(chr(34))}"
                for leaf in node.walk()
                if isinstance(leaf.expression, exp.Table) and leaf.expression.db
            }
            found[column] = tuple(sorted(leaves))
    except SqlglotError as error:
        raise WatershedError(
            f"the SQL of the view {name} cannot be resolved: {str(error).splitlines()[0]}",
            f"correct the view in catalog/tables/{name.split('.', maxsplit=1)[0]}",
        ) from error
    return found


@cache
def view_tables(name: str) -> frozenset[str]:
    """The tables that the SQL of a view reads."""
    from sqlglot import exp, parse_one

    tree = parse_one(VIEWS[name].sql, dialect="duckdb")
    return frozenset(f"{table.db}.{table.name}" for table in tree.find_all(exp.Table) if table.db)


def faults() -> list[str]:
    """What is wrong with the declared lineage of columns, in words: an empty list if the schemas bear it out."""
    found = []
    for contract in CONTRACTS.values():
        above = {*ancestors(contract.name), contract.name}
        # A table that is made from the same tables may be written by the same step.
        for column in contract.columns:
            for source in column.derived_from:
                table, name = place(source)
                if table not in CONTRACTS or name not in CONTRACTS[table].schema.names:
                    found.append(f"{contract.name}.{column.name} is derived from {source}, which no contract declares")
                elif contract.upstream and table not in above and not {*ancestors(table)} <= above:
                    found.append(f"{contract.name}.{column.name} is derived from {source}, which is not upstream of it")
    for name, view in VIEWS.items():
        if view_tables(name) != frozenset(view.tables):
            found.append(
                f"the view {name} declares {sorted(view.tables)}, and its SQL reads {sorted(view_tables(name))}"
            )
        for column, sources in view_columns(name).items():
            found += [
                f"{name}.{column} reads {each}, which no contract declares"
                for each in sources
                if not known_column(each)
            ]
    return found


def _made_from(column: str) -> list[str]:
    table, name = place(column)
    if table in VIEWS:
        return list(view_columns(table).get(name, ()))
    return list(CONTRACTS[table].column(name).derived_from)


def _read_by(column: str) -> list[str]:
    table, _ = place(column)
    found = [
        f"{contract.name}.{each.name}"
        for contract in CONTRACTS.values()
        for each in contract.columns
        if column in each.derived_from
    ]
    views = [name for name, view in VIEWS.items() if table in view.tables]
    return found + [f"{view}.{each}" for view in views for each, read in view_columns(view).items() if column in read]


def _walk(column: str, near: Callable[[str], list[str]]) -> list[tuple[str, str]]:
    found: dict[tuple[str, str], None] = {}
    waiting = [column]
    while waiting:
        now = waiting.pop(0)
        for other in near(now):
            if (now, other) not in found:
                found[now, other] = None
                waiting.append(other)
    return list(found)
