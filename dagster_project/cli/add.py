"""The command `watershed add`: makes a table of files that the user brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from catalog.adding.proposal import Proposal
    from catalog.adding.reading import Opened
    from catalog.adding.sources import Named
    from catalog.projects.contract_file import OwnTable
    from catalog.settings import Settings

FAMILY = "own"
"""The family of a table whose name states none."""


@click.command("add")
@click.argument("name")
@click.argument("files", nargs=-1, required=True)
@click.option("--key", multiple=True, metavar="COLUMN", help="A column of the primary key; it may be given repeatedly.")
@click.option("--licence", default="", metavar="SPDX", help="The licence of the rows, such as CC-BY-4.0.")
@click.option("--description", default="", metavar="TEXT", help="What the rows are, in a sentence.")
@click.option("--replace", is_flag=True, help="The table shall hold the rows of FILES alone.")
@click.option("--propose", is_flag=True, help="Writes the contract for review. The table is not made yet.")
@user_errors("what was written is kept, and `watershed make` goes on with the rest")
def add_command(  # noqa: PLR0917 (click passes them by name)
    name: str,
    files: tuple[str, ...],
    key: tuple[str, ...],
    licence: str,
    description: str,
    replace: bool,
    propose: bool,
) -> None:
    """Make a table of your own files: Parquet, JSON lines, CSV, Arrow, a Hugging Face folder, a Delta table.

    NAME is FAMILY.TABLE, or TABLE of the family `own`. The first time, a contract is proposed from the rows, and
    written to the project's folder `contracts`: types, required columns, a key, ranges, sets of values, and a guess at
    personal data. Review it: it is yours, and no command changes it. From then on the table is an asset, a view in SQL,
    checks, a card and results of search, like every other table.

    Later files add their rows, after they are checked against the contract. A file that breaks it is refused, its rows
    are named, nothing is written, and the exit code is 2. A file that was added before is read again if it has changed.

    \b
    Examples:
      watershed add reviews reviews.csv --licence CC-BY-4.0 --description "Reviews of books."
      watershed add shop.orders orders-2026-*.parquet --key order_id
      watershed add reviews reviews-of-may.csv
      watershed add squad path/to/huggingface/folder
    """
    add_files(
        full_name(name), files, key=key, licence=licence, description=description, replace=replace, propose=propose
    )


def add_files(
    full: str,
    files: Sequence[str],
    *,
    key: Sequence[str] = (),
    licence: str = "",
    description: str = "",
    replace: bool = False,
    propose: bool = False,
) -> None:
    """Make or extend the table `full` (`full_name`) of files, and print what became of it.

    Raises:
        WatershedError: a file cannot be read, or breaks the contract of a table that is there.
    """
    from catalog.adding.sources import named_files
    from catalog.lake import Lake
    from catalog.projects.registry import own_tables
    from catalog.settings import load_settings
    from catalog.sql.engine import open_engine

    settings = load_settings()
    named = named_files(files, settings.project)
    connection = open_engine(Lake.of(settings))
    try:
        table = own_tables().get(full)
        if table is None:
            _propose(settings, connection, full, named, key, licence, description)
        else:
            if key or licence or description:
                say(f"--key, --licence and --description are not used: {table.path} states them", err=True)
            _add(settings, connection, table, named, replace)
    finally:
        connection.close()
    if propose:
        say(f"not made yet: watershed make {full}", err=True)
    else:
        _make(full)


def full_name(name: str) -> str:
    """The name FAMILY.TABLE of a table of the user's own; the family is `own` if `name` states none.

    Raises:
        WatershedError: it is not a name of a table, or one of Watershed's own families.
    """
    from catalog.adding.names import column_name
    from catalog.errors import WatershedError
    from catalog.projects.entries import NAME
    from catalog.projects.mixture_file import FAMILY as MIXTURE
    from catalog.tables import CONTRACTS, FAMILIES

    family, _, table = name.rpartition(".")
    family = family or FAMILY
    if not NAME.fullmatch(family) or not NAME.fullmatch(table):
        better = ".".join(filter(None, map(column_name, name.split("."))))
        raise WatershedError(
            f"{name!r} is not a name of a table", f"use lower-case letters, digits and underscores, such as {better}"
        )
    if family in {*(each.name for each in FAMILIES), "watershed", MIXTURE}:
        known = "a table" if f"{family}.{table}" in CONTRACTS else "a family"
        raise WatershedError(
            f"{name} would be {known} of Watershed's own", f"use another family, such as {FAMILY}.{table}"
        )
    return f"{family}.{table}"


def _propose(  # noqa: PLR0917
    settings: Settings,
    connection: duckdb.DuckDBPyConnection,
    name: str,
    named: Named,
    key: Sequence[str],
    licence: str,
    description: str,
) -> None:
    from catalog.adding.breaking import require_kept
    from catalog.adding.proposal import propose
    from catalog.adding.reading import open_files
    from catalog.files import write_whole
    from catalog.lake import Lake
    from catalog.projects.contract_file import contract_toml
    from catalog.projects.files_list import write_list
    from catalog.projects.registry import FOLDER

    found = open_files(connection, named.files, settings.project)
    path = settings.project / FOLDER / f"{name}.toml"
    proposal = propose(
        connection,
        name,
        found,
        path,
        key=key,
        description=description or named.description,
        licence=licence or named.licence,
    )
    require_kept(connection, Lake.of(settings), proposal.table, found, beside=False)
    # The list first: a contract without one would be of a table that no asset makes.
    write_list(proposal.table.files_list, named.files)
    write_whole(path, contract_toml(proposal.table, proposal.notes, _remarks(name, named)).encode())
    _print_proposal(proposal, settings)


def _remarks(name: str, named: Named) -> tuple[str, ...]:
    count = f"{len(named.files):,} {'file' if len(named.files) == 1 else 'files'}"
    return (
        f"The contract of {name}, proposed by `watershed add` from {count}. Review it: no command changes it.",
        "What it states held of every row. A range is the order of magnitude of what was seen.",
        "docs/extending.md explains the entries. After a change, run: watershed check " + name,
    )


def _print_proposal(proposal: Proposal, settings: Settings) -> None:
    from catalog.cards.card import statement

    contract = proposal.table.contract
    say(f"{contract.name}: a contract for {proposal.rows:,} rows, proposed in {_shown(proposal.table, settings)}")
    say(f"  key: {', '.join(contract.primary_key)}")
    renamed = ", ".join(f"{old!r} is {new}" for new, old in proposal.table.names.items())
    if renamed:
        say(f"  renamed: {renamed}")
    for expectation in contract.expectations:
        if expectation.column:
            say(f"  expected: {statement(expectation)}")
    for column, kind in proposal.personal.items():
        say(f"  personal data: {column} seems to hold {kind}")
    if contract.licence == "not stated":
        say("  licence: not stated; write the one of the rows into the contract")


def _shown(table: OwnTable, settings: Settings) -> str:
    return table.path.relative_to(settings.project).as_posix()


def _add(
    settings: Settings, connection: duckdb.DuckDBPyConnection, table: OwnTable, named: Named, replace: bool
) -> None:
    """Check files that come later, and list them."""
    from dataclasses import replace as changed

    from catalog.adding.breaking import BrokenContract, require_kept
    from catalog.adding.reading import open_files
    from catalog.lake import Lake
    from catalog.projects.files_list import read_list, write_list

    listed = () if replace else read_list(table.files_list)
    by_path = {each.path: each for each in listed}
    taken = {each.name for each in listed}
    new = []
    for each in named.files:
        known = by_path.get(each.path)
        if known and known.digest == each.digest:
            say(f"{each.name} is in the table already", err=True)
            continue
        name, number = (known.name if known else each.name), 2
        while known is None and name in taken:
            name, number = f"{each.name}~{number}", number + 1
        taken.add(name)
        new.append(changed(each, name=name))
    if not new:
        return
    found: list[Opened] = open_files(connection, new, settings.project)
    try:
        require_kept(connection, Lake.of(settings), table, found, beside=not replace)
    except BrokenContract as error:
        for broken in error.broken:
            for line in broken.lines():
                say(line, err=True)
        raise
    paths = {each.path: each for each in new}
    kept = [paths.pop(each.path, each) for each in listed]
    write_list(table.files_list, [*kept, *paths.values()])


def _make(name: str) -> None:
    from catalog.inventory import table_state
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from catalog.sql.query import export_duckdb
    from catalog.tables import contract
    from dagster_project.cli.screen.bars import Bars, wide_console
    from dagster_project.run import make_by_command

    settings = load_settings()
    with Bars(wide_console()).listening():
        costs = make_by_command(settings, [name])
    export_duckdb(settings, settings.project / "lake.duckdb")
    state = table_state(Lake.of(settings), contract(name))
    if not costs:
        say("nothing has changed")
    say(f"{name}: {state.rows:,} rows, version {state.version}")
    say(f'SQL: watershed sql "FROM {name}"   card: watershed describe {name}   check: watershed check {name}')
