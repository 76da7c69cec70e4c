"""The command `watershed sql`: runs SQL queries on the lake."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dagster_project.cli.screen.answer import FORMATS, answer, scratch_folder
from dagster_project.cli.screen.errors import exit_with_error, user_errors
from dagster_project.cli.screen.interruption import patient


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
@click.option("--files", is_flag=True, help="Lets the query read files outside the lake.")
@click.option("--write", is_flag=True, help="Lets the query write files, and do everything else that DuckDB can.")
@user_errors()
def sql_command(query: str | None, format_: str | None, output: Path | None, files: bool, write: bool) -> None:
    """Query the lake in SQL, in DuckDB's dialect.

    Without QUERY, the command reads a query from standard input, or opens a prompt on a terminal. Times are in UTC. A
    query never waits for a table that is being written. It reads the lake only, unless --files or --write is given.

    \b
    Examples:
      watershed sql "SELECT 1"
      watershed sql "SELECT language, count(*) FROM dclm.documents GROUP BY ALL"
      watershed sql "SELECT count(*) FROM dclm.documents AT (VERSION => 3)"
      watershed sql "SELECT count(*) FROM dclm.documents AT (TIMESTAMP => '2026-01-01 10:00')"
      watershed sql "SELECT * FROM dclm.verdicts" -o verdicts.parquet
      watershed sql --files "SELECT count(*) FROM dclm.documents JOIN 'urls.csv' USING (url)"
    """
    from catalog.settings import load_settings
    from catalog.sql.query import connect

    if query is None and not sys.stdin.isatty():
        query = sys.stdin.read()
    if query is not None and not query.strip():
        exit_with_error("the query is empty", 'write a query, as in `watershed sql "FROM watershed.tables"`')
    with scratch_folder(output) as scratch:
        connection = connect(load_settings(), files=files, write=write, scratch=scratch)
        if query is None:
            from dagster_project.cli.screen.prompt import run_prompt

            with patient():
                run_prompt(connection)
        else:
            answer(connection, query, format_ or _format_of(output), output, scratch)


def _format_of(output: Path | None) -> str:
    suffix = output.suffix.lstrip(".").lower() if output else "table"
    return suffix if suffix in FORMATS else "table"
