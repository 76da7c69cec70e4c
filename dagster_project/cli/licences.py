"""The command `watershed licences`: what a name means, what a table carries, and all that is known."""

from __future__ import annotations

from collections.abc import Mapping

import click

from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import data, say


@click.command("licences")
@click.argument("what", metavar="TABLE|NAME", required=False)
@click.option("--json", "as_json", is_flag=True, help="Prints a JSON object a licence.")
@user_errors()
def licences_command(what: str | None, as_json: bool) -> None:
    """Show the licences that a table carries, or what the name of a licence means.

    A table carries the licences of every table that it is made from; `watershed check` fails where two of them exclude
    each other. Without an argument, all licences and all ambiguous names are listed.

    \b
    Examples:
      watershed licences dclm.mixture
      watershed licences "CC BY-NC 4.0"
      watershed licences
    """
    from dataclasses import asdict

    from catalog.licences.known import AMBIGUOUS, LICENCES
    from catalog.licences.names import read_licences
    from catalog.names import find
    from catalog.tables import CONTRACTS

    if what is None:
        for licence in LICENCES.values():
            _line(as_json, {"id": licence.id, "title": licence.title, **asdict(licence.terms)}, licence.terms.words)
        for name, (candidates, problem) in AMBIGUOUS.items():
            row = {"name": name, "ambiguous": problem, "candidates": candidates}
            _line(as_json, row, f"ambiguous, {problem}: {', '.join(candidates) or 'any'}", key="name")
    elif (table := find(what, CONTRACTS)) is not None:
        from catalog.lake import Lake
        from catalog.licences.inherited import licences_of, rows_by_licence
        from catalog.licences.policy import conflicts
        from catalog.settings import load_settings

        settings = load_settings()
        held = licences_of(table, CONTRACTS, rows_by_licence(Lake.of(settings)))
        for each in held:
            rows = f", {each.rows:,} rows" if each.rows is not None else ""
            problem = f"; {each.problem}" if each.problem else ""
            words = f"{each.terms.words}{rows}{problem}; stated by {', '.join(each.tables)}"
            _line(as_json, {"title": each.title, **asdict(each)}, words)
        for conflict in conflicts(CONTRACTS[table], held, settings.licences):
            row = {"conflict": conflict.name, "reason": conflict.reason, "tables": conflict.tables}
            _line(as_json, row, conflict.reason, key="conflict")
    else:
        for reading in read_licences(what):
            candidates = f": one of {', '.join(reading.candidates)}" if reading.candidates else ""
            problem = f"; {reading.problem}{candidates}" if reading.problem else ""
            row = {**asdict(reading), "id": reading.shown}
            _line(as_json, row, f"{reading.terms.words}{problem}")


def _line(as_json: bool, row: Mapping[str, object], words: str, key: str = "id") -> None:
    import json

    if as_json:
        data(json.dumps(row))
    else:
        say(f"{row[key]}: {words}")
