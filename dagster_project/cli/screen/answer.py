"""The result of a query, as a table on the terminal or as CSV, JSON or Parquet."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dagster_project.cli.screen.errors import exit_with_error
from dagster_project.cli.screen.say import data_file, say

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
"""The number of rows that the format `table` shows. The other formats write all rows."""


@contextmanager
def scratch_folder(output: Path | None) -> Generator[Path]:
    """A folder for the rows before they are complete, on the disk of the file `output` if there is one."""
    if output:
        output.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".watershed-", dir=output.absolute().parent if output else None) as folder:
        yield Path(folder)


def answer(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    format: str,
    output: Path | None = None,
    scratch: Path | None = None,
) -> None:
    """Run `query`, and write its rows to stdout or to the file `output`. A summary is printed on stderr.

    Args:
        connection: The connection to the lake.
        query: One or more SQL statements; the rows are those of the last one.
        format: One of `FORMATS`.
        output: The file to write, which appears only if the query succeeds.
        scratch: A folder that the connection may write to, on the disk of `output`; every format but `table` needs it.

    Raises:
        WatershedError: The query is not valid, or fails.
    """
    from catalog.sql import query as sql
    from dagster_project.cli.screen.render import console

    began = time.perf_counter()
    relation = sql.query(connection, query)
    if relation is None:
        say(f"done in {time.perf_counter() - began:.2f} s", err=True)
        return
    with sql.explained(connection, query):
        if format == "table":
            summary = _show(console(), relation) if not output else _show_in(output, relation)
        else:
            assert scratch is not None, "every format but `table` is written to a file first"
            if format == "parquet" and not output and sys.stdout.isatty():
                exit_with_error(
                    "Parquet is binary and is not written to a terminal", "add -o FILE, or choose another --format"
                )
            summary = _copy(relation, format, scratch / "answer", output)
    where = f" in {output}" if output else ""
    say(f"{summary}{where}, {time.perf_counter() - began:.2f} s", err=True)


def _show(screen: Console, relation: duckdb.DuckDBPyRelation) -> str:
    from dagster_project.cli.screen.render import print_rows

    rows = relation.limit(ROWS_SHOWN + 1).fetchall()
    hidden = print_rows(screen, relation.columns, rows[:ROWS_SHOWN])
    summary = _count(len(rows))
    if len(rows) > ROWS_SHOWN:
        total = relation.aggregate("count(*)").fetchall()[0][0]
        summary = f"{_count(total)}, {ROWS_SHOWN} shown (all with -o FILE)"
    return f"{summary}, {hidden} of {len(relation.columns)} columns left out" if hidden else summary


def _show_in(output: Path, relation: duckdb.DuckDBPyRelation) -> str:
    from dagster_project.cli.screen.render import console, written_atomically

    with written_atomically(output) as path, path.open("w") as file:
        return _show(console(file), relation)


def _copy(relation: duckdb.DuckDBPyRelation, format: str, path: Path, output: Path | None) -> str:
    from catalog.literals import sql_literal

    relation.query("answer", f"COPY answer TO {sql_literal(str(path))} ({COPY_OPTIONS[format]})")
    if output:
        path.replace(output)
    else:
        data_file(path)
    return format.upper() if format != "parquet" else "Parquet"


def _count(rows: int) -> str:
    return f"{rows:,} {'row' if rows == 1 else 'rows'}"
