"""The example "Add a skill" of docs/tulu.md: its data, verifier and evaluation work together."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from catalog.settings import load_settings
from dagster_project.cli import main
from dagster_project.families.tulu.preference_assets import prompt_recipe
from spark_jobs.tulu.decontamination.index import build_index
from spark_jobs.tulu.decontamination.instances import read_evaluation
from spark_jobs.tulu.decontamination.search import search
from spark_jobs.tulu.personas import plan
from spark_jobs.tulu.suites import search_fields, tasks
from trainers.verifiers.instructions.follow import read_instructions, score_instructions

PAGE = Path(__file__).parents[2] / "docs" / "tulu.md"
BLOCK = re.compile(r"^`(?P<path>[\w./]+)`\n```\w+\n(?P<body>.*?)^```$", re.M | re.S)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the files of the example."""
    section = PAGE.read_text(encoding="utf-8").split("\n## Add a skill\n")[1].split("\n## ")[0]
    for block in BLOCK.finditer(section):
        path = tmp_path / block["path"]
        path.parent.mkdir(exist_ok=True)
        path.write_text(block["body"], encoding="utf-8")
    with (tmp_path / "watershed.toml").open("a") as file:
        file.write('\n[models.large]\nurl = "http://127.0.0.1:1/v1"\n')
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    return tmp_path


def test_the_data_of_the_skill_are_prompts_whose_constraints_its_verifier_knows(project: Path) -> None:
    recipe = prompt_recipe(load_settings(), None).personas
    assert recipe is not None and recipe.count == 100
    (skill,) = recipe.skills
    assert tasks()[skill.evaluation].scorer == skill.verifier == "ifeval"
    own = replace(recipe, constraints=())
    for number in range(recipe.count):
        _, persona, chosen = plan(own, number)
        ((id, sentence, kwargs),) = chosen
        assert persona in recipe.personas and str(kwargs["num_bullets"]) in sentence
        (instruction,) = read_instructions([{"id": id, "kwargs": kwargs}])
        lines = "\n".join("* bread" for _ in range(kwargs["num_bullets"]))
        assert score_instructions(lines, (instruction,)).passed
        assert not score_instructions(f"{lines}\n* one more", (instruction,)).passed


def test_its_verifier_scores_the_reply_of_the_page(project: Path) -> None:
    done = CliRunner().invoke(main, ["score", "ifeval", str(project / "replies.jsonl")])
    assert json.loads(done.stdout.splitlines()[-1])["summary"]["score"] == 1.0


def test_its_evaluation_is_found_in_prompts(project: Path) -> None:
    path = project / "evaluations" / "ifeval.jsonl"
    index = build_index([read_evaluation(path, search_fields(path))])
    asked = json.loads(path.read_text())["prompt"]
    found = search([pa.array(["Write a menu.", f"Please: {asked}"])], index).joined()
    assert found.row.tolist() == [1]
