"""Training on the shards of the crawl, as rows of the tables of models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from catalog.lake import Lake
from catalog.tables.models import BATCHES, SHARDS
from dagster_project.engine import training
from dagster_project.engine.making import Making
from dagster_project.engine.training import Trained

if TYPE_CHECKING:
    import pyarrow as pa


def shard_folder(lake: Lake) -> Path:
    """Return the folder of the current data set, which contains `train` and `heldout`.

    Raises:
        WatershedError: The folder that dclm.shards names does not exist.
    """
    return training.shard_folder(lake, SHARDS)


def train(making: Making, run: str, runs: int) -> Trained:
    """Train `run`, one of `runs` at the same time, on the lake's shards in a process of its own.

    An interrupted run resumes from its last checkpoint.
    """
    shards = shard_folder(making.lake)
    folder = making.lake.folder("models.checkpoints", shards.name, run)
    return training.train(making, {"preset": run}, shards, folder, runs)


def batches(lake: Lake, checkpoints: pa.Table) -> pa.Table:
    """Return rows of models.batches or moe.batches: the sequences that each training step read.

    Args:
        lake: The lake whose shards were read.
        checkpoints: The runs, with the columns `run` and `config`.
    """
    return training.batches(shard_folder(lake), checkpoints, BATCHES)
