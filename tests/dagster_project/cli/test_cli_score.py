"""`watershed score`: rows in, a line a row and a summary out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dagster_project.cli import main
from dagster_project.cli.scoring.scorers import scorers

SCORERS = scorers()


def score(name: str, rows: list[Any], tmp_path: Path, *options: str) -> Result:
    """The command's result on a file of these rows; text is written as it is."""
    file = tmp_path / "rows.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogateescape")
    return CliRunner().invoke(main, ["score", name, str(file), *options])


def read(result: Result) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows and the summary that were printed."""
    assert result.exit_code == 0, result.output
    *rows, last = [json.loads(line) for line in result.stdout.splitlines()]
    assert list(last) == ["summary"]
    return rows, last["summary"]


@pytest.mark.parametrize("name", SCORERS)
def test_the_example_of_a_scorer_scores_one(name: str, tmp_path: Path) -> None:
    rows, summary = read(score(name, [SCORERS[name].example], tmp_path))
    assert rows[0]["id"] == SCORERS[name].example["id"]
    assert rows[0]["score"] == 1.0, rows
    assert (summary["scorer"], summary["rows"]) == (name, 1)


@pytest.mark.parametrize("name", SCORERS)
def test_an_empty_reply_scores_zero(name: str, tmp_path: Path) -> None:
    if "response" not in SCORERS[name].fields:
        return
    rows, _ = read(score(name, [{**SCORERS[name].example, "response": ""}], tmp_path))
    assert rows[0]["score"] == 0.0


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ('{"id": 1', "it is not JSON"),
        ("[1]", "it is not a JSON object"),
        ('{"response": "a"}', "the field 'id' is missing"),
        ('{"id": 1}', "is missing"),
        ('{"id": true, "response": "a"}', "the field 'id' is not"),
        ('{"id": NaN}', "it is not JSON"),
        ("[" * 100_000, "it is n"),
    ],
)
def test_a_bad_row_is_one_line_with_file_and_line_and_exit_code_2(
    name: str, line: str, cause: str, tmp_path: Path
) -> None:
    example = SCORERS[name].example
    result = score(name, [example, "", line], tmp_path)
    assert result.exit_code == 2
    errors = result.stderr.splitlines()
    assert len(errors) == 2
    assert f"{tmp_path / 'rows.jsonl'}:3: " in errors[0]
    assert cause in errors[0]
    rows, summary = read(score(name, [example, "", line, example], tmp_path, "--skip-bad"))
    assert (len(rows), summary["rows"], summary["bad_rows"]) == (2, 2, 1)


def test_a_file_that_is_not_utf8_or_not_there(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"id": 1, "response": "\xff", "answer": "1"}\n')
    result = CliRunner().invoke(main, ["score", "gsm8k", str(file)])
    assert (result.exit_code, "it is not UTF-8" in result.stderr) == (2, True)
    result = CliRunner().invoke(main, ["score", "gsm8k", str(tmp_path / "none.jsonl")])
    assert (result.exit_code, "No such file" in result.stderr) == (2, True)


def test_a_byte_order_mark_and_half_a_surrogate_are_read(tmp_path: Path) -> None:
    row = '{"id": "\\ud800", "response": "\\udfff 18", "answer": "18"}'
    rows, _ = read(score("gsm8k", ["\ufeff" + row], tmp_path))
    assert (rows[0]["id"], rows[0]["score"]) == ("\ud800", 1.0)


def test_an_empty_file_has_a_summary_without_a_score(tmp_path: Path) -> None:
    rows, summary = read(score("gsm8k", [], tmp_path))
    assert (rows, summary["rows"], summary["score"]) == ([], 0, None)


def test_a_wrong_scorer_rule_or_cut_off_is_named(tmp_path: Path) -> None:
    for arguments, cause in (
        (["gsm9k", "x"], "'gsm9k' is unknown; close: gsm8k"),
        ([], "no scorer is given"),
        (["gsm8k"], "no file is given"),
        (["gsm8k", "x", "--rule", "lenient"], "gsm8k has no rule 'lenient'"),
        (["code", "x", "-k", "0"], "-k '0' is not a list of numbers"),
    ):
        result = CliRunner().invoke(main, ["score", *arguments])
        assert (result.exit_code, cause in result.stderr) == (2, True), result.stderr


def test_an_unknown_instruction_names_its_line(tmp_path: Path) -> None:
    row = {"id": 1, "response": "a", "instructions": [{"id": "punctuation:no_coma"}]}
    result = score("ifeval", [SCORERS["ifeval"].example, row], tmp_path)
    assert result.exit_code == 2
    assert "rows.jsonl:2: the instruction kind 'punctuation:no_coma' is unknown" in result.stderr


def test_the_summary_of_ifeval_has_the_four_published_accuracies(tmp_path: Path) -> None:
    both = [{"id": "punctuation:no_comma", "kwargs": {}}, {"id": "startend:quotation", "kwargs": None}]
    rows = [
        {"id": 1, "response": '"yes"', "instructions": both},
        {"id": 2, "response": 'Sure:\n"yes"', "instructions": both},
        {"id": 3, "response": "a, b", "instructions": both[:1]},
    ]
    _, summary = read(score("ifeval", rows, tmp_path))
    assert summary["prompt_strict"] == summary["score"] == pytest.approx(1 / 3)
    assert summary["prompt_loose"] == pytest.approx(2 / 3)
    assert (summary["instruction_strict"], summary["instruction_loose"]) == (0.6, 0.8)


def test_samples_of_one_task_make_pass_at_k(tmp_path: Path) -> None:
    right, wrong = "def f(x): return x + 1", "def f(x): return x"
    rows = [
        {"id": n, "task": n // 2, "response": program, "tests": "assert f(1) == 2"}
        for n, program in enumerate([right, wrong, wrong, wrong])
    ]
    _, summary = read(score("code", rows, tmp_path, "-k", "1,2,3"))
    assert (summary["pass@1"], summary["pass@2"], summary["pass@3"]) == (0.25, 0.5, None)


def test_the_list_describes_every_scorer(tmp_path: Path) -> None:
    shown = CliRunner().invoke(main, ["score", "--list"]).stdout.splitlines()
    assert [line.split()[0] for line in shown] == [*SCORERS, "ndcg"]
    for name in SCORERS:
        one = CliRunner().invoke(main, ["score", name, "--list"]).stdout
        example = next(line for line in one.splitlines() if line.startswith("example: "))
        assert json.loads(example.removeprefix("example: ")) == SCORERS[name].example


def test_rows_and_summary_are_written_to_a_file(tmp_path: Path) -> None:
    done = score("gsm8k", [SCORERS["gsm8k"].example], tmp_path, "--out", str(tmp_path / "out.jsonl"))
    assert (done.exit_code, done.stdout) == (0, "")
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2


def test_ndcg_ends_with_one_object(tmp_path: Path) -> None:
    (tmp_path / "qrels").write_text("q1 0 d1 1\nq2 0 d1 1\n")
    (tmp_path / "run").write_text("q1 Q0 d1 1 2.0 mine\n")
    files = ["--qrels", str(tmp_path / "qrels"), "--run", str(tmp_path / "run")]
    done = CliRunner().invoke(main, ["score", "ndcg", *files, "-k", "10", "--json"])
    last = json.loads(done.stdout.splitlines()[-1])
    assert (done.exit_code, last["ndcg@10"], last["queries"], last["ndcg@10_answered"]) == (0, 0.5, 2, 1.0)
    (tmp_path / "run").write_text("q1 Q0 d1 1 nan mine\n")
    done = CliRunner().invoke(main, ["score", "ndcg", *files])
    assert (done.exit_code, "run:1: the score 'nan'" in done.stderr) == (2, True)
    assert CliRunner().invoke(main, ["score", "ndcg"]).exit_code == 2
