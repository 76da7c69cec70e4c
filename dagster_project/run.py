"""Make what is due: the same jobs that the UI shows, limited to what is out of date.

Steps are gathered into as few Dagster runs as their partitions allow, each run recorded in the project's
instance. A step that was finished is not made again, whoever or whatever ended the process before.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import dagster as dg
from dagster import PreviewWarning

from catalog.errors import WatershedError
from catalog.settings import Settings
from dagster_project.definitions import steps
from dagster_project.engine.partitions import Cut
from dagster_project.engine.steps import State, Step, Steps
from dagster_project.engine.table_asset import SKIP_FRESH_TAG
from dagster_project.instance import PROCESS_TAG, process_tag
from dagster_project.jobs import job_of


@dataclass
class Group:
    """Steps that one run of `job` makes: all of one cut, or not cut at all.

    `keys` are the first and last partition key of the cut, in its own order.
    """

    job: str
    steps: list[Step] = field(default_factory=list)
    cut: Cut | None = None
    keys: tuple[str, str] | None = None

    def takes(self, step: Step) -> bool:
        """`step` can join without another partitions definition in the run."""
        return self.job == job_of(step.name) and (step.cut is None or self.cut in (None, step.cut))


@dataclass(frozen=True)
class StepCost:
    """What a step took in one run: seconds summed over partitions, and the highest peak of memory."""

    step: str
    seconds: float
    peak_bytes: int
    partitions: int


def groups(settings: Settings, tables: Collection[str] = ()) -> list[Group]:
    """What is due of some tables and all that they are made from, in the order in which it will be made.

    Without `tables`, of all; empty when everything is what it should be.
    """
    state = State(steps(), settings)
    gathered: list[Group] = []
    for step in wanted(state.steps, tables):
        due = state.due(step)
        if not due:
            continue
        if not gathered or not gathered[-1].takes(step):
            gathered.append(Group(job_of(step.name)))
        group = gathered[-1]
        group.steps.append(step)
        if step.cut:
            group.cut = step.cut
            order = step.cut.definition.get_partition_keys()
            keys = [step.cut.key(partition) for partition in due if partition is not None]
            keys += list(group.keys or ())
            group.keys = min(keys, key=order.index), max(keys, key=order.index)
    return gathered


def wanted(known: Steps, tables: Collection[str]) -> list[Step]:
    """The steps that make `tables`, or all, with those before them."""
    if not tables:
        return list(known.ordered)
    names = {*tables, *(before for table in tables for before in known.ancestors(known.by_table[table]))}
    return [step for step in known.ordered if any(contract.name in names for contract in step.contracts)]


def make(settings: Settings, instance: dg.DagsterInstance, tables: Collection[str] = ()) -> list[StepCost]:
    """Run every group of `groups`; returns what each step took.

    Raises:
        WatershedError: a step or a blocking check failed; what was finished before it stands.
    """
    costs: list[StepCost] = []
    for group in groups(settings, tables):
        costs.extend(_run(group, instance))
    return costs


def _run(group: Group, instance: dg.DagsterInstance) -> Iterator[StepCost]:
    from dagster_project.definitions import defs

    job = defs.resolve_job_def(group.job)
    tags = {SKIP_FRESH_TAG: "true", PROCESS_TAG: process_tag()}
    if group.keys:
        first, last = group.keys
        tags |= {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    with warnings.catch_warnings():
        # Dagster warns of its own previews, not of anything that the user can change.
        warnings.simplefilter("ignore", PreviewWarning)
        result = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(c.name.split(".")) for step in group.steps for c in step.contracts],
            tags=tags,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    if not result.success:
        raise failure(result)
    for step in group.steps:
        yield _cost(step, result)


def _cost(step: Step, result: dg.ExecuteInProcessResult) -> StepCost:
    key = dg.AssetKey(step.name.split("."))
    measured = [
        event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key == key and "seconds" in event.materialization.metadata
    ]
    return StepCost(
        step.name,
        sum(float(str(m["seconds"].value)) for m in measured),
        max((int(str(m["peak memory (bytes)"].value)) for m in measured), default=0),
        len(measured),
    )


def failure(result: dg.ExecuteInProcessResult) -> WatershedError:
    """Why a run failed, in its first step or blocking check that did."""
    for event in result.filter_events(lambda event: event.event_type_value == "STEP_FAILURE"):
        data = event.step_failure_data
        if data.user_failure_data and data.user_failure_data.description:
            cause, _, mend = data.user_failure_data.description.partition("\n")
            return WatershedError(cause, mend or "see the run in `watershed ui`")
        error = data.error
        while error and error.cause:
            error = error.cause
        said = error.message.strip().splitlines()[-1] if error else "no reason given"
        return WatershedError(f"{event.step_key}: {said}", f"see run {result.run_id} in `watershed ui`")
    for check in result.get_asset_check_evaluations():
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
            name = ".".join(check.asset_key.path)
            return WatershedError(f"{name} fails its contract: {check.description}", f"see `watershed check {name}`")
    return WatershedError(f"run {result.run_id} failed", "see it in `watershed ui`")
