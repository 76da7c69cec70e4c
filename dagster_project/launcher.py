"""The run launcher of a project: Dagster's own, which can also tell whether a run's process lives, and end it.

Dagster's launcher asks the code server to end a run. A code server that was restarted does not know the run, and runs
of the command line have none. Both are ended through their process instead.
"""

from __future__ import annotations

import dagster as dg
from dagster._core.errors import DagsterUserCodeProcessError, DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

from dagster_project.processes import PROCESS_TAG, cause_of_death, process_of


class Launcher(DefaultRunLauncher):
    """Launches runs as Dagster's default launcher does. `dagster.yaml` of a project names this class."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring asks for the health of runs."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return whether the process of `run` is running."""
        process = process_of(self._instance, run)
        if process is None or process.alive:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, cause_of_death(process))

    def terminate(self, run_id: str) -> bool:
        """End a run: through its code server, or else through its process. Return whether it was asked to end."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if PROCESS_TAG not in run.tags:
            try:
                if super().terminate(run_id):
                    return True
            except (DagsterUserCodeProcessError, DagsterUserCodeUnreachableError):
                # The code server is gone; its run may live.
                pass
        else:
            self._instance.report_run_canceling(run)
        process = process_of(self._instance, run)
        if process and process.alive:
            if process.here:
                process.interrupt()
            return process.here
        self._instance.report_run_canceled(run, message=cause_of_death(process))
        return True
