"""`watershed demo posttrain`: a small base model learns to answer, from chats, pairs and verified rewards."""

from __future__ import annotations

import time


def run_posttrain(size: str, seeds: int, controls: bool) -> None:
    """Train every stage for each seed, and print what changed.

    Args:
        size: The name of a size.
        seeds: How many seeds, from 0 on.
        controls: Whether verified rewards are compared with random ones.

    Raises:
        WatershedError: a trainer failed.
    """
    from catalog.settings import load_settings
    from dagster_project.cli.screen.bars import Bars, wide_console
    from dagster_project.cli.screen.posttraining import print_posttraining
    from dagster_project.families.demo.posttrain import SIZES, run_seed

    console, began, settings = wide_console(), time.monotonic(), load_settings()
    with Bars(console).listening():
        found = [run_seed(settings, SIZES[size], seed, controls=controls) for seed in range(seeds)]
    print_posttraining(console, found)
    console.print(
        f"{time.monotonic() - began:,.0f} s. Runs, rollouts and the loss of every row are in {found[0].folder.parent}; "
        "docs/post_training.md describes them.",
        soft_wrap=True,
        markup=False,
    )
