"""Run the jobs of the UI, limited to the tables and partitions that are out of date.

Steps are grouped into as few Dagster runs as their partitions allow. Each run is recorded in the instance of the
project. A step that has finished is not run again, even if the process was killed afterwards.
"""

from __future__ import annotations

import re
import shlex
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType

import dagster as dg
from dagster import PreviewWarning

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.printable import printable
from catalog.projects.mixture_file import FAMILY as MIXTURE
from catalog.projects.registry import own_tables
from catalog.settings import Settings
from dagster_project.assets import assets_and_jobs, steps
from dagster_project.engine.checks import checked
from dagster_project.engine.due import due_partitions, follow_partitions, report, summary
from dagster_project.engine.markdown import plain
from dagster_project.engine.partitions import Cut
from dagster_project.engine.reasons import Reason
from dagster_project.engine.steps import State, Step, Steps
from dagster_project.engine.table_asset import FORCE_TAG, SKIP_FRESH_TAG
from dagster_project.instance import open_instance
from dagster_project.jobs import COMMANDS
from dagster_project.jobs import job_of as job_of_family
from dagster_project.own import JOB, PROGRAM
from dagster_project.processes import PROCESS_TAG, process_tag
from spark_jobs.spark.failures import one_line

LAUNCHED_BY_TAG = "user"
"""The tag whose value Dagster shows in the column "Launched by"."""
LONGEST_COMMAND = 120


def job_of(table: str) -> str:
    """Return the name of the job that makes `table`, one of a family or of the project's own."""
    return JOB if table in own_tables() or table.split(".", maxsplit=1)[0] == MIXTURE else job_of_family(table)


@dataclass
class Group:
    """Steps that one run of `job` executes. Steps that are partitioned all have the same `cut`.

    `keys` are the keys of the cut that are due in one of the steps.
    """

    job: str
    steps: list[Step] = field(default_factory=list)
    cut: Cut | None = None
    keys: set[str] = field(default_factory=set)

    def takes(self, step: Step, known: Steps) -> bool:
        """Whether `step` can join: it has the same job, needs no second partitions definition in the run, and Dagster
        will run it after all steps of the group that it depends on."""
        same_run = self.job == job_of(step.name) and (step.cut is None or self.cut in (None, step.cut))
        return same_run and self._runs_after_its_ancestors(step, known)

    def _runs_after_its_ancestors(self, step: Step, known: Steps) -> bool:
        """Whether each ancestor of `step` in the group is connected with it by steps of the group alone.

        Dagster orders the steps of a run by the dependencies between them. It does not see one that goes through a
        step that is up to date, as where only the files of some tables were lost.
        """
        mine = {contract.name: each for each in self.steps for contract in each.contracts}
        connected, waiting = set[str](), [name for name in step.upstream if name in mine]
        while waiting:
            name = waiting.pop()
            if name not in connected:
                connected |= {contract.name for contract in mine[name].contracts}
                waiting += [further for further in mine[name].upstream if further in mine]
        return set(known.ancestors(step)) & mine.keys() <= connected


@dataclass(frozen=True)
class StepCost:
    """The cost of a step in one run: seconds summed over its partitions, and the highest peak of resident memory."""

    step: str
    seconds: float
    peak_bytes: int
    partitions: int


def command_tags() -> dict[str, str]:
    """Return the tags by which Dagster shows the command that started a run, in place of "manually launched"."""
    words = printable(shlex.join(["watershed", *sys.argv[1:]]))
    # A URL may carry a password or a signature.
    words = re.sub(r"://[^/@\s]+@", "://…@", re.sub(r"(://[^?\s]*\?)[^\s']+", r"\1…", words))
    return {LAUNCHED_BY_TAG: words if len(words) <= LONGEST_COMMAND else f"{words[: LONGEST_COMMAND - 1]}…"}


@dataclass(frozen=True)
class Planned:
    """A step that would be made, and its partitions with the reasons; a whole table has one partition, `WHOLE`.

    Attributes:
        step: The step.
        due: Why each partition is due, by partition key as commits name it; None if the step is made by force.
        of: The number of all its partitions.
    """

    step: Step
    due: Mapping[str, Reason | None]
    of: int

    def shown(self, key: str) -> str:
        """Return a partition as Dagster names it; empty for a whole table."""
        return self.step.cut.shown(key) if self.step.cut else ""


def plan(
    settings: Settings, instance: dg.DagsterInstance, tables: Collection[str] = (), force: Collection[str] = ()
) -> list[Planned]:
    """Return the steps that `make` would run, in order, with the reason of every partition. Nothing is made.

    Raises:
        WatershedError: The log of a table is damaged, or a table is written by a command.
    """
    look_over(settings, instance, tables)
    state = State(steps(), settings)
    found: list[Planned] = []
    for step in _chosen(state, tables):
        again = any(contract.name in force for contract in step.contracts)
        reasons = {key: state.reasons.of(step.name, key) for key in state.keys(step)}
        due = reasons if again else {key: reason for key, reason in reasons.items() if reason}
        if due:
            found.append(Planned(step, due, len(reasons)))
    return found


def look_over(settings: Settings, instance: dg.DagsterInstance, tables: Collection[str] = ()) -> None:
    """Check each of the tables that has changed since its last check: partitions with broken rows are due.

    Only tables that `tables` depend on are considered; without `tables`, all. Damaged ones are skipped.
    """
    known, lake = steps(), Lake.of(settings)
    for contract in (contract for step in wanted(known, tables) for contract in step.contracts):
        if lake.damage(contract.name) is None:
            checked(instance, settings, contract.name)


def made_before(settings: Settings) -> list[str]:
    """Return the tables of jobs that have been made, in the order in which they are made.

    Raises:
        WatershedError: No table has been made.
    """
    lake = Lake.of(settings)
    found = [c.name for step in steps().ordered for c in step.contracts if lake.exists(c.name)]
    if not found:
        raise WatershedError(
            f"{lake.root}: no table has been made here", "name one, as in `watershed make dclm.shards`"
        )
    return found


def due_of_each(settings: Settings) -> dict[str, str]:
    """Return in words what is due of each table that has been made and of which something is.

    Raises:
        WatershedError: The crawl or another source cannot be listed.
    """
    state = State(steps(), settings)
    found: dict[str, str] = {}
    for step in state.steps.ordered:
        names = [c.name for c in step.contracts if state.lake.damage(c.name) is None and state.lake.exists(c.name)]
        if len(names) == len(step.contracts):
            words = summary(state, step, due_partitions(state, step))
            found |= dict.fromkeys(names, words) if words else {}
    return found


def _chosen(state: State, tables: Collection[str]) -> list[Step]:
    chosen = wanted(state.steps, tables)
    # Before the crawl is listed, and hours before the table is read.
    for contract in (contract for step in chosen for contract in step.contracts):
        if damage := state.lake.damage(contract.name):
            raise damage
    return chosen


def groups(settings: Settings, tables: Collection[str] = (), force: Collection[str] = ()) -> list[Group]:
    """Return the steps that are due, grouped into runs, in the order in which they will run.

    Only steps that `tables` depend on are considered; without `tables`, all steps. The list is empty if nothing is due.
    Steps that write one of the tables `force` are due in any case.

    Raises:
        WatershedError: The log of a table is damaged, or a table is written by a command.
    """
    state = State(steps(), settings)
    gathered: list[Group] = []
    for step in _chosen(state, tables):
        again = any(contract.name in force for contract in step.contracts)
        due = state.all(step) if again else state.due(step)
        if not due:
            continue
        if not gathered or not gathered[-1].takes(step, state.steps):
            gathered.append(Group(job_of(step.name)))
        group = gathered[-1]
        group.steps.append(step)
        if step.cut:
            group.cut = step.cut
            group.keys |= {step.cut.key(partition) for partition in due if partition is not None}
    return gathered


def wanted(known: Steps, tables: Collection[str]) -> list[Step]:
    """Return the steps that make `tables` and everything that these depend on; without `tables`, all steps.

    Raises:
        WatershedError: One of the tables is written by a command.
    """
    if not tables:
        return list(known.ordered)
    for table in tables:
        if table not in known.by_table:
            raise WatershedError(
                f"{table} is written by a command, not made by a job", f"run `{COMMANDS.get(table, PROGRAM)}`"
            )
    names = {*tables, *(before for table in tables for before in known.ancestors(known.by_table[table]))}
    return [step for step in known.ordered if any(contract.name in names for contract in step.contracts)]


def make(
    settings: Settings,
    instance: dg.DagsterInstance,
    tables: Collection[str] = (),
    force: Collection[str] = (),
    tags: Mapping[str, str] = MappingProxyType({}),
    *,
    before: Callable[[Collection[Step]], None] = lambda steps: None,
) -> list[StepCost]:
    """Run every group of `groups`, and return the cost of each step. The runs carry `tags`.

    `before` is called once before the first of them, with the steps that are due, and not at all if nothing is due.

    Raises:
        WatershedError: A step or a blocking check failed. Steps that finished before it keep their tables.
    """
    look_over(settings, instance, tables)
    carried = {**tags, SKIP_FRESH_TAG: "true", FORCE_TAG: ",".join(force), PROCESS_TAG: process_tag()}
    costs: list[StepCost] = []
    try:
        due = groups(settings, tables, force)
        if due:
            before([step for group in due for step in group.steps])
            # Dagster's definitions of all tables take longer than everything else where nothing is due.
            jobs = assets_and_jobs(settings)
            for group in due:
                costs.extend(_run(group, jobs.resolve_job_def(group.job), settings, instance, carried))
    finally:
        # A crawl that cannot be listed does not hide why nothing was made.
        with suppress(WatershedError):
            report(instance, settings)
    return costs


def make_by_command(settings: Settings, tables: Collection[str]) -> list[StepCost]:
    """Make what is due of `tables` for a command of the command line, whose words Dagster shows with the runs.

    Raises:
        WatershedError: See `make`.
    """
    instance = open_instance(settings)
    try:
        return make(settings, instance, tables, tags=command_tags())
    finally:
        instance.dispose()


def _run(
    group: Group,
    job: dg.JobDefinition,
    settings: Settings,
    instance: dg.DagsterInstance,
    tags: Mapping[str, str],
) -> Iterator[StepCost]:
    if group.cut:
        follow_partitions(instance, State(steps(), settings))
        order = group.cut.known(instance)
        first, last = min(group.keys, key=order.index), max(group.keys, key=order.index)
        tags = {**tags, "dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    with warnings.catch_warnings():
        # Dagster warns that a feature of its own is a preview. The user cannot change that.
        warnings.simplefilter("ignore", PreviewWarning)
        result = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(c.name.split(".")) for step in group.steps for c in step.contracts],
            tags=dict(tags),
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    if not result.success:
        raise failure(result)
    for step in group.steps:
        yield _cost(step, result)


def _cost(step: Step, result: dg.ExecuteInProcessResult) -> StepCost:
    key = dg.AssetKey(step.name.split("."))
    # A partition is reported when it is committed, and again at the end of its step.
    measured = {
        event.materialization.partition: event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key == key and "seconds" in event.materialization.metadata
    }
    return StepCost(
        step.name,
        sum(float(str(m["seconds"].value)) for m in measured.values()),
        max((int(1e6 * float(str(m["peak memory (MB)"].value))) for m in measured.values()), default=0),
        len(measured),
    )


def failure(result: dg.ExecuteInProcessResult) -> WatershedError:
    """Return the cause of a failed run: the error of its first failed step, or else its first failed blocking check."""
    for event in result.filter_events(lambda event: event.event_type_value == "STEP_FAILURE"):
        data = event.step_failure_data
        if data.user_failure_data and data.user_failure_data.description:
            cause, _, mend = data.user_failure_data.description.partition("\n")
            return WatershedError(cause, mend or "see the run in `watershed ui`")
        error = data.error
        while error and error.cause:
            error = error.cause
        message = one_line(error.message) if error else "no reason given"
        return WatershedError(f"{event.step_key}: {message}", f"see run {result.run_id} in `watershed ui`")
    for check in result.get_asset_check_evaluations():
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
            name = ".".join(check.asset_key.path)
            observed = plain(check.description or "")
            return WatershedError(
                f"{name} fails its contract: {observed}",
                f"see `watershed check {name}`, or its check in `watershed ui`, /assets/{name.replace('.', '/')}",
            )
    return WatershedError(f"run {result.run_id} failed", "see it in `watershed ui`")
