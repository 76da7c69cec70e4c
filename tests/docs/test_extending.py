"""The examples of docs/extending.md, applied to a copy of the code and run."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.dagster_project.demo_project import environment
from tests.spark_jobs.made_crawl import write_copies

ROOT = Path(__file__).parents[2]
ROOMS = ("catalog", "spark_jobs", "trainers", "quality", "dagster_project")
BLOCK = re.compile(r"(?:^ *`(?P<path>[\w./]+)`\n)?^(?P<indent> *)```(?P<kind>\w+)\n(?P<body>.*?)^ *```$", re.M | re.S)
PROGRAM = """
import json, os, sys
from click.testing import CliRunner
from dagster_project.cli import main
printed = []
for words in json.loads(sys.argv[1]):
    done = CliRunner().invoke(main, words)
    if done.exit_code:
        sys.exit(done.output or repr(done.exception))
    printed.append(done.stdout)
print(json.dumps(printed), flush=True)
# A thread of Arrow that closes a file of delta-rs while Python ends would end the process with SIGABRT.
os._exit(0)
"""


@dataclass(frozen=True)
class Example:
    """A section of the page: the files to write, the diffs to apply, and the commands to run."""

    files: dict[str, str]
    diffs: list[tuple[str, str]]
    commands: list[list[str]]


def example(title: str) -> Example:
    """The section with this heading."""
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {title}\n")[1].split("\n## ")[0]
    found = Example({}, [], [])
    for block in BLOCK.finditer(section):
        indent = len(block["indent"])
        body = "".join(line[indent:] or "\n" for line in block["body"].splitlines(keepends=True))
        if block["kind"] == "diff":
            found.diffs.append((block["path"], body))
        elif block["kind"] == "console":
            found.commands.extend(shlex.split(line.removeprefix("$ watershed ")) for line in body.splitlines())
        else:
            found.files[block["path"]] = body
    return found


def changed(text: str, diff: str) -> str:
    """`text` after a diff, whose hunks begin with `@@`. A hunk that shows no line of the file is appended to it."""
    for hunk in re.split(r"^@@\n", diff, flags=re.M)[1:]:
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if not line.startswith("+"))
        after = "".join(line[1:] for line in lines if not line.startswith("-"))
        assert not before or f"\n{before}" in text, f"the page shows lines that are not in the code:\n{before}"
        text = text.replace(f"\n{before}", f"\n{after}", 1) if before else text + after
    return text


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the code, with what Python compiled of it: the copies have the times that the compiled files name."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / "tree" / room)
    return tmp_path / "tree"


def apply(found: Example, tree: Path) -> None:
    """Write the files and the diffs of an example into a copy of the code."""
    for name, body in found.files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(body, encoding="utf-8")
    for name, diff in found.diffs:
        path = tree / name
        path.write_text(changed(path.read_text(encoding="utf-8"), diff), encoding="utf-8")


def run(commands: list[list[str]], tree: Path, project: Path) -> list[str]:
    """What each command prints, by the code in `tree`, in one process for all of them."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        cwd=tree,
        env=environment(project, PYTHONPATH=str(tree)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_a_rule_is_added_to_a_recipe_of_ones_own(tmp_path: Path) -> None:
    found = example("Add a rule")
    apply(found, tmp_path)
    (command,) = found.commands
    process = subprocess.run(
        [sys.executable, "-m", "dagster_project", *command],
        cwd=tmp_path,
        env=environment(tmp_path, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert (tmp_path / "curated" / "report.html").is_file()
    kept = pq.read_table(tmp_path / "curated" / "kept.parquet")
    verdicts = pq.read_table(tmp_path / "curated" / "verdicts.parquet").to_pylist()
    assert kept.num_rows == 1
    assert kept["text"][0].as_py().startswith("Where does the longest river")
    assert [[broken["rule"] for broken in row["broken"]] for row in verdicts] == [
        [],
        ["words_minimum"],
        ["symbols_maximum"],
    ]


@pytest.mark.slow
def test_a_data_set_is_a_contract_and_an_asset(tree: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "crawl").mkdir(parents=True)
    (project / "watershed.toml").write_text('[crawl]\ninputs = ["crawl"]\n')
    write_copies(project / "crawl")
    found = example("Add a data set")
    apply(found, tree)
    make, query, describe, check = run(found.commands, tree, project)
    assert "dclm.crawls" in make
    assert re.search(r"archives\W+bigint\W+2|archives\W+2", query), query
    assert "The crawls of the pool" in describe
    assert check


@pytest.mark.slow
def test_a_family_changes_no_engine(tree: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "watershed.toml").write_text("")
    found = example("Add a family")
    apply(found, tree)
    _, query, check = run(found.commands, tree, project)
    assert re.search(r"north\W+43\.5", query)
    assert re.search(r"south\W+48", query)
    assert check
