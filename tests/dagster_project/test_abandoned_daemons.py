"""A daemon whose server was killed is ended, and no other process is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

from dagster_project.processes import end_abandoned_daemons

WAIT = "import sys; print('ready', flush=True); sys.stdin.read()"


def start(home: Path, *words: str, parent: str | None = None) -> subprocess.Popen[str]:
    """Start a process that waits, with `words` on its command line, under a parent with `parent` on its own."""
    command = [sys.executable, "-c", WAIT, *words]
    if parent:
        command = [sys.executable, "-c", f"import subprocess; subprocess.run({command})", parent]
    environment = {**os.environ, "DAGSTER_HOME": str(home)}
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout and process.stdout.readline() == "ready\n"
    return process


def test_a_daemon_without_a_server_is_ended_and_no_other_process(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    abandoned = start(home, "dagster._daemon", "run")
    kept = [
        start(other, "dagster._daemon", "run"),
        start(home, "dagster_webserver"),
        start(home, "dagster._daemon", "run", parent="dagster_project.server"),
    ]
    try:
        assert end_abandoned_daemons(home) == [abandoned.pid]
        assert not psutil.pid_exists(abandoned.pid)
        assert [process.poll() for process in kept] == [None, None, None]
        assert psutil.Process(kept[-1].pid).children(), "the daemon of a server that runs"
        assert end_abandoned_daemons(home) == []
    finally:
        for process in (abandoned, *kept):
            process.communicate("")
