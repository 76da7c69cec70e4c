"""The rows of a query, as a table on the terminal or as CSV, JSON or Parquet."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagster_project.cli.screen.errors import quit_with

if TYPE_CHECKING:
    import duckdb
    from rich.console import Console

FORMATS = ("table", "csv", "json", "parquet")
COPY_OPTIONS = {
    "csv": "FORMAT csv, HEADER",
    "json": "FORMAT json, ARRAY true",
    "parquet": "FORMAT parquet, COMPRESSION zstd",
}
ROWS_SHOWN = 100
"""Rows that a table shows; the other formats give all."""


def answer(connection: duckdb.DuckDBPyConnection, query: str, format: str, output: Path | None = None) -> None:
    """Run `query` and give its rows: on stdout, or as the file `output`; what was done is said on stderr.

    Raises:
        WatershedError: the query is wrong.
    """
    from catalog.sql import query as sql
    from dagster_project.cli.screen.render import console, written_atomically

    began = time.perf_counter()
    relation = sql.query(connection, query)
    if relation is None:
        click.echo(f"done in {time.perf_counter() - began:.2f} s", err=True)
        return
    with sql.explained(connection, query):
        if format == "table":
            said = _show(console(), relation) if not output else _show_in(output, relation)
        elif output:
            with written_atomically(output) as path:
                said = _copy(relation, format, path)
        else:
            said = _stream(relation, format)
    where = f" in {output}" if output else ""
    click.echo(f"{said}{where}, {time.perf_counter() - began:.2f} s", err=True)


def _show(screen: Console, relation: duckdb.DuckDBPyRelation) -> str:
    from dagster_project.cli.screen.render import print_rows

    rows = relation.limit(ROWS_SHOWN + 1).fetchall()
    hidden = print_rows(screen, relation.columns, rows[:ROWS_SHOWN])
    said = _count(len(rows))
    if len(rows) > ROWS_SHOWN:
        total = relation.aggregate("count(*)").fetchall()[0][0]
        said = f"{_count(total)}, {ROWS_SHOWN} shown (all with -o FILE)"
    return f"{said}, {hidden} of {len(relation.columns)} columns left out" if hidden else said


def _show_in(output: Path, relation: duckdb.DuckDBPyRelation) -> str:
    from dagster_project.cli.screen.render import console, written_atomically

    with written_atomically(output) as path, path.open("w") as file:
        return _show(console(file), relation)


def _copy(relation: duckdb.DuckDBPyRelation, format: str, path: Path) -> str:
    from catalog.lake import sql_literal

    relation.query("answer", f"COPY answer TO {sql_literal(str(path))} ({COPY_OPTIONS[format]})")
    return format.upper() if format != "parquet" else "Parquet"


def _stream(relation: duckdb.DuckDBPyRelation, format: str) -> str:
    if format == "parquet" and sys.stdout.isatty():
        quit_with("Parquet is binary and is not written to a terminal", "add -o FILE, or choose another --format")
    with tempfile.TemporaryDirectory(prefix="watershed-") as folder:
        path = Path(folder) / "answer"
        said = _copy(relation, format, path)
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    return said


def _count(rows: int) -> str:
    return f"{rows:,} {'row' if rows == 1 else 'rows'}"
