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


def test_rows_fill_a_template_and_keep_their_fields(project: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"id": number, "river": f"river {number}", "prompt": "not asked"} for number in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), project / "rivers.parquet")
    with running(Script()) as url:
        (project / "watershed.toml").write_text(f'[models.scripted]\nurl = "{url}"\n')
        chosen = ("--template", "Where does {{ river }} end?", "--system", "Be brief.", "--samples", "2")
        out = project / "replies.jsonl"
        code, said = run(str(project / "rivers.parquet"), "--model", "scripted", "--out", str(out), *chosen)
        assert code == 0, said
        assert "6 of 6 requests are answered\n" in said
        code, said = run(
            str(project / "rivers.parquet"), "--model", "scripted", "--out", str(out), "--template", "{{ a }}"
        )
        assert code == 2 and "row 1: the template cannot be filled: 'a' is undefined" in said
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["id"], row["sample"]) for row in found] == [(n, s) for n in range(3) for s in range(2)]
    assert all(row["prompt"] == "not asked" and row["reply"] for row in found)
    stored = {row["request"]: row for row in Lake.of(load_settings()).read("models.requests").to_pylist()}
    asked = json.loads(stored[found[2]["request"]]["prompt"])
    assert [each["content"] for each in asked] == ["Be brief.", "Where does river 1 end?"]


@pytest.mark.parametrize(
    ("line", "words", "cause"),
    [
        ("{}", ("--model", "other", "--preview", "1"), "line 4: it has neither a prompt nor messages"),
        ("[" * 99, ("--model", "other", "--preview", "1"), "line 4: JSON with more than 64 brackets"),
        (
            '{"prompt": "a", "cost": 1}',
            ("--model", "other", "--preview", "1"),
            "its field 'cost' has the name of a field",
        ),
        ("[7]", ("--model", "other", "--preview", "1"), "line 4: it is not a JSON object"),
        ("", ("--model", "other", "--preview", "1", "--template", "{% if %}"), "the template is wrong"),
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
