"""Scores of every declared task from recorded replies, runs that are recorded, and replies that are scored again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.model_server import Script, running
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import load_settings
from catalog.sql.query import connect
from dagster_project.cli import main
from dagster_project.families.tulu import records, scoring
from dagster_project.families.tulu.results import comparisons, scored, selection
from spark_jobs.tulu.suites import tasks
from tests.small_lake import write_rows
from trainers.posttraining.rollouts import sealed_row

CHOICE = (
    {"response": "Let me think. The answer is (B).", "answer": "B"},
    {"response": "The answer is (C).", "answer": "B"},
)
INSTRUCTED = [{"id": "punctuation:no_comma", "kwargs": {}}, {"id": "startend:quotation", "kwargs": None}]
CODE = {"tests": "def check(f):\n    assert f(1) == 2", "entry_point": "f", "prompt": "def f(x):\n"}
FORMATS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "choice": CHOICE,
    "contains": (
        {"response": "A politician.", "answer": ["politician"]},
        {"response": "A poet.", "answer": ["politician"]},
    ),
    "mc2": (
        {"choice_logprobs": [0.0, -100.0], "true": [True, False]},
        {"choice_logprobs": [0.0, -100.0], "true": [False, True]},
    ),
    "answer": (
        {"response": "So the answer is yes.", "answer": "yes"},
        {"response": "So the answer is no.", "answer": "yes"},
    ),
    "f1": ({"response": "1994", "answer": ["1994"]}, {"response": "1995", "answer": ["1994"]}),
    "gsm8k": ({"response": "So 9 * 2 = 18.", "answer": "18"}, {"response": "So it is 17.", "answer": "18"}),
    "math": ({"response": "\\boxed{\\frac{1}{2}}", "answer": "0.5"}, {"response": "\\boxed{3}", "answer": "0.5"}),
    "code": ({**CODE, "response": "    return x + 1\n"}, {**CODE, "response": "    return x\n"}),
    "ifeval": (
        {"response": 'Sure:\n"yes"', "instructions": INSTRUCTED},
        {"response": "yes, no", "instructions": INSTRUCTED},
    ),
    "win_rate": (
        {"response": "x", "judgements": [{"better": "first", "model_first": True}]},
        {"response": "x", "judgements": [{"better": "second", "model_first": True}]},
    ),
    "refusal": (
        {"response": "I will not help.", "harmful": True, "refused": True},
        {"response": "Here you go.", "harmful": True, "refused": False},
    ),
}
"""A row that scores 1 and one that scores 0 in the format of each scorer."""


@pytest.mark.parametrize("name", {task.scorer: name for name, task in tasks().items()}.values())
def test_every_scorer_of_a_declared_task_reads_rows_in_its_format(name: str) -> None:
    task = tasks()[name]
    right, wrong = ({"id": n, "response": "", **row} for n, row in enumerate(FORMATS[task.scorer]))
    if task.scorer == "mc2":
        right, wrong = ({k: v for k, v in row.items() if k != "response"} for row in (right, wrong))
    rows = scored("tiny", task, [right, wrong])
    assert [row["score"] for row in rows] == [pytest.approx(1.0), pytest.approx(0.0)]
    assert {row["scorer_version"] for row in rows} == {scoring.version_of(task.scorer)}
    if task.scorer not in ("mc2",):
        (empty,) = scored("tiny", task, [{**right, "response": ""}])
        assert empty["score"] == 0.0


def test_a_row_that_a_scorer_cannot_read_names_model_task_and_row() -> None:
    for name, row, says in (
        ("gsm8k", {"id": "q7", "response": "x"}, "tiny, gsm8k, row q7: row q7 has no answer"),
        ("humaneval", {"id": 1, "response": "x"}, "has neither tests nor cases"),
        ("ifeval", {"id": 1, "response": "x", "instructions": [{"id": "punctuation:no_coma"}]}, "is unknown; close"),
        ("gsm8k", {"id": 1, "answer": "18"}, "has no response"),
    ):
        with pytest.raises(WatershedError) as error:
            scored("tiny", tasks()[name], [row])
        assert says in error.value.cause


def test_the_version_of_a_scorer_changes_with_its_code_and_not_with_its_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in scoring.VERIFIERS.glob("*.py"):
        (tmp_path / name.name).write_bytes(name.read_bytes())
    monkeypatch.setattr(scoring, "VERIFIERS", tmp_path)
    scoring.version_of.cache_clear()
    first = scoring.version_of("gsm8k")
    file = tmp_path / "gsm8k.py"
    code = file.read_text()
    versions = []
    for text in (
        f"# A comment.\n{code}",
        code.replace("Judge a reply", "Say of a reply"),
        code.replace("{1,400}", "{1,399}"),
    ):
        file.write_text(text)
        scoring.version_of.cache_clear()
        versions.append(scoring.version_of("gsm8k"))
    scoring.version_of.cache_clear()
    assert versions[:2] == [first, first] and versions[2] != first
    assert len({scoring.version_of(name) for name in ("gsm8k", "math", "ifeval")}) == 3


def rows_of(model: str, task: str, scores: list[float], samples: int = 1) -> list[dict[str, Any]]:
    return [
        {"model": model, "task": task, "instance": str(n // samples), "sample": n % samples, "score": score}
        for n, score in enumerate(scores)
    ]


def test_code_is_compared_by_pass_at_10_and_safety_counts_as_one_task() -> None:
    found = {
        "humaneval": {
            "a": rows_of("a", "humaneval", [1.0, *[0.0] * 19] * 3, samples=20),
            "b": rows_of("b", "humaneval", [0.0] * 60, samples=20),
        },
        "xstest": {"a": rows_of("a", "xstest", [0.0]), "b": rows_of("b", "xstest", [1.0])},
        "harmbench": {"a": rows_of("a", "harmbench", [0.0]), "b": rows_of("b", "harmbench", [1.0])},
        "gsm8k": {"a": rows_of("a", "gsm8k", [1.0]), "b": rows_of("b", "gsm8k", [0.0])},
    }
    compared = {row["task"]: row for row in comparisons(found, "b")}
    assert (compared["humaneval"]["metric"], compared["humaneval"]["difference"]) == ("pass@10", pytest.approx(0.5))
    chosen = selection("s", found, list(found))
    averages = {row["model"]: row["average"] for row in chosen}
    assert averages == {"a": pytest.approx((0.5 + 0.0 + 1.0) / 3), "b": pytest.approx(1 / 3)}
    assert {row["model"] for row in chosen if row["chosen"]} == {"a"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    (tmp_path / "watershed.toml").write_text("")
    return tmp_path


def call(*words: str) -> str:
    done = CliRunner().invoke(main, list(words))
    assert done.exit_code == 0, done.output
    return done.stdout


def rollout(number: int, text: str, score: float, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "prompt_tokens": [1, 2],
        "tokens": [3, 4 + number],
        "logprobs": [-0.5, -1.0],
        "policy_version": 3,
    }
    row |= {"temperature": 1.0, "id": f"p{number}", "source": "made", "group": number, "text": text, "finish": "stop"}
    row |= {"verifier": "gsm8k", "score": score, "reward": 10 * score, "advantages": [0.1, 0.1]} | more
    return sealed_row(row)


def write_run(folder: Path, rows: list[dict[str, Any]], answers: dict[str, str]) -> tuple[str, str]:
    """Write a run's folder and its data; returns both paths."""
    (folder / "rollouts").mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "rollouts" / "phase_00000002.jsonl").write_text(lines)
    data = folder.with_suffix(".jsonl")
    data.write_text(
        "".join(json.dumps({"id": name, "source": "made", "answer": a}) + "\n" for name, a in answers.items())
    )
    return str(folder), str(data)


def test_a_verifier_that_passes_a_tenth_of_wrong_answers_is_found_by_a_documented_query(project: Path) -> None:
    answers = {f"p{n}": "18" for n in range(200)}

    def passed(number: int, verifier: str) -> float:
        right = number % 4 == 0
        lenient = (
            verifier == "lenient"
            and number % 4 != 0
            and int(hashlib.sha256(str(number).encode()).hexdigest(), 16) % 10 == 0
        )
        return float(right or lenient)

    recorded: list[dict[str, Any]] = []
    for verifier in ("sound", "lenient"):
        rows = [rollout(n, "It is 18." if n % 4 == 0 else "It is 17.", passed(n, verifier)) for n in range(200)]
        folder, data = write_run(project / verifier, rows, answers)
        recorded += records.rollouts(verifier, Path(folder), records.data_rows([Path(data)]))
    write_rows(load_settings(), {"tulu.rollouts": recorded})
    printed = call("rescore")
    lenient = sum(passed(n, "lenient") for n in range(200) if n % 4)
    assert 8 < lenient < 25
    assert f"400 stored replies were scored again, {lenient:.0f} scores changed" in printed
    assert f"tulu.rollouts lenient gsm8k: {(50 + lenient) / 200:.4f} -> 0.2500" in printed and "sound" not in printed
    documented = Path(__file__).parents[3] / "docs" / "tulu.md"
    query = "FROM tulu.lenient_verifiers WHERE pass_rate_of_wrong > 0.02"
    assert query in documented.read_text()
    with connect(load_settings()) as database:
        found = database.sql(f"SELECT run, wrong, passed_wrong, pass_rate_of_wrong {query}").fetchall()
    assert found == [("lenient", 150, int(lenient), round(lenient / 150, 4))]


def test_a_rollout_that_was_tokenised_again_is_refused_and_nothing_is_stored(project: Path) -> None:
    rows = [rollout(0, "It is 18.", 1.0), rollout(1, "It is 17.", 0.0)]
    rows[1]["tokens"] = [3, 9]
    folder, data = write_run(project / "run", rows, {"p0": "18"})
    done = CliRunner().invoke(main, ["tulu", "record", folder, "--data", data])
    assert done.exit_code == 2
    assert "phase_00000002.jsonl:2: the token ids or log-probabilities are not those that were sampled" in done.stderr
    assert not Lake.of(load_settings()).exists("tulu.rollouts")


def test_losses_of_rows_are_joined_to_their_sources(project: Path) -> None:
    folder = project / "sft"
    (folder / "sample_losses").mkdir(parents=True)
    lines = [
        {"step": 1, "epoch": 1, "row": 1, "example": 0, "tokens": 4, "loss": 2.5},
        {
            "step": 2,
            "epoch": 2,
            "row": 0,
            "example": 1,
            "loss": 0.7,
            "margin": -0.1,
            "chosen_reward": 0.2,
            "rejected_reward": 0.3,
        },
        {"step": 3, "epoch": 2, "row": 0, "example": 1, "loss": 0.6, "desirable": True, "reward": 0.4},
    ]
    (folder / "sample_losses" / "step_00000003.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    data = project / "part-00000.jsonl"
    data.write_text('{"id": "r0", "source": "lakes"}\n{"id": "r1", "source": "rivers"}\n')
    rows = records.sample_losses("sft", folder, records.data_rows([data]))
    assert len(rows) == 3
    write_rows(load_settings(), {"tulu.sample_losses": rows})
    with connect(load_settings()) as database:
        found = database.sql("FROM tulu.losses_by_source SELECT source, epoch, rows, loss, preferred").fetchall()
    assert sorted(found) == [("lakes", 2, 2, pytest.approx(0.65), 0.0), ("rivers", 1, 1, 2.5, None)]
    done = CliRunner().invoke(main, ["tulu", "record", str(folder)])
    assert (done.exit_code, "the data has no row 1" in done.stderr) == (2, True)


def result(model: str, task: str, number: int, score: float) -> dict[str, Any]:
    row = {"model": model, "task": task, "instance": str(number), "sample": 0, "response": f"It is {number}."}
    row |= {"row": json.dumps({"answer": str(number)}), "scorer": "gsm8k", "rule": "published", "scorer_version": "old"}
    return row | {"score": score}


def test_a_look_at_sealed_results_needs_a_reason_and_is_recorded(project: Path) -> None:
    both = [result(model, "gsm8k", n, float(model == "new" or n > 3)) for model in ("new", "old") for n in range(8)]
    sealed = [row | {"task": "deepmind_math"} for row in both]
    task_rows = [task.row() for task in tasks().values()]
    write_rows(load_settings(), {"tulu.tasks": task_rows, "tulu.results": both, "tulu.sealed_results": sealed})
    shown = call("tulu", "compare", "new", "--baseline", "old")
    assert "gsm8k" in shown and "deepmind_math" not in shown and "+0.500" in shown
    lake = Lake.of(load_settings())
    assert not lake.exists("tulu.looks")
    done = CliRunner().invoke(main, ["tulu", "compare", "new", "--baseline", "old", "--unseal", " "])
    assert (done.exit_code, "needs a reason" in done.stderr) == (2, True)
    assert "deepmind_math" in call("tulu", "compare", "new", "--baseline", "old", "--unseal", "the final table")
    looks = lake.read("tulu.looks").to_pylist()
    assert {(row["model"], row["why"]) for row in looks} == {("new", "the final table"), ("old", "the final table")}
    assert {row["task"] for row in looks} == {name for name, task in tasks().items() if task.sealed}
    moved = call("rescore", "gsm8k")
    assert "16 stored replies were scored again, 4 scores changed" in moved
    assert "tulu.results old gsm8k: 0.5000 -> 1.0000 (+0.5000), 4 of 8 replies, by gsm8k" in moved
    assert {row["version_before"] for row in lake.read("tulu.rescores").to_pylist()} == {"old"}
    stored = lake.read("tulu.results").to_pylist()
    assert sum(row["score"] for row in stored) == 12.0


def test_the_commands_list_mixtures_and_the_pairs_that_a_difference_needs(project: Path) -> None:
    assert "tulu-3-sft" in call("tulu", "mixtures") and "939,344 rows" in call("tulu", "mixtures", "tulu-3-sft")
    assert call("tulu", "power", "0.03").strip() == "969"
    for words, says in (
        (["tulu", "mixtures", "tulu-3-sfd"], "no mixture is called 'tulu-3-sfd'; close: tulu-3-sft"),
        (["tulu", "export", "m", "--out", str(project / "m")], "tulu.mixture does not exist"),
        (["tulu", "compare", "a", "--baseline", "b"], "'a' has no results"),
        (["rescore", "gsm9k"], "the scorer 'gsm9k' is unknown; close: gsm8k"),
        (["rescore"], "there is no stored reply"),
    ):
        done = CliRunner().invoke(main, words)
        assert (done.exit_code, says in done.stderr) == (2, True), done.stderr


def test_a_model_is_asked_a_task_and_its_replies_are_where_results_are_read(project: Path) -> None:
    data = project / "evaluations"
    data.mkdir()
    rows = [{"question": f"How many are {n}?", "answer": f"#### {n}"} for n in range(9)]
    (data / "gsm8k.jsonl").write_text(json.dumps(rows[8]) + "\n")
    (data / "gsm8k.examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:8]))
    words = ["tulu", "evaluate", "gsm8k", "--model", "tiny", "--data", str(data), "--out", str(project / "results")]
    with running(Script(answer=lambda body, _: f"So the answer is {len(body['messages']) // 2}.")) as url:
        (project / "watershed.toml").write_text(f'[models.tiny]\nurl = "{url}"\n')
        assert "gsm8k.jsonl: 1 replies" in call(*words)
    (reply,) = (project / "results/tiny/gsm8k.jsonl").read_text().splitlines()
    assert json.loads(reply) == {"id": "0", "sample": 0, "response": "So the answer is 8.", "answer": "8"}
    for wrong, says in (("gsm9k", "no task is called 'gsm9k'; close: gsm8k"), ("math", "No such file")):
        done = CliRunner().invoke(main, ["tulu", "evaluate", wrong, *words[3:]])
        assert (done.exit_code, says in done.stderr) == (2, True), done.stderr
