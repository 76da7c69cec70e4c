"""The recipes of the family `dclm`, and the parts of them that are hashed into fingerprints."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from catalog.errors import WatershedError
from catalog.fingerprint import fingerprint
from dagster_project.families.dclm.recipes import (
    contamination_literals,
    contamination_recipe,
    evaluation_files,
    mixture_recipe,
    score_literals,
    score_recipe,
)
from spark_jobs.contamination.rules import RULES


def test_without_declared_evaluations_nothing_is_dropped_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATERSHED_EVALUATIONS", raising=False)
    assert evaluation_files() == []
    assert mixture_recipe().max_contamination is None
    assert score_literals(score_recipe()) == ["dclm-baseline", None]


def test_declared_evaluations_are_dropped_and_identified_by_content(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("WATERSHED_EVALUATIONS", raising=False)
    none = fingerprint(contamination_literals(contamination_recipe()))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.setenv("WATERSHED_EVALUATIONS", str(here))
    with pytest.raises(WatershedError, match="holds no JSONL file"):
        evaluation_files()
    (here / "quiz.jsonl").write_text('{"query": "Which river?"}\n')
    assert mixture_recipe().max_contamination == RULES["fields"].share
    one = fingerprint(contamination_literals(contamination_recipe()))
    there = shutil.copytree(here, tmp_path / "there")
    monkeypatch.setenv("WATERSHED_EVALUATIONS", str(there))
    assert fingerprint(contamination_literals(contamination_recipe())) == one != none
    (there / "quiz.jsonl").write_text('{"query": "Which lake?"}\n')
    assert fingerprint(contamination_literals(contamination_recipe())) != one
