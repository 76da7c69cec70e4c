"""The lake's own ladder: several targets forecast before they are trained, then compared with their measurements."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import LadderSettings, Settings
from catalog.tables.ladder import FITS, OUTCOMES, PREDICTIONS
from dagster_project.cli import main
from dagster_project.families.dclm.recipes import SEQUENCE_LENGTH, VOCABULARY
from dagster_project.families.demo.sizes import SIZES
from dagster_project.families.ladder import tables as scaling
from dagster_project.families.models.runs import target_runs
from tests.small_lake import row, settings_in, write_rows
from trainers.pretraining.presets import plan
from trainers.process.errors import TrainerError

SMALL, SECOND = SIZES["small"].ladder, "270k-1xC"
TASK = "continuation"


def true_loss(run: str, noise: float = 0.0) -> tuple[float, float]:
    """Bits per byte and accuracy of a run in a made world."""
    size = plan(run, VOCABULARY, SEQUENCE_LENGTH)
    loss = 0.7 * (6e4 / size["parameters"]) ** 0.32 + 0.6 * (2.5e5 / size["tokens"]) ** 0.26 + 1.1
    return loss * float(np.exp(noise)), float(0.25 + 0.75 / (1 + np.exp(3.0 * (loss - 2.1))))


def point(run: str, noise: float) -> dict[str, Any]:
    size = plan(run, VOCABULARY, SEQUENCE_LENGTH)
    loss, accuracy = true_loss(run, noise)
    return {
        **{"source": "lake", "run": run, "size": run.rsplit("-", 1)[0], "task": TASK, "chance": 0.25},
        **{"parameters": size["parameters"], "tokens": size["tokens"], "flops": float(size["flops"])},
        **{"flops_per_token": float(size["flops_per_token"]), "task_loss": loss},
        **{"accuracy": accuracy, "examples": 500},
    }


def answers(run: str, count: int = 400) -> list[dict[str, Any]]:
    """What a trained target answers: as many right as the made world says."""
    loss, accuracy = true_loss(run)
    right = round(accuracy * count)
    return [
        {"run": run, "question_id": f"q{i}", "task": TASK, "correct": i < right, "bits_per_byte": loss}
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Settings:
    """A lake whose small ladder was measured, with two targets in its settings."""
    settings = settings_in(tmp_path_factory.mktemp("lake"))
    settings = replace(settings, ladder=LadderSettings(name="small", targets=[SMALL.targets[0], SECOND]))
    random = np.random.default_rng(4)
    rows = {
        "ladder.points": [point(run, 0.003 * random.standard_normal()) for run in SMALL.runs],
        "evals.tasks": [{"task": TASK, "kind": "multiple_choice", "chance": 0.25}],
        "evals.target_results": [answer for run in (SMALL.targets[0], SECOND) for answer in answers(run)],
    }
    write_rows(settings, {name: [full(name, each) for each in found] for name, found in rows.items()})
    return settings


def full(name: str, values: dict[str, Any]) -> dict[str, Any]:
    from catalog.tables import CONTRACTS

    return row(CONTRACTS[name], **values)


@pytest.fixture(scope="module")
def stored(lake) -> dict[str, pa.Table]:
    """The tables as the assets make them, in their order: the forecasts are stored before the outcomes."""
    found = {}
    for contract, make in ((FITS, scaling.fits), (PREDICTIONS, scaling.predictions), (OUTCOMES, scaling.outcomes)):
        found[contract.name] = make(lake)
        Lake.of(lake).replace(contract, found[contract.name], "f" * 16)
    return found


def test_every_target_is_forecast_with_a_band(stored):
    rows = stored["ladder.predictions"].to_pylist()
    assert [each["target"] for each in rows] == [SMALL.targets[0], SECOND]
    for each in rows:
        assert 0.25 < each["low"] < each["accuracy"] < each["high"] <= 1
        assert each["parameters"] == plan(each["target"], VOCABULARY, SEQUENCE_LENGTH)["parameters"]
    assert rows[1]["task_loss"] < rows[0]["task_loss"]


def test_a_target_added_later_leaves_the_time_of_the_forecasts_before_it(lake, stored):
    added = replace(lake, ladder=LadderSettings(name="small", targets=[SMALL.targets[0], SECOND, "500k-0.4xC"]))
    before, after = stored["ladder.predictions"].to_pylist(), scaling.predictions(added).to_pylist()
    assert after[:2] == before
    assert after[2]["stored_at"] > before[1]["stored_at"]


def test_the_steps_of_the_fit_are_stored_and_go_through_the_points(stored):
    (fit,) = stored["ladder.fits"].to_pylist()
    assert (fit["runs"], fit["protocol"]) == (4, "weighed-forms, fixed-asymptotes")
    assert fit["step1_error"] < 0.01
    assert {term["of"] for term in json.loads(fit["step1"])["terms"]} == {"parameters", "tokens"}
    assert json.loads(fit["step2"])["chance"] == 0.25


def test_targets_are_held_to_their_forecasts_task_by_task(lake, stored, monkeypatch):
    rows = stored["ladder.outcomes"].to_pylist()
    assert [each["target"] for each in rows] == [SMALL.targets[0], SECOND]
    for each in rows:
        assert each["measured"] == pytest.approx(true_loss(each["target"])[1], abs=0.002)
        assert each["in_band"] == (each["low"] <= each["measured"] <= each["high"])
        assert each["error"] == pytest.approx(each["predicted"] - each["measured"])
    assert all(each["in_band"] for each in rows)
    monkeypatch.setenv("WATERSHED_PROJECT", str(lake.project))
    result = CliRunner().invoke(main, ["ladder", "outcomes"])
    assert result.exit_code == 0, result.output
    assert f"{SECOND}" in result.stdout
    assert "100% in band" in result.stdout


def test_a_picture_of_every_target_and_task(lake, stored):
    pictures = scaling.outcome_plots(lake, stored["ladder.outcomes"])
    assert set(pictures) == {f"{TASK}, {SMALL.targets[0]}", f"{TASK}, {SECOND}"}


def test_without_a_target_the_fit_forecasts_the_settings_own(lake, tmp_path, monkeypatch):
    monkeypatch.setenv("WATERSHED_PROJECT", str(lake.project))
    monkeypatch.setenv("WATERSHED_LADDER_TARGETS", json.dumps([SECOND]))
    out = tmp_path / "predictions.json"
    result = CliRunner().invoke(main, ["ladder", "fit", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert list(json.loads(out.read_text())) == [SECOND, "protocol"]
    assert len(list(tmp_path.glob("*.png"))) == 3


def test_outcomes_before_any_target_was_measured_say_what_to_do(tmp_path, monkeypatch):
    settings_in(tmp_path)
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    result = CliRunner().invoke(main, ["ladder", "outcomes"])
    assert result.exit_code == 2
    assert "ladder.outcomes" in result.stderr


@pytest.mark.parametrize(
    ("targets", "error", "cause"),
    [
        ([SMALL.runs[0]], WatershedError, "which the ladder fits"),
        ([SECOND, SECOND], WatershedError, "twice"),
        (["9Z-1xC"], TrainerError, "9Z"),
    ],
)
def test_targets_that_cannot_be_forecast_are_refused(tmp_path, targets, error, cause):
    settings = replace(settings_in(tmp_path), ladder=LadderSettings(name="small", targets=targets))
    with pytest.raises(error, match=cause):
        target_runs(settings)


def test_the_ladders_own_target_is_forecast_by_default(tmp_path):
    assert target_runs(settings_in(tmp_path)) == (SMALL.targets[0],)
