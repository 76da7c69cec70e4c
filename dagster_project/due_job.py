"""The job that makes what is due, and the sensor that shows what is due.

The job is one click: it makes the same steps and partitions as `watershed make` without a table, in runs of their own,
which Dagster lists with the run that started them as their parent.
"""

# Annotations stay evaluated here: Dagster refuses a `context` that is annotated by a string.
import dagster as dg
from dagster._core.storage.tags import PARENT_RUN_ID_TAG, ROOT_RUN_ID_TAG
from pydantic import Field

from catalog.errors import WatershedError
from catalog.progress import listening
from catalog.settings import load_settings
from dagster_project.due_words import signature
from dagster_project.engine.broken_rows import DUE_JOB
from dagster_project.engine.due import report
from dagster_project.engine.log_progress import LogLines

SECONDS_BETWEEN_LOOKS = 15


class Choice(dg.Config):
    """What to make.

    Attributes:
        tables: Tables to bring up to date, with everything that they depend on. The default is all that were made
            before.
    """

    tables: list[str] = Field(default_factory=list)


@dg.op(
    name="make", description="This op makes the steps and partitions that are due, in the order of their dependencies."
)
def _make(context: dg.OpExecutionContext, config: Choice) -> None:
    from dagster_project.run import LAUNCHED_BY_TAG, made_before, make

    settings = load_settings()
    tags = {PARENT_RUN_ID_TAG: context.run_id, ROOT_RUN_ID_TAG: context.run_id, LAUNCHED_BY_TAG: DUE_JOB}
    try:
        with listening(LogLines(context.log)):
            costs = make(settings, context.instance, config.tables or made_before(settings), tags=tags)
    except WatershedError as error:
        _cancel_with(context.instance, context.run_id)
        raise dg.Failure(f"{error.cause}\n{error.mend}", allow_retries=False) from error
    for cost in costs:
        context.log.info("%s: %d partitions in %.1f s", cost.step, cost.partitions, cost.seconds)
    if not costs:
        context.log.info("Everything is up to date: nothing was made again.")
    context.add_output_metadata({"steps": len(costs), "made": ", ".join(cost.step for cost in costs) or "nothing"})


def _cancel_with(instance: dg.DagsterInstance, parent: str) -> None:
    """Mark the run that was interrupted as cancelled, if the run `parent`, which executed it, is being cancelled."""
    run = instance.get_run_by_id(parent)
    if run is None or run.status != dg.DagsterRunStatus.CANCELING:
        return
    of_parent = dg.RunsFilter(tags={PARENT_RUN_ID_TAG: parent}, statuses=[dg.DagsterRunStatus.FAILURE])
    for child in instance.get_runs(of_parent):
        instance.report_run_canceled(child, message=f"Cancelled with run {parent} of {DUE_JOB}, which executed it.")


@dg.job(
    name=DUE_JOB,
    description="This job makes what is due and nothing else: the tables that were made before and whose recipe, "
    "archives or upstream tables have changed, whose files are lost, or whose rows break their contract.",
    executor_def=dg.in_process_executor,
)
def make_what_is_due() -> None:
    """Make what is due."""
    _make()


@dg.sensor(
    name="what_is_due",
    description="This sensor keeps the check `up_to_date` of every table and the list of partitions current. It starts "
    "no run.",
    minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def what_is_due(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Report what is due, if the lake, the crawl, the settings or the project's recipes have changed."""
    try:
        settings = load_settings()
        seen = signature(settings)
        if seen == context.cursor:
            return dg.SkipReason("Nothing has changed since the last look.")
        due = report(context.instance, settings)
    except WatershedError as error:
        return dg.SkipReason(f"It cannot be seen what is due: {error.cause}")
    context.update_cursor(seen)
    return dg.SkipReason(f"{len(due)} tables are due." if due else "Every table is up to date.")
