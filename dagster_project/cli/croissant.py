"""The command `watershed croissant`: tables as Croissant data sets, and Croissant data sets as rows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.errors import WatershedError
from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import say

if TYPE_CHECKING:
    from catalog.cards.croissant.importing import DataSet


@click.group("croissant")
def croissant_command() -> None:
    """Exchange data sets in the Croissant 1.1 format of MLCommons.

    \b
    Examples:
      watershed croissant export dclm.documents@2 --out documents
      watershed croissant import downloads/croissant.json --out titanic
      watershed croissant import downloads/croissant.json --name titanic
    """


@croissant_command.command("export")
@click.argument("table", metavar="TABLE[@VERSION]")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The folder to write, by default the name of the table. An earlier export there is replaced.",
)
@user_errors()
def export_command(table: str, out: Path | None) -> None:
    """Write a version of a table as Parquet files with croissant.json: columns, lineage, licences and digests.

    \b
    Examples:
      watershed croissant export dclm.mixture
      watershed croissant export dclm.documents@2 --out documents
    """
    from catalog.cards.croissant.export import METADATA, export_croissant
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from catalog.tables import contract

    found = re.fullmatch(r"([^@]+)(?:@(\d+))?", table)
    if not found:
        raise WatershedError(f"{table!r} is not of the form TABLE@VERSION", "write it as dclm.documents@2")
    wanted = contract(found[1])
    version = int(found[2]) if found[2] else None
    exported = export_croissant(Lake.of(load_settings()), wanted, out or Path(wanted.name), version)
    files = f"{exported.files:,} {'file' if exported.files == 1 else 'files'}"
    say(f"{exported.table} version {exported.version}: {exported.rows:,} rows in {files}")
    say(f"read it with mlcroissant, from {exported.folder / METADATA}")


@croissant_command.command("import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The folder to write, by default the name of the data set.",
)
@click.option(
    "--name",
    metavar="TABLE",
    help="Makes a table of every record set, as `watershed add` does. Of several, each is TABLE_RECORDSET.",
)
@user_errors("the Parquet files that were written are kept")
def import_command(file: Path, out: Path | None, name: str | None) -> None:
    """Write every record set of a Croissant file (1.0 or 1.1) as a Parquet file, with the descriptions of its columns.

    Files that it names are read from its own folder, archives included, after their digests are compared. Nothing is
    fetched.

    With --name, each record set becomes a table of the lake as well. Its contract is proposed from the rows, with the
    key, licence and descriptions that the Croissant file states. The table is made of the Parquet files: keep them.

    \b
    Examples:
      watershed croissant import downloads/croissant.json --out titanic
      watershed croissant import downloads/croissant.json --name titanic
      watershed croissant import downloads/croissant.json --name films.imdb --out films
    """
    from catalog.cards.croissant.importing import read_croissant, write_parquet

    found = read_croissant(file)
    tables = _tables(name, found) if name else []
    names = ", ".join(found.licences) or "none stated"
    written = write_parquet(found, out or Path(re.sub(r"[^\w.-]+", "-", found.name) or "imported"))
    for path, record_set in written:
        key = f", key {', '.join(record_set.key)}" if record_set.key else ""
        say(f"{record_set.name}: {record_set.rows.num_rows:,} rows{key}, {path}")
    say(f"licence: {names}")
    if tables:
        from dagster_project.cli.add import add_files

        for table, (path, record_set) in zip(tables, written, strict=True):
            add_files(
                table,
                [str(path)],
                key=record_set.key,
                licence=", ".join(found.licences),
                description=record_set.description or found.description,
            )


def _tables(name: str, found: DataSet) -> list[str]:
    """The table of each record set.

    Raises:
        WatershedError: it is not a name of a table, there are such tables already, or a record set holds no row.
    """
    from catalog.adding.names import column_names
    from catalog.projects.registry import own_tables
    from catalog.settings import load_settings
    from dagster_project.cli.add import full_name

    load_settings()
    parts = column_names(each.name for each in found.record_sets)
    several = len(found.record_sets) > 1
    tables = [full_name(f"{name}_{part}" if several else name) for part in parts.values()]
    for table, record_set in zip(tables, found.record_sets, strict=True):
        if table in own_tables():
            raise WatershedError(f"{table} exists already", "choose another --name, or remove its contract")
        if not record_set.rows.num_rows:
            raise WatershedError(f"the record set {record_set.name} holds no rows", "import it without --name")
    return tables
