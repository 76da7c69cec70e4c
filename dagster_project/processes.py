"""The processes that execute runs: which process it is, whether it is alive, and what to do with runs that it left.

A run of the command line carries its process in the tag PROCESS_TAG. For a run of the UI, Dagster records the process
as an event when it starts.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.storage.tags import GRPC_INFO_TAG

PROCESS_TAG = "watershed/process"
"""The tag `PID.START@HOST` of a run that a process of the command line executes itself."""

STARTED_EVENT = "Started process for run"
"""The beginning of the message by which Dagster records the process of a run."""

DAEMON = "dagster._daemon"
"""The module that a daemon of Dagster runs."""

SERVERS = {"dagster_project.server", "dagster", "dagster-daemon"}
"""What starts daemons: our server, `dagster dev` and `dagster-daemon`."""

GRACE_S = 6.0
"""Seconds that a daemon has to end by itself."""

CONNECT_S = 2.0
"""Seconds that a code server has to accept a connection."""

KEPT = "Partitions that were committed are kept. Materialise again to make the others."


@dataclass(frozen=True)
class RunProcess:
    """A process that executes a run.

    Attributes:
        pid: Its process id.
        started: The time at which it started or was already running, in seconds since 1970.
        host: The machine that it runs on; empty if it is not known.
    """

    pid: int
    started: float
    host: str = ""

    @property
    def here(self) -> bool:
        """Whether it runs on this machine, as far as is known."""
        return self.host in ("", socket.gethostname())

    @property
    def alive(self) -> bool:
        """Whether it is running. A process of another machine counts as running, because it cannot be looked up."""
        import psutil

        if not self.here:
            return True
        try:
            process = psutil.Process(self.pid)
            # A later process may have been given the same id.
            return process.status() != psutil.STATUS_ZOMBIE and process.create_time() < self.started + 1
        except psutil.Error:
            return False

    def interrupt(self) -> None:
        """Interrupt it, as Ctrl+C does."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGINT)


def process_tag() -> str:
    """Return the value of PROCESS_TAG for this process."""
    import psutil

    return f"{os.getpid()}.{int(psutil.Process().create_time())}@{socket.gethostname()}"


def process_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> RunProcess | None:
    """Return the process that executes `run`, or None if none has been recorded yet."""
    if tag := run.tags.get(PROCESS_TAG):
        identity, _, host = tag.partition("@")
        pid, _, started = identity.partition(".")
        return RunProcess(int(pid), float(started), host)
    records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT).records
    found = None
    for entry in (record.event_log_entry for record in records):
        event = entry.dagster_event
        if event and (event.message or "").startswith(STARTED_EVENT) and "pid" in event.engine_event_data.metadata:
            found = RunProcess(int(str(event.engine_event_data.metadata["pid"].value)), entry.timestamp)
    return found


def unfinished_runs(instance: dg.DagsterInstance) -> Iterator[tuple[dg.DagsterRun, RunProcess | None]]:
    """Yield the runs that a process should be executing, each with its process."""
    statuses = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    for run in instance.get_runs(dg.RunsFilter(statuses=statuses)):
        yield run, process_of(instance, run)


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Record the end of every run whose process has died, with the cause, and return the ids of these runs.

    A process that was killed cannot report its own end. Without this, its run would be shown as running forever.
    """
    ended = []
    for run, process in unfinished_runs(instance):
        if process.alive if process else not _orphaned(run):
            continue
        message = cause_of_death(process)
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, message=message)
        else:
            instance.report_run_failed(run, message=message)
        ended.append(run.run_id)
    return ended


def end_abandoned_daemons(home: Path) -> list[int]:
    """End the daemons of Dagster on the instance in `home` whose server was killed, and return their process ids.

    Such a daemon goes on by itself. Beside the daemon of the next server, it would start every run of a schedule twice.
    """
    import psutil

    found = []
    for process in psutil.process_iter():
        # Processes of other users cannot be looked at, and processes may end at any time.
        with contextlib.suppress(psutil.Error):
            if DAEMON not in process.cmdline() or process.environ().get("DAGSTER_HOME") != str(home):
                continue
            parent = process.parent()
            if parent is None or not SERVERS.intersection(Path(word).name for word in parent.cmdline()):
                process.terminate()
                found.append(process)
    _, alive = psutil.wait_procs(found, timeout=GRACE_S)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    return [process.pid for process in found]


def cause_of_death(process: RunProcess | None) -> str:
    """Return a message that says how a run ended whose process is gone."""
    if process is None:
        return "The server was stopped before it had started a process for this run. Launch the run again."
    return f"The process of this run (PID {process.pid}) was killed, or the machine was restarted. {KEPT}"


def _orphaned(run: dg.DagsterRun) -> bool:
    """Whether the code server that was to start a process for `run` is gone."""
    place = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
    if path := place.get("socket"):
        family, address = socket.AF_UNIX, path
    elif port := place.get("port"):
        family, address = socket.AF_INET, (place.get("host") or "127.0.0.1", port)
    else:
        return False
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(CONNECT_S)
        return client.connect_ex(address) != 0
