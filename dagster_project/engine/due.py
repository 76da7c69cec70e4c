"""What is due, as Dagster shows it: the check `up_to_date` of every table that has been made.

The fingerprints that follow from the inputs and those in the lake decide, as for `watershed make`. Dagster's own mark
of stale data does not: it sees only new versions of the tables directly upstream, no changed recipe or archive, and
nothing of a partitioned table as a whole. A table that was never made has no such check; Dagster shows that it is
missing.

`report` records the check of every table whose state has changed, without a run.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.lake import WHOLE
from catalog.settings import Settings
from dagster_project.engine.broken_rows import DUE_JOB
from dagster_project.engine.markdown import markdown
from dagster_project.engine.reasons import Reason, joined
from dagster_project.engine.steps import REGISTERED, State, Step, Steps

UP_TO_DATE = "up_to_date"

PARTITIONS_SHOWN = 20


def due_partitions(state: State, step: Step) -> dict[str, Reason]:
    """Return why the partitions of `step` that are due are so, by partition as Dagster names it ("" for a table)."""
    found: dict[str, Reason] = {}
    for key in state.keys(step):
        if reason := state.reasons.of(step.name, key):
            found[step.cut.shown(key) if step.cut else WHOLE] = reason
    return found


def summary(state: State, step: Step, due: dict[str, Reason]) -> str:
    """Return in one sentence what of `step` is due, and why; empty if nothing is."""
    if not due:
        return ""
    causes = list(dict.fromkeys(root for reason in due.values() for root in reason.roots))
    if not causes:
        causes = list(dict.fromkeys(reason.text for reason in due.values()))
    which = f"{len(due):,} of {len(state.keys(step)):,} partitions due" if step.cut else "due"
    return f"{which}: {joined(causes)}"


def up_to_date(state: State, contract: Contract) -> dg.AssetCheckEvaluation:
    """Return the check of one table."""
    step = state.steps.by_table[contract.name]
    try:
        due = due_partitions(state, step)
    except WatershedError as error:
        return _evaluation(contract, passed=False, text=f"It cannot be seen what is due: {error.cause}", shown={})
    if not due:
        partitions = f"All {len(state.keys(step)):,} partitions are" if step.cut else "The table is"
        return _evaluation(contract, passed=True, text=f"{partitions} up to date.", shown={})
    return _evaluation(contract, passed=False, text=f"{summary(state, step, due)}.", shown=_shown(step, due))


def _shown(step: Step, due: dict[str, Reason]) -> dict[str, Any]:
    job = f"/locations/dagster_project.definitions/jobs/{DUE_JOB}/playground"
    head = "| partition | why |\n|---|---|\n" if step.cut else "| why |\n|---|\n"
    rows = [
        (f"| {markdown(key)} " if step.cut else "") + f"| {markdown(reason.sentence)} |"
        for key, reason in list(due.items())[:PARTITIONS_SHOWN]
    ]
    if len(due) > PARTITIONS_SHOWN:
        rows.append(f"| {len(due) - PARTITIONS_SHOWN:,} more | |")
    ready = all(reason.ready for reason in due.values())
    choice = f" and choose {', '.join(list(due)[:PARTITIONS_SHOWN])}" if step.cut else ""
    here = f"To make this table alone, press Materialize{choice}." if ready else "What it waits for is made first."
    return {
        "due": len(due),
        "why": dg.MetadataValue.md(head + "\n".join(rows)),
        "what to do": dg.MetadataValue.md(f"Launch [{DUE_JOB}]({job}): it makes what is due and nothing else. {here}"),
    }


def _evaluation(contract: Contract, *, passed: bool, text: str, shown: dict[str, Any]) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(contract.name.split(".")),
        check_name=UP_TO_DATE,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=markdown(text),
        metadata=shown,
    )


def report(instance: dg.DagsterInstance, settings: Settings) -> list[str]:
    """Record the check of every table that has been made and whose state is not the one that was recorded last.

    Partitions of the UI follow what exists. Returns the tables that are due.
    """
    state = State(Steps(REGISTERED), settings)
    follow_partitions(instance, state)
    due: list[str] = []
    for step in state.steps.ordered:
        for contract in step.contracts:
            try:
                if not state.lake.written(contract.name):
                    continue
            except WatershedError:
                # A damaged table is what the check of its contract reports.
                continue
            evaluation = up_to_date(state, contract)
            due += [] if evaluation.passed else [contract.name]
            if not _recorded(instance, evaluation):
                instance.report_runless_asset_event(evaluation)
    return due


def follow_partitions(instance: dg.DagsterInstance, state: State) -> None:
    """Make the partitions that Dagster offers those that exist; nothing changes if the crawl cannot be listed."""
    followed: list[int] = []
    for step in state.steps.ordered:
        if step.cut is not None and id(step.cut) not in followed:
            followed.append(id(step.cut))
            try:
                keys = [step.cut.key(partition) for partition in state.all(step) if partition is not None]
            except WatershedError:
                continue
            step.cut.follow(instance, keys)


def _recorded(instance: dg.DagsterInstance, evaluation: dg.AssetCheckEvaluation) -> bool:
    """Whether the last evaluation that was recorded says the same."""
    for record in instance.event_log_storage.get_asset_check_execution_history(evaluation.asset_check_key, limit=1):
        event = record.event.dagster_event if record.event else None
        if event and event.event_type_value == "ASSET_CHECK_EVALUATION":
            last = event.asset_check_evaluation_data
            return (last.passed, last.description, last.metadata.get("why")) == (
                evaluation.passed,
                evaluation.description,
                evaluation.metadata.get("why"),
            )
    return False
