"""The examples of docs/scoring.md, run as they stand, and its table beside the list of scorers."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from dagster_project.cli import main
from dagster_project.cli.scoring.scorers import scorers

PAGE = (Path(__file__).parents[2] / "docs" / "scoring.md").read_text(encoding="utf-8")
SCORERS = scorers()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def section(name: str) -> dict[str, str]:
    """The fenced blocks of a scorer's section, by their kind."""
    return dict(BLOCK.findall(PAGE.split(f"\n### {name}\n")[1].split("\n### ")[0].split("\n## ")[0]))


@pytest.mark.parametrize("name", SCORERS)
def test_the_example_of_a_scorer_prints_what_the_page_shows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = section(name)
    assert json.loads(blocks["jsonl"]) == SCORERS[name].example
    (tmp_path / "replies.jsonl").write_text(blocks["jsonl"], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    command, _, printed = blocks["console"].partition("\n")
    done = CliRunner().invoke(main, shlex.split(command.removeprefix("$ watershed ")))
    assert (done.exit_code, done.stdout) == (0, printed), done.output


def test_the_example_of_ndcg_prints_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = section("ndcg")
    (tmp_path / "qrels.txt").write_text(blocks["qrels"])
    (tmp_path / "run.txt").write_text(blocks["run"])
    monkeypatch.chdir(tmp_path)
    command, _, printed = blocks["console"].partition("\n")
    done = CliRunner().invoke(main, shlex.split(command.removeprefix("$ watershed ")))
    assert (done.exit_code, done.stdout) == (0, printed)


def test_the_table_has_the_fields_and_rules_of_every_scorer() -> None:
    rows = {match[1]: match[0] for match in re.finditer(r"^\| \[`([\w-]+)`\]\(#[\w-]+\) .*$", PAGE, re.M)}
    assert list(rows) == [*SCORERS, "ndcg"]
    for name, scorer in SCORERS.items():
        assert all(f"`{field}`" in rows[name] for field in (*scorer.fields, *scorer.optional))
        assert f"| {', '.join(scorer.rules)} |" in rows[name]
        assert scorer.about in rows[name]
