"""The rows of a mixture's sources: tables and views of the lake, and files, in batches with the same columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from catalog.adding.reading import ROW_NUMBER, open_files, readable, value_sql
from catalog.adding.sources import named_files, unchanged
from catalog.errors import WatershedError
from catalog.literals import sql_literal
from catalog.names import close
from catalog.projects.files_list import ListedFile
from catalog.projects.mixture_file import MixtureRecipe, MixtureSource
from catalog.projects.mixture_tables import KeyColumn
from catalog.projects.types import quoted

BATCH_ROWS = 2048
TEXT, LICENCE = "text of row", "licence of row"
"""Columns of a batch beside the key columns, by their names in the mixture, and the columns that filters asked for."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What reads the rows of one source."""

    source: MixtureSource
    keys: tuple[KeyColumn, ...]
    extras: tuple[str, ...] = ()
    """Columns that filters read."""
    licence_column: str | None = None
    """The column with the licence of each row, if the table has one."""
    files: tuple[ListedFile, ...] = ()


def listed_files(recipe: MixtureRecipe, source: MixtureSource, project: Path) -> tuple[ListedFile, ...]:
    """The files of a source, with their digests, in the order of their names.

    Raises:
        WatershedError: a pattern matches nothing, or a file is of an unknown format.
    """
    found: list[str] = []
    for pattern in source.files:
        if not any(sign in pattern for sign in "*?["):
            found.append(str(project / Path(pattern).expanduser()))
            continue
        matched = sorted(str(path) for path in project.glob(pattern)) if not Path(pattern).is_absolute() else []
        if not matched:
            raise WatershedError(
                f"{recipe.path}: source {source.name}: no file of the project matches {pattern!r}",
                "write paths and patterns relative to the project; paths alone may be absolute",
            )
        found += matched
    return named_files(list(dict.fromkeys(found)), project).files


def row_batches(
    connection: duckdb.DuckDBPyConnection, rows: Rows, recipe: MixtureRecipe, project: Path
) -> Iterator[pa.RecordBatch]:
    """The rows of a source in batches.

    Args:
        connection: over the lake for a table or view, as `catalog.sql.query.connect` gives it; for files, one that may
            read them.
        rows: what is read.
        recipe: the recipe, for errors.
        project: the folder of the project.

    Raises:
        WatershedError: the table is not made, a file is not what was listed, or a column is missing.
    """
    if rows.files:
        for sql in _files_sql(connection, rows, recipe, project):
            with readable(", ".join(each.name for each in rows.files[:3])):
                yield from _stream(connection, sql)
    else:
        yield from _stream(connection, _table_sql(connection, rows, recipe))


def _stream(connection: duckdb.DuckDBPyConnection, sql: str) -> Iterator[pa.RecordBatch]:
    reader: Any = connection.execute(sql).to_arrow_reader(BATCH_ROWS)
    yield from reader


def _table_sql(connection: duckdb.DuckDBPyConnection, rows: Rows, recipe: MixtureRecipe) -> str:
    source = rows.source
    where = f"{recipe.path}: source {source.name}"
    try:
        columns = connection.execute(f"SELECT * FROM {source.table} LIMIT 0").description or ()
    except duckdb.Error as error:
        raise WatershedError(
            f"{where}: {source.table} cannot be read: {str(error).splitlines()[0]}",
            f"run `watershed make {source.table}` if it is not made yet",
        ) from error
    _require(where, source.table, [name for name, *_ in columns], rows)
    selected = [f"{quoted(each.name)} AS {quoted(each.column)}" for each in rows.keys]
    selected.append(f"{quoted(source.text)}::VARCHAR AS {quoted(TEXT)}")
    licence = f"{quoted(rows.licence_column)}::VARCHAR" if rows.licence_column else "NULL::VARCHAR"
    selected.append(f"{licence} AS {quoted(LICENCE)}")
    selected += [quoted(name) for name in rows.extras]
    chosen = " AND ".join(f"{quoted(name)}::VARCHAR = {sql_literal(value)}" for name, value in source.where)
    return f"SELECT {', '.join(selected)} FROM {source.table}{f' WHERE {chosen}' if chosen else ''}"


def _files_sql(
    connection: duckdb.DuckDBPyConnection, rows: Rows, recipe: MixtureRecipe, project: Path
) -> Iterator[str]:
    """A query of each file, whose rows are named by its name and their number in it."""
    source, where = rows.source, f"{recipe.path}: source {rows.source.name}"
    for listed in rows.files:
        if changed := unchanged(listed, project):
            raise changed
    by_name = {each.name: each.column for each in rows.keys}
    for opened in open_files(connection, rows.files, project):
        _require(where, opened.listed.name, list(opened.columns), rows)
        selected = [
            f"{sql_literal(opened.listed.name)}::VARCHAR AS {quoted(by_name['source_file'])}",
            f"{ROW_NUMBER}::BIGINT AS {quoted(by_name['source_row'])}",
            f"{value_sql(opened, source.text, 'VARCHAR')[0]} AS {quoted(TEXT)}",
            f"NULL::VARCHAR AS {quoted(LICENCE)}",
        ]
        selected += [f"{value_sql(opened, name, 'VARCHAR')[0]} AS {quoted(name)}" for name in rows.extras]
        chosen = " AND ".join(
            f"{value_sql(opened, name, 'VARCHAR')[0]} = {sql_literal(value)}" for name, value in source.where
        )
        yield f"SELECT {', '.join(selected)} FROM {opened.scan}{f' WHERE {chosen}' if chosen else ''}"


def _require(where: str, place: str, columns: Sequence[str], rows: Rows) -> None:
    source = rows.source
    file_key = bool(rows.files)
    for name, what in (
        (source.text, "`text` in the recipe is the column of the text"),
        *((each.name, "`key` in the recipe names a row") for each in rows.keys if not file_key),
        *((name, "`where` in the recipe names it") for name, _ in source.where),
        *((name, "a filter reads it; its option `column` is the name") for name in rows.extras),
    ):
        if name not in columns:
            raise WatershedError(
                f"{where}: {place} has no column {name!r}{close(name, columns)}",
                f"name one of {', '.join(columns[:40])}: {what}",
            )


def key_schema(rows: Rows) -> list[tuple[str, pa.DataType]]:
    """The key columns of a batch, as the mixture has them."""
    return [(each.column, each.type) for each in rows.keys]


def files_digest(files: Sequence[ListedFile]) -> list[list[str]]:
    """What identifies the files, and decides their rows."""
    return [[each.name, each.format, each.digest] for each in files]
