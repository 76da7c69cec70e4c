"""`watershed ask`: prompts in, replies out, in order, and nothing asked twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.model_server import Script, running
from catalog.lake import Lake
from catalog.settings import load_settings
from dagster_project.cli import main

LINES = [{"prompt": "Name a river."}, {"messages": [{"role": "user", "content": "A lake?"}]}, {"prompt": [3, 1, 4]}]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return tmp_path


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["ask", *words])
    return done.exit_code, done.output


def test_prompts_are_previewed_then_answered_in_order(project: Path) -> None:
    script = Script()
    with running(script) as url:
        entries = f'url = "{url}"\ninput_price = 1.0\noutput_price = 1.0\n'
        (project / "watershed.toml").write_text(f"[models.scripted]\n{entries}")
        prompts = str(project / "prompts.jsonl")
        code, said = run(prompts, "--model", "scripted", "--preview", "1")
        assert code == 0, said
        assert "Name a river." in said and "all 3 requests: tokens about" in said
        assert sum(script.seen.values()) == 1
        code, said = run(prompts, "--model", "scripted", "--out", str(project / "replies.jsonl"))
        assert code == 0, said
        assert "3 of 3 requests are answered" in said
    rows = [json.loads(line) for line in (project / "replies.jsonl").read_text().splitlines()]
    stored = {row["request"]: row for row in Lake.of(load_settings()).read("models.requests").to_pylist()}
    asked = [json.loads(stored[row["request"]]["prompt"]) for row in rows]
    assert asked == [[{"role": "user", "content": "Name a river."}], LINES[1]["messages"], [3, 1, 4]]
    assert sum(script.seen.values()) == 3


@pytest.mark.parametrize(
    ("line", "words", "cause"),
    [
        ("{}", ("--model", "other", "--preview", "1"), "line 4: it has neither a prompt nor messages"),
        ("[" * 99, ("--model", "other", "--preview", "1"), "line 4: JSON with more than 64 brackets"),
        ("", ("--model", "othr", "--preview", "1"), "no model is called 'othr'"),
        ("", ("--model", "other"), "there is no file for the replies"),
    ],
)
def test_what_cannot_be_asked_is_named(project: Path, line: str, words: tuple[str, ...], cause: str) -> None:
    (project / "watershed.toml").write_text('[models.other]\nurl = "http://127.0.0.1:9/v1"\n')
    with (project / "prompts.jsonl").open("a") as file:
        file.write(line)
    code, said = run(str(project / "prompts.jsonl"), *words)
    assert code == 2
    assert cause in said
