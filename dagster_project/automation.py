"""What Dagster starts by itself: a sensor for new archives, a schedule, and tables that follow what they read.

Each of them is off unless `[automation]` of watershed.toml turns it on. All of them are defined in any case, so that
the page "Automation" shows them and can turn them on too.
"""

# Annotations stay evaluated here: Dagster refuses a `context` that is annotated by a string.

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import dagster as dg

from catalog.errors import WatershedError
from catalog.fingerprint import fingerprint
from catalog.printable import one_line
from catalog.settings import Settings, load_settings
from dagster_project.alerts import alerts
from dagster_project.engine.table_asset import SKIP_FRESH_TAG
from dagster_project.jobs import TABLES

SENSOR_SECONDS = 60
NIGHTLY = "0 3 * * *"
"""The schedule that the page shows if none is configured: every night at three."""
NAMES_SHOWN = 3
LINE = 300
"""Most characters of a line of a log."""
ASKED_BY = "WATERSHED_ASKED_BY"
"""The environment variable that says what asked for a command."""


class WhatIsDue(dg.Config):
    """The jobs whose tables are made, and what asked for them."""

    jobs: list[str]
    asked_by: str = "the job make_what_is_due"


@dg.op(description="This op makes the tables of the configured jobs that are out of date, as `watershed make` does.")
def make_tables(context: dg.OpExecutionContext, config: WhatIsDue) -> None:
    """Run `watershed make` for the tables of the jobs. The runs that it starts say what asked for them."""
    tables = [table for job in config.jobs for table in TABLES[job]]
    process = subprocess.Popen(
        [sys.executable, "-m", "dagster_project", "make", *tables],
        env={**os.environ, ASKED_BY: config.asked_by},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout
    last = ""
    try:
        for line in process.stdout:
            if line.strip():
                last = one_line(line.strip(), LINE)
                context.log.info("%s", last)
        process.wait()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait()
    if process.returncode:
        raise dg.Failure(f"`watershed make` failed: {last}", allow_retries=False)


@dg.job(
    name="make_what_is_due",
    description="This job makes the tables that are out of date, and nothing else.",
    executor_def=dg.in_process_executor,
)
def make_what_is_due() -> None:
    """The job of the sensor and of the schedule."""
    make_tables()


def run_config(settings: Settings, asked_by: str) -> dg.RunConfig:
    """Return the configuration of a run of `make_what_is_due`.

    Raises:
        WatershedError: `[automation] jobs` names a job that does not exist.
    """
    if unknown := [job for job in settings.automation.jobs if job not in TABLES]:
        raise WatershedError(f"[automation] jobs: no job is called {unknown[0]!r}", f"use {', '.join(TABLES)}")
    return dg.RunConfig(ops={"make_tables": WhatIsDue(jobs=settings.automation.jobs, asked_by=asked_by)})


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
            config = run_config(now, "the sensor new_archives")
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
        name="what_is_due",
        job=make_what_is_due,
        cron_schedule=settings.automation.schedule or NIGHTLY,
        execution_timezone="UTC",
        run_config=run_config(settings, "the schedule what_is_due"),
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
