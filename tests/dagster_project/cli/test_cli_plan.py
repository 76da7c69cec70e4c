"""`watershed plan` and `watershed ladder plan`, as typed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from dagster_project.cli import main


def watershed(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_the_plan_of_a_dclm_scale_is_one_json_object():
    plan = json.loads(watershed("plan", "--scale", "7B-1x", "--json").stdout)
    assert plan["parameters"] == plan["active_parameters"] == 6_889_410_560
    assert plan["tokens"] == 137_788_211_200
    assert plan["flops"] == pytest.approx(5.7e21, rel=0.01)
    assert plan["gpu_hours"] == pytest.approx(3700)
    assert plan["cost"] == pytest.approx(3700 * 2.5)
    # 3,700 hours of 700 W in a building with a PUE of 1.1, at 473 g CO2e a kWh.
    assert plan["kwh"] == pytest.approx(3700 * 0.7 * 1.1)
    assert plan["kg_co2e"] == pytest.approx(plan["kwh"] * 0.473)
    assert "8 x 700 W x 1.1 (PUE)" in plan["energy_assumptions"]
    assert plan["pool_tokens"] == 7_850_000_000_000
    assert plan["storage_bytes"] == pytest.approx(12.1e12, rel=0.01)
    assert 0 < plan["memory_per_gpu_bytes"] < 80e9


def test_parameters_and_tokens_may_have_units():
    plan = json.loads(watershed("plan", "--params", "6.9B", "--active", "1.3B", "--tokens", "5T", "--json").stdout)
    assert (plan["parameters"], plan["active_parameters"], plan["tokens"]) == (6_900_000_000, 1_300_000_000, 5 * 10**12)
    assert plan["flops"] == pytest.approx(6 * 1.3e9 * 5e12)


def test_the_plan_is_printed_with_one_line_per_number():
    output = watershed("plan", "--scale", "190M-5xC", "--price", "2").stdout
    assert "190,354,176" in output
    assert "19,035,417,600" in output
    assert "kg CO2e" in output and "Estimated, not measured" in output


def test_a_ladder_is_proposed_within_its_budget():
    plan = json.loads(watershed("ladder", "plan", "--target", "7B-4T", "--budget", "1%", "--json").stdout)
    assert plan["share"] <= 0.01
    assert sum(run["flops"] for run in plan["runs"]) == pytest.approx(plan["flops"])
    assert "GPU-hours" in watershed("ladder", "plan", "--target", "7B-4T", "--budget", "2e21").stdout


@pytest.mark.parametrize("scale", ["OLMoE-1B-7B", "olmoe-1b-7b", "OLMOE-1B-7B-0924"])
def test_a_released_model_is_planned_by_its_published_name(scale):
    found = json.loads(watershed("plan", "--scale", scale, "--json").stdout)
    # arXiv 2409.02060, table 1: 6.9B parameters, 1.3B of them active; 5 trillion tokens.
    assert found["parameters"] == 6_919_161_856
    assert found["active_parameters"] == pytest.approx(1.28e9, rel=0.01)
    assert found["tokens"] == 5 * 10**12
    assert found["flops"] == pytest.approx(6 * 1.28e9 * 5e12, rel=0.2)
    assert found["name"] == ("OLMoE-1B-7B-0924" if scale.endswith("0924") else "OLMoE-1B-7B")


def test_the_model_of_dclm_is_planned_by_its_published_name():
    found = json.loads(watershed("plan", "--scale", "DCLM-7B", "--json").stdout)
    assert (found["parameters"], found["tokens"]) == (6_889_410_560, 25 * 10**11)
    assert found["flops"] == pytest.approx(6 * 6_889_410_560 * 2.5e12)


@pytest.mark.parametrize(
    ("scale", "name"),
    [("190m-1xc", "190M-1xC"), ("DCLM-7b-2XC", "dclm-7B-2xC"), ("7b-1X", "7B-1x"), ("1b-5xc", "1B-5xC")],
)
def test_the_case_of_letters_does_not_matter(scale, name):
    found, published = (json.loads(watershed("plan", "--scale", each, "--json").stdout) for each in (scale, name))
    assert found == published
    assert found["name"] == name


def test_a_target_and_a_gpu_are_found_in_either_case():
    outputs = (
        watershed("ladder", "plan", "--target", each, "--budget", "1%", "--json").stdout for each in ("7B-4T", "7b-4t")
    )
    target, lower = (json.loads(each) for each in outputs)
    assert lower["runs"] == target["runs"]
    assert json.loads(watershed("plan", "--scale", "7B-1x", "--gpu", "H100", "--json").stdout)["gpu"] == "h100"


def test_a_miss_names_what_comes_close_in_one_line():
    result = watershed("plan", "--scale", "OLMoE-1B-8B")
    cause = result.stderr.splitlines()[0]
    assert result.exit_code == 2
    assert cause.startswith("error: no model size is called 'OLMoE-1B-8B'; close: ")
    assert "OLMoE-1B-7B" in cause


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("plan",), "one of --scale and --params"),
        (("plan", "--scale", "9B-1x"), "no DCLM scale"),
        (("plan", "--scale", "9B-1xC"), "no model size"),
        (("plan", "--scale", "190M"), "'190M' names no Chinchilla multiple"),
        (("plan", "--params", "7B"), "--params is given without --tokens"),
        (("plan", "--params", "many", "--tokens", "1B"), "'many' is not a number"),
        (("plan", "--scale", "7B-1x", "--gpu", "abacus"), "no GPU is called"),
        (("ladder", "plan", "--target", "7B-4T", "--budget", "0%"), "is not positive"),
        (("ladder", "plan", "--target", "7B-4T", "--budget", "1e9"), "too small"),
    ],
)
def test_an_impossible_plan_is_refused_with_cause_and_exit_code_2(arguments, cause):
    result = watershed(*arguments)
    assert result.exit_code == 2
    assert cause in result.stderr
    assert "mend:" in result.stderr


def test_the_plan_of_a_datastore_of_papers():
    plan = json.loads(watershed("plan", "--papers", "45M", "--json").stdout)
    assert (plan["papers"], plan["passages"], plan["segments"]) == (45_000_000, 236_000_000, 30)
    assert plan["vector_bytes"] == plan["passages"] * plan["measured"]["dimensions"] * 2
    output = watershed("plan", "--papers", "45M").stdout
    assert "236,000,000" in output and "bytes a passage" in output and "engine" in output
    refused = watershed("plan", "--papers", "45M", "--scale", "7B-1x")
    assert refused.exit_code == 2 and "--papers plans a datastore" in refused.stderr
