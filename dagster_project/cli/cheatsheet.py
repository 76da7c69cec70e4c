"""The command `watershed cheatsheet`: imports the Foundation Model Development Cheatsheet, and checks contributions."""

from __future__ import annotations

import click

from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import data, say

COUNTS_SQL = "SELECT outcome, count(*) FROM cheatsheet.raw WHERE source = 'published' GROUP BY 1 ORDER BY 2 DESC, 1"


@click.group("cheatsheet")
def cheatsheet_command() -> None:
    """Import the Foundation Model Development Cheatsheet, and check rows that are to be added to it.

    \b
    Examples:
      watershed cheatsheet import resources.json
      watershed cheatsheet check new.json --against resources.json
    """


@cheatsheet_command.command("import")
@click.argument("place", metavar="FILE|URL")
@user_errors()
def import_command(place: str) -> None:
    """Import the cheatsheet's resource file (app/resources/resources.json of allenai/fm-cheatsheet).

    FILE is copied into the lake. Every row is kept in cheatsheet.raw as it was published. cheatsheet.resources has the
    repaired and merged resources, and cheatsheet.repairs every change with its reason.

    \b
    Examples:
      watershed cheatsheet import resources.json
    """
    from catalog.files import whole_file
    from catalog.settings import load_settings
    from catalog.sql.query import connect
    from dagster_project.cli.screen.bars import Bars, wide_console
    from dagster_project.families.cheatsheet.assets import imported
    from dagster_project.jobs import TABLES
    from dagster_project.run import make_by_command
    from spark_jobs.cheatsheet.reading import read_bytes, read_entries

    content = read_bytes(place)
    read_entries(content, "published", place)
    settings = load_settings()
    with whole_file(imported(settings)) as path:
        path.write_bytes(content)
    with Bars(wide_console()).listening():
        costs = make_by_command(settings, TABLES["cheatsheet"])
    if not costs:
        say("this file has been imported before: nothing to do")
    outcomes = dict(connect(settings).execute(COUNTS_SQL).fetchall())
    counted = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.items())
    say(f"{sum(outcomes.values()):,} rows: {counted}")
    say('SQL: watershed sql "SELECT * FROM cheatsheet.findings"')


@cheatsheet_command.command("check")
@click.argument("place", metavar="FILE|URL")
@click.option("--against", metavar="FILE|URL", help="The published file: only rows that it does not have are checked.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a fault.")
@user_errors()
def check_command(place: str, against: str | None, as_json: bool) -> None:
    """Check the rows of a resource file by the rules of the import, and say what to change.

    The exit code is 1 if a row has a fault, and 2 if the file cannot be read.

    \b
    Examples:
      # The check of a pull request that adds rows.
      watershed cheatsheet check new.json --against resources.json
    """
    import json
    import sys
    from dataclasses import asdict

    from spark_jobs.cheatsheet.checking import added, faults
    from spark_jobs.cheatsheet.reading import read_bytes, read_entries

    entries = read_entries(read_bytes(place), "published", place)
    known = read_entries(read_bytes(against), "published", against) if against else []
    found = faults(entries, known)
    for fault in found:
        if as_json:
            data(json.dumps(asdict(fault)))
        else:
            name = f" ({fault.name})" if fault.name else ""
            say(f"row {fault.position}{name}, {fault.field}: {fault.cause}")
            say(f"  mend: {fault.mend}")
    checked = len(added(entries, known))
    if not as_json:
        bad = len({fault.position for fault in found})
        say(f"{checked:,} rows checked: {bad:,} with faults" if found else f"{checked:,} rows checked: no faults")
    sys.exit(1 if found else 0)
