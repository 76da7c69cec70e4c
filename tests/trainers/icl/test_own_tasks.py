"""A user's own task files of all five kinds, evaluated as typed; programs are run, and pass@k is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from dagster_project.cli import main
from tests.trainers.icl.made_tasks import made_examples, write_checkpoint, write_lines
from trainers.evaluate import IclConfig, evaluate
from trainers.icl.files import read_own_task
from trainers.icl.programs import check_samples, passes
from trainers.process.errors import TrainerError

CODE = "def more(x):\n    return x + 1\n\n\n# The rain"
PROGRAMS = [
    {"context": f"# {at}\n{CODE}", "tests": tests, "entry_point": "more"}
    for at, tests in enumerate(
        (
            "assert more(1) == 2",
            "assert more(1) == 3",
            "def check(candidate):\n    assert candidate(-1) == 0",
            "import socket\nsocket.create_connection(('127.0.0.1', 9), 1)",
        )
    )
]
FILES = {"rivers": "arc_easy", "wells": "winograd_wsc", "sums": "bigbench_operators", "rain": "triviaqa_sm_sub"}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("model") / "step_00000001")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder, rows = tmp_path_factory.mktemp("own"), made_examples()
    found = {own: write_lines(folder / f"{own}.jsonl", rows[published][:6]) for own, published in FILES.items()}
    return found | {"programs": write_lines(folder / "programs.jsonl", PROGRAMS)}


@pytest.fixture(scope="module")
def done(model, files, tmp_path_factory):
    """What the command printed, its summary by task, and its rows."""
    out = tmp_path_factory.mktemp("out")
    named = [word for path in files.values() for word in ("--file", str(path))]
    options = ("--shots", "2", "--samples", "3", "--temperature", "0.2", "--device", "cpu", "--out", str(out))
    result = CliRunner().invoke(main, ("evals", "run", str(model), *named, *options))
    assert result.exit_code == 0, result.output
    summary = {entry["task"]: entry for entry in json.loads((out / "summary.json").read_text())["tasks"]}
    return result.stdout, summary, pq.read_table(out / "results.parquet").to_pylist()


def test_own_files_are_tasks_of_their_kinds_with_the_accuracy_of_a_guess(done):
    _, summary, rows = done
    kinds = ["multiple_choice", "schema", "language_modeling", "generation_with_answers", "code_generation"]
    assert [entry["kind"] for entry in summary.values()] == kinds
    assert [entry["shots"] for entry in summary.values()] == [2, 2, 2, 2, 0]
    guess = sum(1 / len(row["choices"]) for row in made_examples()["arc_easy"][:6]) / 6
    assert summary["rivers"]["baseline"] == pytest.approx(guess)
    assert summary["wells"]["baseline"] == 0.5
    assert {entry["category"] for entry in summary.values()} == {"own"}
    assert len(rows) == 4 * 6 + 4


def test_programs_are_run_and_counted(done):
    said, summary, rows = done
    found = [row for row in rows if row["task"] == "programs"]
    right, wrong, checked, network = found
    assert [row["samples"] for row in found] == [3] * 4
    assert right["passed"] >= 1 and checked["passed"] >= 1
    assert wrong["passed"] == network["passed"] == 0
    share = sum(row["passed"] for row in found) / 12
    assert summary["programs"]["pass_at_1"] == summary["programs"]["accuracy"] == pytest.approx(share)
    assert "pass_at_10" not in summary["programs"]
    assert f"programs: pass@1 {share:.4f}" in said


def test_pass_at_k_is_unbiased_and_needs_samples():
    rows = [{"samples": 10, "passed": 3}, {"samples": 10, "passed": 0}]
    assert passes(rows) == {"pass_at_1": pytest.approx(0.15), "pass_at_10": pytest.approx(0.5)}
    with pytest.raises(TrainerError, match="are one program"):
        check_samples(5, 0.0)


def test_what_cannot_be_an_own_task_is_refused(model, files, tmp_path):
    with pytest.raises(TrainerError, match="a task of DCLM is called 'copa'"):
        read_own_task(write_lines(tmp_path / "copa.jsonl", PROGRAMS), 0)
    with pytest.raises(TrainerError, match="the fields of no kind of task"):
        read_own_task(write_lines(tmp_path / "odd.jsonl", [{"question": "?"}]), 0)
    with pytest.raises(TrainerError, match="no task to evaluate"):
        evaluate(IclConfig(model=str(model), out=str(tmp_path)))
    twice = IclConfig(model=str(model), out=str(tmp_path), files=[str(files["rain"])] * 2)
    with pytest.raises(TrainerError, match="two task files are called rain"):
        evaluate(twice)
