"""Dagster's web server and daemon in one process, which ends with the command that started it.

`watershed ui` starts `python -m dagster_project.server HOST PORT` and holds the other end of its standard input. When
that end is closed, because the command received a signal or was killed, this process interrupts the runs, stops
Dagster's services, and ends every process that they started.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

GRACE_S = 6.0
"""Seconds that processes have to end by themselves."""


def main(host: str, port: str) -> None:
    """Serve until standard input ends or SIGINT or SIGTERM arrives."""
    started: list[psutil.Process] = []

    def stop(number: int, frame: FrameType | None) -> None:
        # Once is enough: another signal would break off the orderly end.
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        started.extend(_descendants())
        _interrupt_runs({process.pid for process in started})
        raise KeyboardInterrupt

    # A script that starts a command in the background lets it ignore SIGINT, and so would its children.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    threading.Thread(target=_watch_standard_input, daemon=True).start()
    from dagster._cli import cli

    arguments = ["dev", "-m", "dagster_project.definitions", "--host", host, "--port", port]
    try:
        cli.main(arguments, prog_name="dagster", standalone_mode=False)
    except KeyboardInterrupt:
        pass
    finally:
        _end(started or _descendants())


def _watch_standard_input() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _descendants() -> list[psutil.Process]:
    import psutil

    return psutil.Process().children(recursive=True)


def _interrupt_runs(children: set[int]) -> None:
    """Interrupt the runs that processes among `children` execute, so that they report what they finished."""
    import dagster as dg

    from dagster_project.processes import unfinished_runs

    with suppress(Exception), dg.DagsterInstance.get() as instance:
        for _, process in unfinished_runs(instance):
            if process and process.pid in children:
                process.interrupt()


def _end(processes: list[psutil.Process]) -> None:
    """Wait for `processes`, kill those that remain, and record the end of their runs."""
    import dagster as dg
    import psutil

    from dagster_project.processes import end_dead_runs

    _, alive = psutil.wait_procs(processes, timeout=GRACE_S)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=GRACE_S)
    with dg.DagsterInstance.get() as instance:
        end_dead_runs(instance)


if __name__ == "__main__":
    main(*sys.argv[1:3])
