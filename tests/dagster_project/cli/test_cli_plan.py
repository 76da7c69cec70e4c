"""`watershed plan` and `watershed ladder plan`, as typed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from dagster_project.cli import main


def watershed(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_a_dclm_scale_is_reckoned_as_one_json_object():
    said = json.loads(watershed("plan", "--scale", "7B-1x", "--json").stdout)
    assert said["parameters"] == said["active_parameters"] == 6_889_410_560
    assert said["tokens"] == 137_788_211_200
    assert said["flops"] == pytest.approx(5.7e21, rel=0.01)
    assert said["gpu_hours"] == pytest.approx(3700)
    assert said["cost"] == pytest.approx(3700 * 2.5)
    assert said["pool_tokens"] == 7_850_000_000_000
    assert said["storage_bytes"] == pytest.approx(12.1e12, rel=0.01)
    assert 0 < said["memory_per_gpu_bytes"] < 80e9


def test_parameters_and_tokens_may_be_said_in_words():
    said = json.loads(watershed("plan", "--params", "6.9B", "--active", "1.3B", "--tokens", "5T", "--json").stdout)
    assert (said["parameters"], said["active_parameters"], said["tokens"]) == (6_900_000_000, 1_300_000_000, 5 * 10**12)
    assert said["flops"] == pytest.approx(6 * 1.3e9 * 5e12)


def test_people_read_a_line_a_number():
    said = watershed("plan", "--scale", "190M-5xC", "--price", "2").stdout
    assert "190,354,176" in said
    assert "19,035,417,600" in said


def test_a_ladder_is_proposed_within_its_budget():
    said = json.loads(watershed("ladder", "plan", "--target", "7B-4T", "--budget", "1%", "--json").stdout)
    assert said["share"] <= 0.01
    assert sum(run["flops"] for run in said["runs"]) == pytest.approx(said["flops"])
    assert "GPU-hours" in watershed("ladder", "plan", "--target", "7B-4T", "--budget", "2e21").stdout


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("plan",), "one of --scale and --params"),
        (("plan", "--scale", "9B-1x"), "no DCLM scale"),
        (("plan", "--scale", "9B-1xC"), "no model size"),
        (("plan", "--params", "7B"), "--params without --tokens"),
        (("plan", "--params", "many", "--tokens", "1B"), "'many' is no number"),
        (("plan", "--scale", "7B-1x", "--gpu", "abacus"), "no GPU is called"),
        (("ladder", "plan", "--target", "7B-4T", "--budget", "0%"), "is nothing"),
        (("ladder", "plan", "--target", "7B-4T", "--budget", "1e9"), "too small"),
    ],
)
def test_what_cannot_be_reckoned_says_why_and_exits_with_2(arguments, cause):
    said = watershed(*arguments)
    assert said.exit_code == 2
    assert cause in said.stderr
    assert "mend:" in said.stderr
