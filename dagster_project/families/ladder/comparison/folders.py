"""Comparison of two folders of documents that the lake has never seen; see `folder_data`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from catalog.lake import Lake
from catalog.settings import Settings
from dagster_project.families.dclm.recipes import SEQUENCE_LENGTH, VOCABULARY, shard_recipe
from dagster_project.families.ladder.comparison.decide import Comparison, Plan, compare_on, scales
from dagster_project.families.ladder.comparison.runs import Asked

if TYPE_CHECKING:
    from dagster_project.families.ladder.comparison.folder_data import Folders


def compare_folders(  # noqa: PLR0917 - as make_plan and compare take them
    settings: Settings,
    folders: Folders,
    target: str,
    sizes: Sequence[str],
    seeds: int,
    check: bool,
    log: Callable[[str], None],
) -> Comparison:
    """Train small models on both folders, decide which is better, and store the decision.

    Args:
        settings: The settings of the project. Its lake keeps the shards and runs; no table of it is read.
        folders: What is compared, and what both sides are asked.
        target: The target, as size-multiplexC. The default is the first target of the ladder.
        sizes: The small runs. The default is the sizes of the ladder.
        seeds: The number of seeds of every run.
        check: Whether to train the targets too, and to store whether the decision held.
        log: Receives a line of text for every run that ends.

    Raises:
        WatershedError: A file cannot be read, a folder has too little text, or a run failed.
    """
    from dagster_project.families.ladder.comparison.folder_data import write_folders
    from trainers.pretraining.presets import plan as plan_run

    runs, target = scales(settings, target, sizes, seeds)
    tokens = plan_run(target, VOCABULARY, SEQUENCE_LENGTH)["tokens"]
    root = Lake.of(settings).folder("ladder.comparison_runs", "folders")
    written = write_folders(folders, root, tokens, VOCABULARY, shard_recipe())
    first, second = (dataset.mixture for dataset in written.datasets)
    plan = Plan(
        first=first,
        second=second,
        runs=runs,
        target=target,
        seeds=seeds,
        tasks=tuple(sorted(written.tasks)),
        asked=folders.asked,
    )
    asked = Asked(identity=written.identity, questions=written.questions, shards=written.heldout)
    return compare_on(settings, plan, written.datasets, asked, check=check, log=log)
