"""docs/steps.md names every edit and every statistic with a list, with all their options."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark_jobs.edits import EDITS
from spark_jobs.measures import dclm, urls

LINES = (Path(__file__).parents[3] / "docs" / "steps.md").read_text(encoding="utf-8").splitlines()
STEPS = {**EDITS, **dclm.MATCHERS, **urls.MATCHERS}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_documented_with_its_options(name: str) -> None:
    (row,) = (line for line in LINES if line.startswith("| ") and f"`{name}`" in line.split("|")[1])
    for option in STEPS[name].options:
        assert f"`{option}`" in row


def test_dclm_statistics_are_documented() -> None:
    text = "\n".join(LINES)
    for statistic in (statistic for by in dclm.PASSES for statistic in by.statistics):
        name = statistic.name.replace("_character_ratio", "_ratio")
        is_ngram = "gram" in name
        assert is_ngram or f"`{name}`" in text, name
