"""`watershed demo posttrain`: a small base model learns to answer, from chats, pairs and verified rewards."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog.settings import Settings
    from dagster_project.families.demo.posttrain import Seed


def run_posttrain(size: str, seeds: int, controls: bool) -> None:
    """Train every stage for each seed, store what they left in the lake through Dagster, and print what changed.

    Args:
        size: The name of a size.
        seeds: How many seeds, from 0 on.
        controls: Whether verified rewards are compared with random ones.

    Raises:
        WatershedError: a trainer failed.
    """
    from catalog.settings import load_settings
    from dagster_project.cli.screen.bars import Bars, wide_console
    from dagster_project.cli.screen.posttraining import print_posttraining, print_queries
    from dagster_project.families.demo.posttrain import SIZES, run_seed

    console, began, settings = wide_console(), time.monotonic(), load_settings()
    console.print(f"[dim]lake {settings.lake_root}\nDagster home {settings.dagster_home}[/]", soft_wrap=True)
    with Bars(console).listening():
        found = [run_seed(settings, SIZES[size], seed, controls=controls) for seed in range(seeds)]
        store(settings, found)
    print_posttraining(console, found)
    print_queries(console, settings)
    console.print(
        f"{time.monotonic() - began:,.0f} s. In Dagster, with curves and replies: `watershed ui`, table tulu.heldout. "
        f"An update computed again: `watershed tulu recompute demo-rlvr-0 {again(found[0])}`. "
        f"Runs are in {found[0].folder.parent}; docs/post_training.md describes them.",
        soft_wrap=True,
        markup=False,
    )


def name_of(stage: str, seed: int) -> str:
    """The name of a stage's run in the lake."""
    return f"demo-{stage.replace(' ', '-')}-{seed}"


def store(settings: Settings, seeds: Sequence[Seed]) -> None:
    """Record every run, and make the tables of runs."""
    from dagster_project.families.demo.posttrain import CONTROL
    from dagster_project.families.tulu.runs import record
    from dagster_project.jobs import TABLES
    from dagster_project.run import make_by_command

    for each in seeds:
        before = ""
        for stage in each.stages.values():
            data = each.files["rlvr" if stage.name == CONTROL else stage.name]
            started = name_of("dpo", each.seed) if stage.name == CONTROL else before
            record(settings, stage.run, run=name_of(stage.name, each.seed), data=[data], before=started)
            before = name_of(stage.name, each.seed)
    make_by_command(settings, TABLES["tulu_training"])


def again(seed: Seed) -> int:
    """The first update that follows a checkpoint of the run from verified rewards."""
    steps = sorted(int(path.name[5:]) for path in seed.stages["rlvr"].run.glob("step_*") if path.is_dir())
    return steps[0] + 1 if steps else 1
