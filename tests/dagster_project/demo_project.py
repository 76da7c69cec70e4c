"""Projects for tests: the real command line runs in them, in processes of its own."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import duckdb

from catalog.settings import Settings, load_settings

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Project:
    """A folder with a watershed.toml, and the output of the command that made its tables."""

    folder: Path
    output: str = ""

    @property
    def settings(self) -> Settings:
        """Its settings."""
        return load_settings(self.folder)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """SQL over its lake."""
        from catalog.sql.query import connect

        return connect(self.settings)

    def rows(self, sql: str) -> list[tuple]:
        """The rows of a query on its lake."""
        return self.connect().execute(sql).fetchall()


def environment(project: Path, **more: str) -> dict[str, str]:
    """Return the environment of a command in `project`. The only Java is the one that is installed with Watershed."""
    kept = {name: value for name, value in os.environ.items() if name not in ("JAVA_HOME", "DAGSTER_HOME")}
    return {**kept, "PATH": path_without_java(), "WATERSHED_PROJECT": str(project), "COLUMNS": "160", **more}


@functools.cache
def path_without_java() -> str:
    """Return the PATH, with links to all programs but `java` in place of every folder that holds `java`."""
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    folders = [str(_without_java(folder) if (folder / "java").exists() else folder) for folder in folders]
    path = os.pathsep.join(folders)
    assert shutil.which("java", path=path) is None
    return path


def _without_java(folder: Path) -> Path:
    links = Path(tempfile.mkdtemp())
    for program in folder.iterdir():
        if program.name != "java":
            (links / program.name).symlink_to(program)
    return links


def start(
    project: Path,
    *words: str,
    output: IO[str] | int = subprocess.PIPE,
    errors: int = subprocess.STDOUT,
    **more: str,
) -> subprocess.Popen[str]:
    """Start `watershed WORDS` in `project`, in a process group of its own. Its output goes to `output`, and what it
    prints on stderr too, unless `errors` names another place."""
    return subprocess.Popen(
        [sys.executable, "-m", "dagster_project", *words],
        cwd=ROOT,
        env=environment(project, **more),
        stdout=output,
        stderr=errors,
        text=True,
        start_new_session=True,
    )


def watershed(project: Path, *words: str, expect: int = 0, **more: str) -> str:
    """Run `watershed WORDS`, and return its output. It must exit with `expect`."""
    process = start(project, *words, output=subprocess.PIPE, errors=subprocess.STDOUT, **more)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == expect, output
    return output


def new_project(folder: Path, crawl: Path | None = None) -> Path:
    """Make an empty project, with a link to the crawl folder `crawl` of another project if given."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "watershed.toml").write_text("")
    if crawl:
        (folder / "crawl").symlink_to(crawl)
    return folder


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@contextmanager
def serving(project: Path) -> Generator[str]:
    """Run `watershed ui` in the project until the block ends, and return its address.

    Its daemon looks for backfills every two seconds.
    """
    port = free_port()
    # The output goes into a file, because a full pipe that nobody reads would stop the server.
    log = project / "ui.log"
    with log.open("w") as output:
        short = str(Path(__file__).parent / "short_intervals")
        server = start(project, "ui", "--port", str(port), output=output, PYTHONPATH=short)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert server.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(f"{address}/server_info", timeout=1)
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
