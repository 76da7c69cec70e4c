"""The command `watershed sql`: runs SQL queries on the lake."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dagster_project.cli.screen.answer import FORMATS, answer
from dagster_project.cli.screen.errors import exit_with_error, user_errors


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
    # A name in a query must never refer to a Python variable of this program.
    connection.execute("SET python_enable_replacements = false")
    if query is None:
        from dagster_project.cli.screen.prompt import run_prompt

        run_prompt(connection)
        return
    if not query.strip():
        exit_with_error("the query is empty", 'write a query, as in `watershed sql "FROM watershed.tables"`')
    answer(connection, query, format_ or _format_of(output), output)


def _format_of(output: Path | None) -> str:
    suffix = output.suffix.lstrip(".").lower() if output else "table"
    return suffix if suffix in FORMATS else "table"
