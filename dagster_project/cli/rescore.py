"""The command `watershed rescore`: stored replies scored again after a scorer has changed."""

from __future__ import annotations

import click

from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import say


@click.command("rescore")
@click.argument("scorers", nargs=-1, metavar="[SCORER]...")
@click.option(
    "--unseal", metavar="WHY", help="Reads results of the unseen suite too, and records the look with this reason."
)
@user_errors()
def rescore_command(scorers: tuple[str, ...], unseal: str | None) -> None:
    """Score stored replies again, and list the numbers that moved.

    The replies of tulu.results and tulu.rollouts are scored by the scorers as they are now; no model is asked, and the
    stored scores are kept. The new ones are in tulu.rescores. SCORER limits the command to some scorers.

    \b
    Examples:
      watershed rescore
      watershed rescore ifeval math
      watershed rescore gsm8k --unseal "the scorer of the final report changed"
    """
    import os

    import pyarrow as pa

    from catalog.errors import WatershedError
    from catalog.fingerprint import fingerprint
    from catalog.lake import Lake
    from catalog.names import close
    from catalog.settings import load_settings
    from catalog.tables.tulu import RESCORES
    from dagster_project.families.tulu import rescoring
    from dagster_project.families.tulu.results import record_look
    from dagster_project.families.tulu.scoring import names
    from spark_jobs.tulu.suites import tasks

    if unknown := sorted(set(scorers) - set(names())):
        raise WatershedError(
            f"the scorer {unknown[0]!r} is unknown{close(unknown[0], names())}", f"use {', '.join(names())}"
        )
    settings = load_settings()
    lake = Lake.of(settings)
    if unseal is not None:
        record_look(lake, ["all"], [name for name, task in tasks().items() if task.sealed], unseal, "watershed rescore")
    workers = settings.tulu.workers or os.cpu_count() or 1
    rows, skipped = rescoring.rescored(lake, scorers=scorers, sealed=unseal is not None, workers=workers)
    if not rows:
        raise WatershedError(
            "there is no stored reply", "make tulu.results, or record a run by `watershed tulu record`"
        )
    made = fingerprint("rescores", [[row["origin"], row["run"], row["row_id"], row["version"]] for row in rows])
    lake.replace(RESCORES, pa.Table.from_pylist(rows, schema=RESCORES.schema), made)
    found = rescoring.moved(rows)
    say(f"{len(rows):,} stored replies were scored again, {sum(each.changed for each in found):,} scores changed")
    if skipped:
        say(f"{skipped:,} rollouts were left out, as what their scorer compares with is not known")
    if not found:
        say("no number moved")
    for each in found:
        say(
            f"{each.origin} {each.run} {each.task}: {each.before:.4f} -> {each.after:.4f} "
            f"({each.after - each.before:+.4f}), {each.changed:,} of {each.replies:,} replies, by {each.scorer}"
        )
