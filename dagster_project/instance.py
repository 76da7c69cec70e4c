"""The Dagster instance of a project.

Its home is a folder inside the project, so the history of runs survives a restart.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import dagster as dg
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage import sql

from catalog.settings import Settings
from dagster_project.processes import end_dead_runs

CONFIG = """\
# Written once by Watershed; edit it freely (for example, to keep runs in Postgres).
telemetry:
  enabled: false
nux:
  enabled: false
# Runs whose process has died are marked as failed, and can be terminated.
run_launcher:
  module: dagster_project.launcher
  class: Launcher
run_monitoring:
  enabled: true
  start_timeout_seconds: 600
  cancel_timeout_seconds: 120
  poll_interval_seconds: 10
"""
WRITTEN_BEFORE = (
    """\
# Written once by Watershed; edit it freely (for example, to keep runs in Postgres).
telemetry:
  enabled: false
nux:
  enabled: false
""",
)
"""What earlier versions wrote. A file that nobody has edited is replaced."""
NO_CAPTURE = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
"""Runs of the command line write to its terminal. To capture their output, Dagster would start four processes for each
run, which print tracebacks on Ctrl+C. The output of runs that are started in the UI is captured."""


class Migrations(sql.ScriptDirectory):
    """The migrations of Dagster's storages, read once in a process.

    Each of the three storages reads the same hundred files when it is opened, which is most of the time that an
    instance takes to open.
    """

    read: ClassVar[dict[str, sql.ScriptDirectory]] = {}

    @classmethod
    def from_config(cls, config: sql.Config) -> sql.ScriptDirectory:
        """Return the migrations that `config` names."""
        place = str(config.get_main_option("script_location"))
        if place not in cls.read:
            cls.read[place] = super().from_config(config)
        return cls.read[place]


# Dagster has no setting for this. Without the line, an instance works as well and opens half a second later.
vars(sql)["ScriptDirectory"] = Migrations


def ensure_home(settings: Settings) -> Path:
    """Create the Dagster home and its `dagster.yaml` if they are missing, and set DAGSTER_HOME; return the folder."""
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists() or config.read_text() in WRITTEN_BEFORE:
        config.write_text(CONFIG)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the instance of the project, and record the end of runs whose process has died."""
    home = ensure_home(settings)
    configured = yaml.safe_load((home / "dagster.yaml").read_text()) or {}
    overrides = {} if "compute_logs" in configured else {"compute_logs": NO_CAPTURE}
    instance = dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=overrides))
    end_dead_runs(instance)
    return instance
