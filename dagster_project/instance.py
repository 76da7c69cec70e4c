"""The Dagster instance of a project.

Its home is a folder inside the project, so the history of runs survives a restart.
"""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import yaml
from dagster._core.instance.ref import InstanceRef

from catalog.settings import Settings

CONFIG = """\
# Written once by Watershed; edit it freely (for example, to keep runs in Postgres).
telemetry:
  enabled: false
nux:
  enabled: false
"""
NO_CAPTURE = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
"""Runs of the command line write to its terminal. To capture their output, Dagster would start four processes for each
run, which print tracebacks on Ctrl+C. The output of runs that are started in the UI is captured."""

PROCESS_TAG = "watershed/process"


def ensure_home(settings: Settings) -> Path:
    """Create the Dagster home and its `dagster.yaml` if they are missing, and set DAGSTER_HOME; return the folder."""
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(CONFIG)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the instance of the project, and mark runs whose process has died as failed.

    A killed process cannot report its own failure. Without this, its run would be shown as running forever.
    """
    home = ensure_home(settings)
    configured = yaml.safe_load((home / "dagster.yaml").read_text()) or {}
    overrides = {} if "compute_logs" in configured else {"compute_logs": NO_CAPTURE}
    instance = dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=overrides))
    unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    for run in instance.get_runs(unfinished):
        if (process := run.tags.get(PROCESS_TAG)) and not _alive(process):
            instance.report_run_failed(run, message="The process of this run was killed; run it again to resume.")
    return instance


def process_tag() -> str:
    """Return an identifier of this process: `PID.start time`, so that a later process with the same PID differs."""
    import psutil

    return f"{os.getpid()}.{int(psutil.Process().create_time())}"


def _alive(tag: str) -> bool:
    import psutil

    pid, started = tag.split(".")
    try:
        return int(psutil.Process(int(pid)).create_time()) == int(started)
    except psutil.Error:
        return False
