"""What Dagster starts by itself: a sensor for new archives, a schedule, and tables that follow what they read.

Each of them is off unless `[automation]` of watershed.toml turns it on. All of them are defined in any case, so that
the page "Automation" shows them and can turn them on too.
"""

# Annotations stay evaluated here: Dagster refuses a `context` that is annotated by a string.

from collections.abc import Callable

import dagster as dg

from catalog.errors import WatershedError
from catalog.fingerprint import fingerprint
from catalog.printable import one_line
from catalog.settings import Settings, load_settings
from dagster_project.alerts import alerts
from dagster_project.due_job import Choice, make_what_is_due
from dagster_project.engine.table_asset import SKIP_FRESH_TAG
from dagster_project.jobs import TABLES
from dagster_project.own import JOB, made_tables

SENSOR_SECONDS = 60
NIGHTLY = "0 3 * * *"
"""The schedule that the page shows if none is configured: every night at three."""
NAMES_SHOWN = 3


def run_config(settings: Settings) -> dg.RunConfig:
    """Return the configuration of a run of `make_what_is_due` for the tables of `[automation] jobs`.

    Raises:
        WatershedError: `[automation] jobs` names a job that does not exist.
    """
    known = {**TABLES, JOB: made_tables()}
    if unknown := [job for job in settings.automation.jobs if job not in known]:
        raise WatershedError(f"[automation] jobs: no job is called {unknown[0]!r}", f"use {', '.join(known)}")
    tables = [table for job in settings.automation.jobs for table in known[job]]
    return dg.RunConfig(ops={"make": Choice(tables=tables)})


ListArchives = Callable[[Settings], tuple[list[str], list[str]]]
"""Returns the names of all archives of the crawl, and of those that the lake does not hold yet."""


def _archive_sensor(settings: Settings, list_archives: ListArchives) -> dg.SensorDefinition:
    @dg.sensor(
        name="new_archives",
        job=make_what_is_due,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=_sensor_status(settings.automation.new_archives),
        description="This sensor makes tables again when [crawl] inputs names archives that dclm.pool does not hold: "
        "files in a folder, objects under an S3 prefix, matches of a glob pattern, "
        "or entries of a list of paths such as Common Crawl publishes.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = load_settings()
        try:
            listed, new = list_archives(now)
            config = run_config(now)
        except WatershedError as error:
            return dg.SkipReason(one_line(f"{error.cause}; {error.mend}", 500))
        if not new:
            return dg.SkipReason(f"No archive is new: dclm.pool holds all {len(listed):,}.")
        shown = ", ".join(one_line(name, 80) for name in new[:NAMES_SHOWN])
        context.log.info("%d new archives: %s", len(new), shown)
        # The same archives never start a second run, even if the first one failed.
        return dg.RunRequest(run_key=fingerprint(listed, new), run_config=config)

    return sensor


def _schedule(settings: Settings) -> dg.ScheduleDefinition:
    on = bool(settings.automation.schedule)
    return dg.ScheduleDefinition(
        name="make_on_schedule",
        job=make_what_is_due,
        cron_schedule=settings.automation.schedule or NIGHTLY,
        execution_timezone="UTC",
        run_config=run_config(settings),
        default_status=dg.DefaultScheduleStatus.RUNNING if on else dg.DefaultScheduleStatus.STOPPED,
        description="This schedule makes the tables that are out of date, at the times of [automation] schedule.",
    )


def _cheap_tables(settings: Settings) -> dg.AutomationConditionSensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        name="cheap_tables",
        target=dg.AssetSelection.all(),
        run_tags={SKIP_FRESH_TAG: "true"},
        default_status=_sensor_status(settings.automation.cheap_tables),
        description="This sensor makes tables that take seconds again as soon as a table that they read has changed.",
    )


def _sensor_status(on: bool) -> dg.DefaultSensorStatus:
    return dg.DefaultSensorStatus.RUNNING if on else dg.DefaultSensorStatus.STOPPED


def sensors(settings: Settings, list_archives: ListArchives) -> list[dg.SensorDefinition]:
    """Return the sensors, running as `[automation]` says. `list_archives` finds new archives."""
    return [_archive_sensor(settings, list_archives), _cheap_tables(settings), alerts(settings)]


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Return the schedules, running as `[automation]` says."""
    return [_schedule(settings)]
