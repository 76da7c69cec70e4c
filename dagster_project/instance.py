"""The Dagster instance of the project: a home inside it, so that runs survive a restart."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from catalog.settings import Settings

CONFIG = """\
# Written once by Watershed; edit it freely (for example, to keep runs in Postgres).
telemetry:
  enabled: false
nux:
  enabled: false
"""
PROCESS_TAG = "watershed/process"


def ensure_home(settings: Settings) -> Path:
    """Make DAGSTER_HOME with its configuration where it is missing, and point the environment at it."""
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(CONFIG)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The project's instance; runs whose process died are marked as failed.

    A process that is killed cannot say so, and its run would show as running for ever.
    """
    ensure_home(settings)
    instance = dg.DagsterInstance.get()
    unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    for run in instance.get_runs(unfinished):
        if (process := run.tags.get(PROCESS_TAG)) and not _alive(process):
            instance.report_run_failed(run, message="The process of this run was killed; run it again to resume.")
    return instance


def process_tag() -> str:
    """What identifies this process, and not a later one with the same number: `PID.start time`."""
    import psutil

    return f"{os.getpid()}.{int(psutil.Process().create_time())}"


def _alive(tag: str) -> bool:
    import psutil

    pid, started = tag.split(".")
    try:
        return int(psutil.Process(int(pid)).create_time()) == int(started)
    except psutil.Error:
        return False
