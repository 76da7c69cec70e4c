"""Training runs as rows of tables, from a trainer's `result.json`, `metrics.jsonl` and checkpoints.

The tables have the columns of `catalog.trained`. An asset names the shards, the folder of the run and the configuration
of `trainers.pretrain`; the trainer is a process of its own, and an interrupted run resumes from its last checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.lake import Lake
from dagster_project.engine.making import Making
from dagster_project.engine.side_by_side import worker_threads
from dagster_project.engine.trainer_process import start

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Trained:
    """The results of a run: a row of its table of models, rows of metrics, and counts to show."""

    checkpoint: pa.Table
    metrics: pa.Table
    counts: dict[str, Any]


def shard_folder(lake: Lake, table: str) -> Path:
    """Return the folder of the current data set of a table of shards, which contains `train` and `heldout`.

    Raises:
        WatershedError: The folder that the table names does not exist.
    """
    datasets = set(lake.read(table, ["dataset"])["dataset"].to_pylist())
    folder = lake.folder(table, *datasets)
    if len(datasets) != 1 or not folder.is_dir():
        raise WatershedError(f"{folder}: the folder of the shards does not exist", f"materialise {table} again")
    return folder


def train(making: Making, config: Mapping[str, Any], shards: Path, folder: Path, runs: int) -> Trained:
    """Train one of `runs` models at the same time in a process of its own, or resume it.

    Args:
        making: The asset execution that trains it.
        config: What decides the weights besides the shards: `preset`, and other fields of the trainer's configuration.
        shards: The folder of the data set.
        folder: The folder of the run.
        runs: How many runs train at the same time.
    """
    import pyarrow as pa

    from trainers.process.run_folder import read_metrics, read_result

    run = str(config.get("run") or config["preset"])
    places = {"shards": str(shards), "out": str(folder), "device": making.settings.trainer.device}
    start(making, "trainers.pretrain", {**config, **places, "workers": worker_threads(making.settings, runs)}, run)
    making.wrote(folder)
    result = read_result(folder)
    metrics = read_metrics(folder, result.get("metrics"))
    return Trained(
        pa.Table.from_pylist([_checkpoint_row(making.lake, folder, result)]),
        pa.Table.from_pylist([_metric_row(run, row) for row in metrics]),
        {
            "parameters": result["parameters"],
            "tokens": result["tokens"],
            "FLOPs": result["flops"],
            "tokens/s": result["tokens_per_s"],
            "epochs": max(result.get("epochs", [0.0])),
            "held-out bits per byte": result["heldout_bits_per_byte"],
        },
    )


def _checkpoint_row(lake: Lake, folder: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    from trainers.process.run_folder import read_config_json

    # A preset is SIZE-MULTIPLExC, in the case of letters that `trainers.pretraining.presets.canonical` gives.
    size, _, multiple = str(result["preset"]).rpartition("-")
    identity = read_config_json(folder)["identity"]
    return {
        "run": result["run"],
        "size": size,
        "chinchilla_multiple": float(multiple[:-2]),
        "parameters": result["parameters"],
        "tokens": result["tokens"],
        "flops": float(result["flops"]),
        "steps": result["steps"],
        "dataset": identity["dataset"],
        "train_loss": result["train_loss"],
        "heldout_bits_per_byte": result["heldout_bits_per_byte"],
        "seconds": result["seconds"],
        "tokens_per_second": result["tokens_per_s"],
        "path": lake.relative(folder / Path(result["checkpoint"]).name),
        "sha256": result["checkpoint_sha256"],
        "config": json.dumps(identity, sort_keys=True),
    }


def _metric_row(run: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run": run,
        "step": row["step"],
        "tokens": row["tokens"],
        "loss": row["loss"],
        "learning_rate": row["lr"],
        "grad_norm": row["grad_norm"],
        "tokens_per_second": row["tokens_per_s"],
    }


def batches(shards: Path, checkpoints: pa.Table, contract: Contract) -> pa.Table:
    """Return rows of a table of batches: the sequences that each training step read.

    Args:
        shards: The folder of the data set that the runs read.
        checkpoints: The runs, with the columns `run` and `config`.
        contract: The table of batches.
    """
    import pyarrow as pa

    from trainers.data.batches import rows_of
    from trainers.data.shards import check_manifest

    split = check_manifest(shards / "train", digests=False)
    rows = []
    for run in checkpoints.select(["run", "config"]).to_pylist():
        identity = json.loads(run["config"])
        for row in rows_of(identity, [split]):
            found = {"run": run["run"], "dataset": identity["dataset"], "split": "train"}
            rows.append(found | {name: row[name] for name in ("step", "shard", "sequences")})
    return pa.Table.from_pylist(rows, schema=contract.schema)


def small_curve(metrics: pa.Table) -> dg.MarkdownMetadataValue:
    """Return a small plot of the training loss over tokens, which Dagster shows in the page."""
    from dagster_project.engine.small_plots import line_plot

    return line_plot("training loss", metrics["tokens"].to_pylist(), metrics["loss"].to_pylist(), "nats per token")


def training_curve(metrics: pa.Table) -> dg.MarkdownMetadataValue:
    """Return a picture of the training loss over tokens."""
    from dagster_project.engine.pictures import markdown_picture

    def draw(axes: Any) -> None:
        axes.plot(metrics["tokens"].to_numpy(), metrics["loss"].to_numpy(), linewidth=1)
        axes.set_xlabel("tokens")
        axes.set_ylabel("training loss, nats per token")

    return markdown_picture(draw, "training loss over tokens")
