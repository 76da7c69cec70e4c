"""Losses forecast from a table of few runs: made ladders of the published laws, and tables that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.loss_bands import LAWS, REDPAJAMA
from dagster_project.cli import main
from trainers.ladder.loss_holdout import fit_losses
from trainers.ladder.loss_table import forecast_table, read_loss_table
from trainers.ladder.runs import Target
from trainers.process.errors import TrainerError

FIVE = ((11e6, 20), (79e6, 20), (154e6, 20), (411e6, 20), (11e6, 320))
"""Parameters and tokens a parameter; the last is trained 16 times as long."""


def loss_of(law, n, d):
    floor, size, data, alpha, beta = law
    return floor + size / n**alpha + data / d**beta


@pytest.fixture(scope="module")
def draws():
    """200 ladders, 40 of each law with 1% noise: forecast over truth, and whether the band holds the truth."""
    n, d = np.array([n for n, _ in FIVE]), np.array([n * multiple for n, multiple in FIVE])
    far = 40 * n.max()
    random = np.random.default_rng(0)
    errors, held = [], []
    for law in LAWS.values():
        truth = loss_of(law, far, 20 * far)
        for _ in range(40):
            measured = loss_of(law, n, d) * np.exp(0.01 * random.standard_normal(len(n)))
            found = fit_losses(n, d, measured).forecast(far, 20 * far)
            errors.append(found.loss / truth - 1)
            held.append(found.low <= truth <= found.high)
    return np.array(errors), np.array(held)


def test_five_noisy_runs_forecast_40_times_their_size_within_two_percent(draws):
    errors, _ = draws
    assert np.abs(errors).mean() < 0.02
    assert abs(errors.mean()) < 0.005


def test_nine_in_ten_bands_hold_the_loss_that_a_known_law_says(draws):
    _, held = draws
    assert 0.85 <= held.mean() <= 0.95


def grid(law, sizes, noise, random):
    n = np.repeat(sizes, 4)
    d = n * np.tile([20.0, 40.0, 100.0, 200.0], len(sizes))
    return n, d, loss_of(law, n, d) * np.exp(noise * random.standard_normal(len(n)))


def test_more_and_larger_runs_make_a_forecast_better_and_its_bands_stay_right():
    random, target = np.random.default_rng(1), (8e9, 8e11)
    errors: dict[int, list[float]] = {4: [], 5: []}
    held = []
    for law in LAWS.values():
        truth = loss_of(law, *target)
        for sizes in ([5e7, 1e8, 2e8, 4e8], [5e7, 1e8, 2e8, 4e8, 1e9]):
            fit = fit_losses(*grid(law, sizes, 0.005, random))
            found, (_, share) = fit.forecast(*target), fit.calibration(*target)
            assert share is not None
            assert 0.85 <= share <= 1.0
            errors[len(sizes)].append(abs(found.loss / truth - 1))
            held.append(found.low <= truth <= found.high)
    assert np.mean(errors[5]) < np.mean(errors[4]) < 0.02
    assert 0.8 <= np.mean(held) <= 1.0


def write(path: Path, *rows: str, header: str = "name,params,tokens,c4,pile") -> Path:
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def row(name: str, n: float, d: float) -> str:
    loss = loss_of(REDPAJAMA, n, d)
    return f"{name},{n:.0f},{d:.0f},{loss:.4f},{loss - 0.3:.4f}"


GOOD = [row(f"r{i}", n, n * multiple) for i, (n, multiple) in enumerate(FIVE)]


def test_the_command_forecasts_every_column_of_a_table(tmp_path):
    path, out = write(tmp_path / "runs.csv", *GOOD, GOOD[2]), tmp_path / "out.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    arguments = ("ladder", "fit", "--table", str(path), "--targets", "7B=6.9e9,1.38e11", "over=1.4e9,9e11")
    result = CliRunner().invoke(main, (*arguments, "--out", str(out)))
    assert result.exit_code == 0, result.output
    assert "'r2' is listed twice and counts once" in result.stdout
    found = json.loads(out.read_text())
    assert {target: list(columns) for target, columns in found.items()} == {
        "7B": ["c4", "pile"],
        "over": ["c4", "pile"],
    }
    assert set(found["7B"]["c4"]) == {"loss", "low", "high"}
    truth = loss_of(REDPAJAMA, 6.9e9, 1.38e11)
    assert found["7B"]["c4"]["loss"] == pytest.approx(truth, rel=0.02)
    assert found["7B"]["c4"]["low"] < truth < found["7B"]["c4"]["high"]
    assert found["7B"]["pile"]["loss"] < found["7B"]["c4"]["loss"]


def with_cell(row: int, column: int, value: str) -> list[str]:
    cells = GOOD[row].split(",")
    cells[column] = value
    return [*GOOD[:row], ",".join(cells), *GOOD[row + 1 :]]


REFUSED: dict[str, tuple[list[str], str]] = {
    "not a number": (with_cell(1, 3, "low"), "line 3: column 'c4' is not all numbers"),
    "not finite": (with_cell(1, 3, "nan"), "line 3: 'c4' is not finite"),
    "no parameters": (with_cell(1, 1, ""), "line 3: 'params' is empty"),
    "zero tokens": (with_cell(1, 2, "0"), "line 3: 'tokens' is 0, not positive"),
    "negative loss": (with_cell(1, 4, "-1"), "line 3: 'pile' is -1, not positive"),
    "a second run of the name": (with_cell(1, 0, "r0"), "line 3: a second run 'r0' differs"),
    "no name": (with_cell(1, 0, ""), "line 3: a run without a name"),
    "too few": (GOOD[:2], "column 'c4' has 2 runs"),
    "one size": ([f"a{i},1e8,{i + 1}e9,3,3" for i in range(4)], "4 runs of 1 sizes"),
    "a short row": ([*GOOD, "r9,1e9"], "line 7: 2 cells under 5 columns"),
    "diverged": (with_cell(3, 3, "7.5"), "c4 of run r3 is 7.5, above the .* it diverged"),
    "the smallest diverged": (with_cell(0, 3, "99"), "c4 of run r0 is 99, above the .* of r.: it diverged"),
    "tokens in billions": (with_cell(1, 2, "1.6"), "run r1 has .* tokens a parameter"),
    "nothing": ([], "holds no"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_cannot_be_forecast_says_why(name, tmp_path):
    rows, cause = REFUSED[name]
    with pytest.raises(TrainerError, match=cause):
        read_loss_table(write(tmp_path / "runs.csv", *rows))


@pytest.mark.parametrize(
    ("header", "cause"),
    [
        ("name,params,token,c4,pile", "no column 'tokens'; close: token"),
        ("name,params,tokens,c4,c4", "the column 'c4' twice"),
    ],
)
def test_columns_are_checked(header, cause, tmp_path):
    with pytest.raises(TrainerError, match=cause):
        read_loss_table(write(tmp_path / "runs.csv", *GOOD, header=header))


def test_a_run_with_the_numbers_of_another_is_named(tmp_path):
    copy = GOOD[0].replace("r0", "copy", 1)
    assert read_loss_table(write(tmp_path / "runs.csv", *GOOD, copy)).notes == (
        "runs.csv: runs 'r0' and 'copy' have the same numbers; both count",
    )


def test_a_target_among_the_runs_is_refused_and_an_empty_cell_is_left_out(tmp_path):
    table = read_loss_table(write(tmp_path / "runs.csv", *with_cell(1, 4, "")))
    assert np.isnan(table.losses["pile"]).sum() == 1
    with pytest.raises(TrainerError, match="small is smaller than the largest run, r3"):
        forecast_table(table, [Target(name="small", parameters=1e8, tokens=1e9, flops_per_token=6e8)])
