"""The sizes of the demo: their order, their targets, and the choices of the command line."""

from __future__ import annotations

import pytest

from dagster_project.cli.demo import demo_command
from dagster_project.families.demo.sizes import SIZES, DemoSize
from trainers.pretraining.presets import plan, run_name


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_the_targets_are_well_above_their_ladder(size: DemoSize) -> None:
    ladder = size.ladder
    runs = [plan(run) for run in ladder.runs]
    target, *others = (plan(target) for target in ladder.targets)
    assert not set(ladder.targets) & set(ladder.runs)
    assert len(runs) == len(ladder.sizes) * len(ladder.multiples)
    assert target["flops"] >= 3 * max(run["flops"] for run in runs)
    assert target["parameters"] > max(run["parameters"] for run in runs)
    assert all(other["flops"] >= 1.9 * max(run["flops"] for run in runs) for other in others)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_longer_run_of_a_ladder_costs_more(size: DemoSize) -> None:
    for name in size.ladder.sizes:
        costs = [plan(run_name(name, multiple))["flops"] for multiple in size.ladder.multiples]
        assert costs == sorted(costs)


def test_a_larger_demo_has_more_of_everything() -> None:
    for smaller, larger in zip(list(SIZES.values()), list(SIZES.values())[1:], strict=False):
        assert smaller.crawl.pages < larger.crawl.pages
        assert smaller.crawl.max_html_bytes < larger.crawl.max_html_bytes
        assert smaller.questions_per_task < larger.questions_per_task
        assert plan(smaller.moe_run)["flops"] < plan(larger.moe_run)["flops"]


def test_the_demo_offers_every_size() -> None:
    (option,) = (parameter for parameter in demo_command.params if parameter.name == "size")
    assert list(getattr(option.type, "choices", ())) == list(SIZES)
