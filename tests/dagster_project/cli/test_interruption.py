"""Ctrl+C and SIGTERM end a command within seconds, in one line, with the exit codes of a shell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from demo_project import ROOT, new_project, start

from dagster_project.cli.screen.errors import LONGEST, exit_with_error

ENDLESS = "SELECT count(*) FROM range(3000000000) a, range(3000000000) b WHERE hash(a.range) = hash(b.range * 3)"


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the file exists."""
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "name", "code"), [(signal.SIGINT, "Ctrl+C", 130), (signal.SIGTERM, "SIGTERM", 143)])
def test_a_query_ends_with_one_line(tmp_path: Path, number: signal.Signals, name: str, code: int) -> None:
    began = tmp_path / "began.csv"
    sql = f"COPY (SELECT 1) TO '{began}'; {ENDLESS}"
    process = start(new_project(tmp_path), "sql", "--write", sql, errors=subprocess.PIPE)
    wait_for(began, process)
    os.killpg(process.pid, number)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (code, "")
    assert errors == f"interrupted by {name}: nothing was changed\n"


def test_a_command_that_does_not_end_by_itself_is_ended_with_the_processes_that_it_started(tmp_path: Path) -> None:
    program = tmp_path / "stubborn.py"
    program.write_text(
        "import subprocess, sys, time\n"
        "from pathlib import Path\n"
        "from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors\n"
        "@user_errors(RUN_AGAIN)\n"
        "def work():\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "    Path(sys.argv[1]).write_text(str(child.pid))\n"
        "    while True:\n"
        "        try:\n"
        "            time.sleep(600)\n"
        "        except KeyboardInterrupt:\n"
        "            pass\n"
        "work()\n"
    )
    child = tmp_path / "child"
    process = subprocess.Popen(
        [sys.executable, program, child], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE
    )
    while not (child.exists() and child.read_text()):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors.decode() == (
        "interrupted by SIGTERM: what was finished is kept, and the same command goes on with the rest\n"
    )
    with pytest.raises(ProcessLookupError):
        while True:
            os.kill(int(child.read_text()), 0)
            time.sleep(0.05)


def test_an_error_never_prints_a_whole_document(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        exit_with_error("row 3: " + "word\n" * 100_000, "correct the row")
    cause, mend, _ = capsys.readouterr().err.split("\n")
    assert len(cause) < LONGEST + 10
    assert cause.endswith("(500,006 characters in all)")
    assert mend == "mend:  correct the row"
