"""A built wheel, outside the checkout, makes tables, checks, cards and search results of a newcomer's files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.catalog.adding.newcomer_files import ROWS, write_newcomer_files

ROOT = Path(__file__).parents[2]
ROOMS = ("catalog", "spark_jobs", "trainers", "quality", "dagster_project")


def build(folder: Path) -> Path:
    """The wheel of this checkout."""
    subprocess.run(
        [shutil.which("uv") or "uv", "build", "--wheel", "--out-dir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.campaign
def test_a_wheel_outside_the_checkout_takes_nine_files(tmp_path: Path) -> None:
    wheel = build(tmp_path / "dist")
    held = set(zipfile.ZipFile(wheel).namelist())
    missing = [
        path
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.relative_to(ROOT).as_posix() not in held
    ]
    assert not missing
    # The code of the wheel beside the packages that are installed here: nothing of the checkout is on its path.
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    project = tmp_path / "project"
    project.mkdir()
    files = write_newcomer_files(project)
    program = "import sys; sys.path[:] = [p for p in sys.path if p != sys.argv[1]]; del sys.argv[1]\n"
    program += "from dagster_project.cli import main; import dagster_project\n"
    program += f"assert dagster_project.__file__.startswith({str(installed)!r}), dagster_project.__file__\nmain()"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    environment.pop("WATERSHED_PROJECT", None)

    def run(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, str(ROOT), *words],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    for name, path in files.items():
        assert f"own.{name}: {ROWS[name]} rows" in run("add", name, path.name)
    assert "own.people" in run("search", "people", "age")
    assert "own.shops" in run("describe", "own.shops", "--card")
    assert str(ROWS["events"]) in run("sql", "SELECT count(*) AS n FROM own.events", "--format", "csv").split()
    run("check", "own")
    (project / "later.csv").write_text("id;Zip Code;rating;open;since;phone\n3;1;x;true;2026-02-01;+39\n")
    assert "later.csv row 1" in run("add", "shops", "later.csv", code=2)
    assert "0 rows" not in run("sql", "SELECT count(*) FROM own.shops")
