"""Tables of existing lakes stay up to date: the hashed part of every step is recorded and must not change.

`fingerprints.json` holds a hash of name, code version and recipe of every step, as commit 000ddee computed them. It
leaves out steps whose recipe is the user's files (`dclm.pool`, the registry). The values of `moe` are newer, because
constants that decide its rows were not hashed before. Those of `dclm.documents`, `dclm.measurements` and
`dclm.verdicts` are newer, because encodings, languages, English words and the rules of missing values were corrected;
that of `dclm.duplicates`, because texts are compared, and only copies of the kept document are dropped; that of
`dclm.quality_model`, because its classifier is trained for more epochs. A changed value makes tables of existing lakes
due again: record a new value only if that is intended.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalog.fingerprint import fingerprint
from catalog.settings import load_settings
from dagster_project.assets import steps
from dagster_project.engine.steps import Step
from dagster_project.families.demo.sizes import SIZES
from dagster_project.families.models.runs import ladder_runs

RECORDED: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("fingerprints.json").read_text())


def own_fingerprint(step: Step, size: str, project: Path) -> str:
    """Return a hash of everything that is part of a step's fingerprint, except the tables that it reads."""
    settings = load_settings(project)
    settings = replace(settings, ladder=replace(settings.ladder, name=size))
    partition: dict[str, Any] | None = None
    if step.cut:
        by_run = step.contracts[0].partition_by == ("run",)
        partition = {"run": ladder_runs(settings)[0]} if by_run else {"global_shard": 0, "local_shard": 0}
    return fingerprint(step.name, step.code_version, step.literals(settings, partition))


@pytest.mark.parametrize("size", SIZES)
def test_no_step_is_due_again_in_a_lake_of_an_earlier_version(
    size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WATERSHED_EVALUATIONS", raising=False)
    known = [step for step in steps().ordered if step.name in RECORDED[size]]
    assert {step.name for step in known} == RECORDED[size].keys()
    assert {step.name: own_fingerprint(step, size, tmp_path) for step in known} == RECORDED[size]
