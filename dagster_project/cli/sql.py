"""`watershed sql`, `watershed tables` and `watershed describe`: what is in the lake."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagster_project.cli.screen.errors import quit_with, user_errors

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


@click.command("sql")
@click.argument("query", required=False)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="The format of the rows. The default follows the ending of the output file, and is `table` without a file.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Writes all rows to this file.",
)
@user_errors
def sql_command(query: str | None, format_: str | None, output: Path | None) -> None:
    """Query the lake in SQL, in DuckDB's dialect.

    Without QUERY, the command reads a query from standard input, or opens a prompt on a terminal. Times are in UTC. A
    query never waits for a table that is being written.

    \b
    Examples:
      watershed sql "SELECT 1"
      watershed sql "SELECT language, count(*) FROM dclm.documents GROUP BY ALL"
      watershed sql "SELECT count(*) FROM dclm.documents AT (VERSION => 3)"
      watershed sql "SELECT count(*) FROM dclm.documents AT (TIMESTAMP => '2026-01-01 10:00')"
      watershed sql "SELECT * FROM dclm.verdicts" -o verdicts.parquet
    """
    from catalog.settings import load_settings
    from catalog.sql.query import connect

    if query is None and not sys.stdin.isatty():
        query = sys.stdin.read()
    connection = connect(load_settings())
    # A table is never meant to be a Python variable of this program.
    connection.execute("SET python_enable_replacements = false")
    if query is None:
        from dagster_project.cli.screen.prompt import converse

        converse(connection)
        return
    if not query.strip():
        quit_with("the query is empty", 'write one, as in `watershed sql "FROM watershed.tables"`')
    answer(connection, query, format_ or _format_of(output), output)


@click.command("tables")
@user_errors
def tables_command() -> None:
    """List every table with its rows, size, version and last write, and whether it fits its contract.

    \b
    Examples:
      watershed tables
    """
    from catalog.settings import load_settings
    from dagster_project.cli.screen.described import print_tables
    from dagster_project.cli.screen.render import console

    print_tables(console(), load_settings())


@click.command("describe")
@click.argument("table")
@click.option("--card", is_flag=True, help="Prints the data card of the table, in Markdown.")
@user_errors
def describe_command(table: str, card: bool) -> None:
    """Describe a table or a view.

    The description has the columns with their types, meanings and a value of each, the tables that it is made from and
    those that are made from it, the expectations of its contract, and its versions.

    \b
    Examples:
      watershed describe dclm.documents
      watershed describe dclm.documents --card
    """
    from catalog.settings import load_settings
    from dagster_project.cli.screen.described import print_card, print_description
    from dagster_project.cli.screen.render import console

    if card:
        print_card(load_settings(), table)
    else:
        print_description(console(), load_settings(), table)


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


def _format_of(output: Path | None) -> str:
    suffix = output.suffix.lstrip(".").lower() if output else "table"
    return suffix if suffix in FORMATS else "table"


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
        quit_with("Parquet is no text for a terminal", "add -o FILE, or choose another --format")
    with tempfile.TemporaryDirectory(prefix="watershed-") as folder:
        path = Path(folder) / "answer"
        said = _copy(relation, format, path)
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    return said


def _count(rows: int) -> str:
    return f"{rows:,} {'row' if rows == 1 else 'rows'}"
