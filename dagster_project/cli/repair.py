"""The command `watershed repair`: says what can be done about a damaged table, and does it."""

from __future__ import annotations

import sys

import click

from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import safe_console, say


@click.command("repair")
@click.argument("table")
@click.option("--yes", is_flag=True, help="Does what would be done; without this option it is only shown.")
@user_errors()
def repair_command(table: str, yes: bool) -> None:
    """Say what can be done about a damaged table, and do it.

    Every file of the table is verified, as `watershed check --storage` does. A log entry that is missing or damaged is
    restored from its copy. If there is no copy, the table goes back to the last version that can be read. Nothing is
    deleted: damaged files are moved to a folder `_damaged`. `watershed make TABLE` then makes again what is lost. The
    exit code is 0 if the table is whole, and 1 if a file is still missing or damaged.

    \b
    Examples:
      watershed repair dclm.documents
      watershed repair dclm.documents --yes
    """
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from catalog.storage.repair import plan_repair
    from catalog.tables import contract
    from dagster_project.cli.screen.bars import Bars

    lake, declared = Lake.of(load_settings()), contract(table)
    with Bars(safe_console(stderr=True)).listening():
        plan = plan_repair(lake, declared)
    for fault in plan.faults:
        say(f"DAMAGED {fault}", fg="red")
    if not plan.faults:
        say(f"{plan.table} is whole: there is nothing to repair")
        return
    if yes:
        plan.carry_out()
    for action in plan.actions:
        say(f"{'done:' if yes else 'would'} {action.text}")
    for advice in plan.advice:
        say(f"note: {advice}")
    if not yes:
        if plan.actions:
            say(f"Nothing was changed. To do this, run `watershed repair {plan.table} --yes`.")
        sys.exit(1)
    left = plan_repair(lake, declared).faults if lake.exists(plan.table) else []
    count = "1 file is" if len(left) == 1 else f"{len(left):,} files are"
    say(f"{count} still missing or damaged" if left else f"{plan.table} is whole")
    sys.exit(1 if left else 0)
