"""The history of checks that the site shows is what the instance of Dagster has recorded."""

from __future__ import annotations

import datetime
from pathlib import Path

import dagster as dg

from catalog.settings import load_settings
from dagster_project.engine.check_history import check_history
from dagster_project.engine.checks import CHECK
from dagster_project.instance import open_instance


def test_evaluations_are_read_newest_first_and_without_an_instance_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "watershed.toml").touch()
    settings = load_settings(tmp_path)
    assert check_history(settings) == {}
    assert not settings.dagster_home.exists()
    before = datetime.datetime.now(datetime.UTC)
    with open_instance(settings) as instance:
        for passed, severity in ((True, "WARN"), (False, "WARN"), (False, "ERROR")):
            instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(
                    asset_key=dg.AssetKey(["dclm", "scores"]),
                    check_name=CHECK,
                    passed=passed,
                    severity=dg.AssetCheckSeverity[severity],
                    description=r"score \<= 1",
                    metadata={},
                )
            )
    found = check_history(settings)
    assert found.keys() == {"dclm.scores"}
    assert [run.outcome for run in found["dclm.scores"]] == ["failed", "warned", "passed"]
    assert found["dclm.scores"][0].words == "score <= 1"
    assert all(before <= run.at <= datetime.datetime.now(datetime.UTC) for run in found["dclm.scores"])
