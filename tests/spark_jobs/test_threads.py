"""Work in threads ends with its caller, also while a server does not answer."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from spark_jobs.threads import as_done

ROOT = Path(__file__).parents[2]
WAITING = """
import threading
from spark_jobs.threads import as_done

def wait(item):
    if item == "broken":
        raise ValueError("the answer is broken")
    threading.Event().wait()

try:
    list(as_done(wait, ["never answers", "broken"], workers=2))
except ValueError as error:
    print(error)
"""


def test_all_results_come_with_their_indices() -> None:
    assert dict(as_done(str.upper, list("abcdefg"), workers=3)) == dict(enumerate("ABCDEFG"))
    assert list(as_done(str.upper, [], workers=3)) == []


def test_nothing_is_begun_after_an_error() -> None:
    begun: list[int] = []
    caught = threading.Event()

    def work(item: int) -> None:
        begun.append(item)
        if item == 0:
            raise ValueError("no")
        caught.wait()

    threads = set(threading.enumerate())
    with pytest.raises(ValueError, match="no"):
        list(as_done(work, range(100), workers=1))
    caught.set()
    for thread in set(threading.enumerate()) - threads:
        thread.join()
    assert begun in ([0], [0, 1])


def test_a_process_ends_while_work_never_does() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WAITING], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "the answer is broken\n"), ended.stderr
