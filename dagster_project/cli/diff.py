"""The command `watershed diff`: what changed between two versions of a table, or between it and its contract."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import click

from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import data, say

if TYPE_CHECKING:
    from catalog.contract import Contract
    from catalog.difference import Difference, Statistics
    from catalog.lake import Lake


@click.command("diff")
@click.argument("first", metavar="TABLE[@VERSION]")
@click.argument("second", metavar="[@VERSION]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Prints the difference as JSON.")
@user_errors()
def diff_command(first: str, second: str | None, as_json: bool) -> None:
    """Compare two versions of a table: columns, numbers of rows, statistics, and a sample of the rows that differ.

    Rows are compared along the primary key. With one version, it is compared with the latest. With a table alone, its
    columns are compared with those of its contract, and the tables that are made from it are named; the exit code is 1
    if a write would be refused because of a difference.

    \b
    Examples:
      watershed diff dclm.mixture@1 @2
      watershed diff dclm.mixture@1
      watershed diff dclm.mixture
    """
    from catalog.difference import difference
    from catalog.errors import WatershedError
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from catalog.sql.query import connect
    from catalog.tables import contract

    name, _, before = first.partition("@")
    declared, settings = contract(name), load_settings()
    lake = Lake.of(settings)
    latest = lake.table(declared.name).version()
    if not before and second is None:
        _against_contract(lake, declared, as_json)
        return
    versions = [before, str(latest) if second is None else second.rpartition("@")[2]]
    if not all(re.fullmatch(r"\d+", version) for version in versions):
        raise WatershedError(f"{first} {second or ''}: a version is a number", "write it as dclm.documents@3 @5")
    low, high = map(int, versions)
    if max(low, high) > latest:
        raise WatershedError(f"{declared.name} has no version {max(low, high)}", f"choose one up to {latest}")
    found = difference(lake, connect(settings), declared, low, high)
    if as_json:
        _print_json(found)
    else:
        _print(found)


def _against_contract(lake: Lake, declared: Contract, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from deltalake import Schema

    from catalog.difference import readers
    from catalog.evolution import changes

    found = changes(lake.table(declared.name).schema(), Schema.from_arrow(declared.schema))
    below = readers(lake, declared)
    if as_json:
        data(json.dumps({"columns": [asdict(each) | {"breaking": each.breaking} for each in found], "readers": below}))
    else:
        for each in found:
            say(f"{'BREAKING' if each.breaking else 'fits'} {each}", fg="red" if each.breaking else None)
        say(f"made from it: {', '.join(below)}" if below else "no table is made from it")
        if not found:
            say(f"the columns of {declared.name} are those of its contract")
    # What `catalog.creation` refuses before a write.
    sys.exit(any(each.kind in ("retyped", "removed", "missing", "widened") for each in found))


def _print(found: Difference) -> None:
    from dagster_project.cli.screen.render import cell

    say(f"{found.table}: version {found.first} to version {found.second}", bold=True)
    for each in found.columns:
        say(f"  column {each}")
    before, after = found.rows
    say(f"  rows {before:,} to {after:,}: {found.added:,} added, {found.removed:,} removed, {found.changed:,} changed")
    for name, (first, second) in found.statistics.items():
        say(f"  {name}: {_changed(first, second)}")
    for kind, rows in found.samples.items():
        for row in rows:
            values = ", ".join(
                f"{name} {' to '.join(cell(one, 40) for one in value) if isinstance(value, list) else cell(value, 60)}"
                for name, value in row.items()
            )
            say(f"  {kind}: {values}")


def _changed(first: Statistics, second: Statistics) -> str:
    from dagster_project.cli.screen.render import cell

    parts = []
    for name in ("nulls", "distinct", "lowest", "highest", "mean"):
        one, other = getattr(first, name), getattr(second, name)
        if one != other:
            about = "about " if name == "distinct" else ""
            parts.append(f"{name} {about}{cell(one, 30)} to {cell(other, 30)}")
    return ", ".join(parts)


def _print_json(found: Difference) -> None:
    import json
    from dataclasses import asdict

    data(json.dumps(asdict(found), default=str))
