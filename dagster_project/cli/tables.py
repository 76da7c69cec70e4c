"""The commands `watershed tables` and `watershed describe`: the tables of the lake."""

from __future__ import annotations

import click

from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import say


@click.command("tables")
@user_errors()
def tables_command() -> None:
    """List every table with its rows, size, version and last write, whether it fits its contract, and what is due.

    A table is due if `watershed make` would make it again; `watershed make --plan` gives all causes.

    \b
    Examples:
      watershed tables
    """
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.cli.screen.described import print_tables
    from dagster_project.cli.screen.render import console
    from dagster_project.due_words import due_words

    settings = load_settings()
    # Without this, an error of the object store would be reported once for every table.
    Lake.of(settings).reach()
    due = due_words(settings)
    print_tables(console(), settings, due.words)
    if due.problem:
        say(f"what is due cannot be seen: {due.problem}", err=True)


@click.command("describe")
@click.argument("table")
@click.option("--card", is_flag=True, help="Prints the data card of the table, in Markdown.")
@user_errors()
def describe_command(table: str, card: bool) -> None:
    """Describe a table or a view.

    The description shows the columns with their types, meanings and an example value, the tables upstream and
    downstream, the expectations of the contract, and the versions.

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
