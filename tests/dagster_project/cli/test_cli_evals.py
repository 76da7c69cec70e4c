"""`watershed evals run|tasks|check`, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from catalog.lake import Lake
from catalog.settings import load_settings
from dagster_project.cli import main
from dagster_project.families.evals.evaluate import versions_and_digests
from tests.small_lake import write_lake
from tests.trainers.icl.made_tasks import made_examples, write_checkpoint, write_lines, write_tasks


def watershed(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("tasks"))


def test_all_tasks_are_listed_with_both_baselines():
    lines = watershed("evals", "tasks").stdout.splitlines()
    assert len(lines) == 54
    found = next(line for line in lines if line.startswith("commonsense_qa"))
    assert found.split()[1:6] == ["multiple_choice", "10", "0.2", "0.403", "true"]


def test_a_model_is_evaluated_and_its_scores_are_printed(data, tmp_path):
    checkpoint, out = write_checkpoint(tmp_path / "run" / "step_00000001"), tmp_path / "evals"
    arguments = ("evals", "run", str(checkpoint), "--data", str(data), "--out", str(out), "--device", "cpu")
    result = watershed(
        *arguments, "--tasks", "copa, winograd,squad", "--name", "small", "--limit", "5", "--version", "v1"
    )
    assert result.exit_code == 0, result.output
    assert "squad: not evaluated, no file reading_comprehension/squad.jsonl" in result.stdout
    assert "CORE      N/A: lacks hellaswag_zeroshot, jeopardy" in result.stdout
    assert "only the first 5 examples of each task were evaluated" in result.stdout
    rows = pq.read_table(out / "results.parquet").to_pylist()
    assert [(row["task"], row["example"]) for row in rows] == [(n, i) for n in ("copa", "winograd") for i in range(5)]
    assert {(row["model"], row["version"]) for row in rows} == {("small", "v1")}
    assert json.loads((out / "summary.json").read_text())["tasks"][0]["asked"] == 5


def test_answers_are_kept_in_the_lake_a_model_at_a_time(data, tmp_path, monkeypatch):
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    checkpoint = write_checkpoint(tmp_path / "run" / "step_00000001")
    for name, limit in (("one", "5"), ("two", "4"), ("one", "3")):
        arguments = ("evals", "run", str(checkpoint), "--data", str(data), "--tasks", "copa", "--device", "cpu")
        out = tmp_path / name / limit
        result = watershed(*arguments, "--out", str(out), "--name", name, "--limit", limit, "--lake")
        assert result.exit_code == 0, result.output
        assert f"evals.answers: {limit} rows of {name}" in result.stdout
    rows = Lake.of(load_settings(tmp_path)).read("evals.answers")
    assert sorted(zip(*(rows[column].to_pylist() for column in ("model", "example")), strict=True)) == [
        *(("one", example) for example in range(3)),
        *(("two", example) for example in range(4)),
    ]
    written = pq.read_table(tmp_path / "one" / "3" / "results.parquet")
    stored = rows.filter(pc.field("model") == "one").sort_by("example")
    assert stored["choice_logprobs"].to_pylist() == written["choice_logprobs"].to_pylist()
    assert watershed("check", "evals.answers").exit_code == 0


def test_an_error_of_the_user_is_printed_with_cause_and_mend(data, tmp_path):
    checkpoint = write_checkpoint(tmp_path / "run" / "step_00000001")
    arguments = ("evals", "run", str(checkpoint), "--data", str(data), "--out", str(tmp_path / "out"))
    for more, cause in (
        (("--tasks", "cop"), "no task is called 'cop'"),
        (("--version", "v3"), "no version is called 'v3'"),
        (("--dtype", "int8"), "dtype is 'int8'"),
        (("--tasks", "squad"), "has no file of squad"),
    ):
        result = watershed(*arguments, *more)
        assert result.exit_code == 2
        assert cause in result.stderr
        assert "mend:" in result.stderr
    assert watershed("evals", "run", str(tmp_path), *arguments[3:]).exit_code == 2


def test_good_files_are_counted(data):
    result = watershed("evals", "check", *sorted(str(path) for path in data.iterdir()))
    assert result.exit_code == 0
    assert f"{data / 'copa.jsonl'}: {len(made_examples()['copa'])} examples" in result.stdout


def test_all_malformed_files_are_reported_and_exit_with_2(data, tmp_path):
    rows = made_examples()
    wrong = write_lines(tmp_path / "copa.jsonl", rows["winograd_wsc"])
    empty = write_lines(tmp_path / "arc_easy.jsonl", [rows["arc_easy"][0] | {"choices": ["", "a"]}])
    twice = write_lines(tmp_path / "unheard_of.jsonl", [rows["copa"][0], rows["copa"][0]])
    result = watershed("evals", "check", str(wrong), str(data / "copa.jsonl"), str(empty), str(twice))
    assert result.exit_code == 2
    assert f"{wrong}: 12 malformed examples: line 1: the fields of schema, where multiple_choice is" in result.stderr
    assert f"{empty}: 1 malformed example: line 1: choices[0] is empty" in result.stderr
    assert f"{twice}: 1 malformed example: line 2: the same example as line 1" in result.stderr
    assert result.stderr.count("mend:") == 3
    assert f"{data / 'copa.jsonl'}: 14 examples" in result.stdout
    kind = watershed("evals", "check", str(wrong), "--kind", "schema")
    assert (kind.exit_code, kind.stdout) == (0, f"{wrong}: 12 examples\n")


def test_a_ladders_answers_carry_the_tasks_version_and_the_prompts_digest(tmp_path):
    lake = Lake.of(write_lake(tmp_path, ("evals.tasks", "evals.examples")))
    versions, digests = versions_and_digests(lake)
    assert versions == {row["task"]: row["version"] for row in lake.read("evals.tasks").to_pylist()}
    assert digests.keys() == set(lake.read("evals.examples")["question_id"].to_pylist())
    assert all(len(digest) == 64 for digest in digests.values())
