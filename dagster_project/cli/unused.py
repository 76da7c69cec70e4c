"""The command `watershed unused`: what nothing in the lake reaches, with its bytes, and since when."""

from __future__ import annotations

import click

from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import data, say


@click.command("unused")
@click.option("--delete", "deleting", is_flag=True, help="Asks, and deletes what is listed; tables are only listed.")
@click.option("--yes", is_flag=True, help="Deletes without asking. It needs --delete.")
@click.option("--json", "as_json", is_flag=True, help="Prints the list as JSON.")
@user_errors()
def unused_command(deleting: bool, yes: bool, as_json: bool) -> None:
    """List versions, files and tables that no model, evaluation, forecast or other table rests on.

    The latest version of every table is kept, and each version that the latest version of another table was made from.
    A file beside the tables, such as a shard or a checkpoint, is kept if a kept version or a model names it. The list
    gives bytes, and when each was replaced or written. A deleted version cannot be read any more, and says so.

    \b
    Examples:
      watershed unused
      watershed unused --delete
    """
    if yes and not deleting:
        raise click.UsageError("--yes needs --delete")
    import json

    from catalog.lake import Lake
    from catalog.lineage.unused import delete, unused
    from catalog.printable import human_bytes
    from catalog.settings import load_settings
    from catalog.sql.query import connect
    from dagster_project.cli.screen.render import console, moment, plain_table

    settings = load_settings()
    lake, connection = Lake.of(settings), connect(settings)
    found = unused(lake, connection)
    if as_json:
        rows = [
            {"kind": each.kind, "name": each.name, "bytes": each.bytes, "since": each.since.isoformat()}
            for each in found
        ]
        data(json.dumps(rows))
    else:
        table = plain_table()
        for name, justify in (("what", "left"), ("name", "left"), ("size", "right"), ("since, UTC", "left")):
            table.add_column(name, justify=justify)
        for each in found:
            table.add_row(each.kind, each.name, human_bytes(each.bytes), moment(each.since))
        if found:
            console().print(table)
    chosen = [each for each in found if each.store is not None]
    size = human_bytes(sum(each.bytes for each in chosen))
    say(f"{size} in {len(chosen):,} places can be deleted" if chosen else "nothing can be deleted", err=as_json)
    if deleting and chosen and (yes or click.confirm("Delete them for good?")):
        say(f"deleted {human_bytes(delete(lake, connection, chosen))}", err=as_json)
