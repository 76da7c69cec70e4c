"""`watershed ladder fit`, as typed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from dagster_project.cli import main
from tests.small_lake import CURATED, tables_of, write_lake
from tests.trainers.ladder.test_scaling_ladder import write_made_ladder


def watershed(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ladder")
    write_made_ladder(folder)
    return folder


def test_a_fit_writes_forecasts_and_readable_pictures_beside_them(runs, tmp_path):
    out = tmp_path / "made" / "predictions.json"
    result = watershed(
        *("ladder", "fit", "--runs", str(runs), "--models", str(runs / "models.json"), "--tasks", "arc_easy"),
        *("--targets", "large=7e9,2e12", "larger=1.3e10,3e12", "--out", str(out)),
    )
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    assert list(found) == ["large", "larger", "protocol"]
    assert 0 <= found["large"]["arc_easy"]["low"] < found["large"]["arc_easy"]["accuracy"]
    assert found["larger"]["arc_easy"]["accuracy"] > found["large"]["arc_easy"]["accuracy"]
    assert "90% bands" in result.stdout
    pictures = sorted(path.name for path in out.parent.glob("*.png"))
    assert pictures == ["predictions-forecast.png", "predictions-step1.png", "predictions-step2.png"]
    assert all((out.parent / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    assert not list(out.parent.glob("*.part"))


def test_an_ablation_has_the_error_of_every_part_by_its_compute_and_a_picture(runs, tmp_path):
    out = tmp_path / "ablation.json"
    arguments = ("ladder", "fit", "--runs", str(runs), "--tasks", "arc_easy", "--ablate", "--out", str(out))
    result = watershed(*arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    assert [(each["sizes"], each["multiples"], each["runs"]) for each in found if each["sizes"] == 3][-1] == (3, 4, 12)
    assert {each["sizes"] for each in found} == {2, 3}
    assert [each["flops"] for each in found] == sorted(each["flops"] for each in found)
    whole = found[-1]
    assert whole["share"] == pytest.approx(1.0)
    assert whole["two_steps"] < 0.01
    assert whole["two_steps"] <= min(each["two_steps"] for each in found) + 0.003
    assert whole["by_task"]["arc_easy"]["one_step"] == whole["one_step"] > whole["two_steps"]
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert f"{100 * whole['two_steps']:.1f}" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("--tasks", "chess"), "no task 'chess'"),
        (("--tasks", "hellaswag"), "no column"),
        (("--tasks", "arc_easy", "--targets", "small=1e8,1e9"), "smaller than the ladder's largest run"),
        (("--tasks", "arc_easy", "--targets", "odd=1"), "is not NAME=PARAMS,TOKENS"),
        (("--models", "nowhere.json"), "nowhere.json"),
    ],
)
def test_what_cannot_be_fitted_says_why_and_exits_with_2(runs, tmp_path, arguments, cause):
    out = tmp_path / "predictions.json"
    result = watershed("ladder", "fit", "--runs", str(runs), "--out", str(out), *arguments)
    assert result.exit_code == 2
    assert cause in result.stderr
    assert not out.exists()


def test_too_few_runs_are_refused(runs, tmp_path):
    models = json.loads((runs / "models.json").read_text())
    few = {"models": {"190M": models["models"]["190M"] | {"runs": ["190M-1xC.csv", "190M-2xC.csv"]}}}
    path = tmp_path / "few.json"
    path.write_text(json.dumps(few))
    arguments = ("--runs", str(runs), "--models", str(path), "--tasks", "arc_easy", "--targets", "big=7e9,2e12")
    result = watershed("ladder", "fit", *arguments, "--out", str(tmp_path / "predictions.json"))
    assert result.exit_code == 2
    assert "2 runs" in result.stderr


def test_without_runs_the_lakes_points_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    write_lake(tmp_path, (*CURATED, *tables_of("ladder")))
    out = tmp_path / "predictions.json"
    arguments = ("ladder", "fit", "--targets", "big=7e9,2e12", "--out", str(out))
    refused = watershed(*arguments)
    assert refused.exit_code == 2
    assert "runs of the ladder have the same size" in refused.stderr
