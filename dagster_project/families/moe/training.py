"""Training of a mixture of experts and a dense model on the same shards, as rows of tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from catalog.settings import Settings
from dagster_project.engine.making import Making
from dagster_project.engine.trainer_process import start
from dagster_project.families.demo.sizes import size_of
from dagster_project.families.models.training import shard_folder

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class MoERecipe:
    """The choices of both models, besides the shards."""

    run: str
    """The preset of the dense model. The mixture of experts reads the same batches, with the same learning rate."""
    experts: int = 16
    experts_per_token: int = 4
    hidden_shares: int = 4
    """The hidden width of the dense layer divided by that of an expert. With 4, the four active experts together are as
    wide as the dense layer."""
    checkpoints: int = 8
    """The number of checkpoints of a run. Each is a point of the saturation curve."""


def moe_recipe(settings: Settings, *_: Any) -> MoERecipe:
    """Return the recipe for the configured size of the demo."""
    return MoERecipe(run=size_of(settings).moe_run)


def configurations(recipe: MoERecipe) -> dict[str, dict[str, Any]]:
    """Return the configurations of the trainer by name of run, the dense model first."""
    from trainers.pretraining.presets import parse

    scale, _ = parse(recipe.run)
    mixture = {
        "kind": "moe",
        "experts": recipe.experts,
        "experts_per_token": recipe.experts_per_token,
        "hidden": scale.hidden // recipe.hidden_shares,
    }
    names = {"dense": recipe.run, "moe": f"{recipe.run}-moe"}
    return {
        names["dense"]: {"preset": recipe.run, "run": names["dense"]},
        names["moe"]: {"preset": recipe.run, "run": names["moe"], "model": mixture},
    }


def train_both(making: Making, recipe: MoERecipe) -> tuple[pa.Table, pa.Table]:
    """Train each model in its own process, or resume it, and return the rows of moe.models and moe.metrics."""
    import pyarrow as pa

    from catalog.tables.moe import METRICS, MODELS
    from dagster_project.families.dclm.recipes import SEQUENCE_LENGTH, VOCABULARY
    from trainers.pretraining.presets import preset
    from trainers.process.run_folder import read_metrics, read_result

    models, metrics = [], []
    for run, config in configurations(recipe).items():
        every = -(-preset(config["preset"], VOCABULARY, SEQUENCE_LENGTH).steps // recipe.checkpoints)
        folder = run_folder(making, run)
        often = {"checkpoint_every": every, "keep_checkpoints": 0, "evaluate_every": every}
        places = {"shards": str(shard_folder(making.lake)), "out": str(folder)}
        start(making, "trainers.pretrain", config | often | places | {"device": making.settings.trainer.device}, run)
        making.wrote(folder)
        rows = read_metrics(folder, read_result(folder).get("metrics"))
        models.append(_model_row(making, folder, rows))
        metrics += [{name: row.get(name) for name in METRICS.schema.names} | {"run": run} for row in rows]
    return (pa.Table.from_pylist(models, schema=MODELS.schema), pa.Table.from_pylist(metrics, schema=METRICS.schema))


def run_folder(making: Making, run: str) -> Path:
    """Return the folder of a run of moe.models."""
    return making.lake.folder("moe.models", shard_folder(making.lake).name, run)


def _model_row(making: Making, folder: Path, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    from trainers.process.run_folder import read_config_json, read_result

    result, identity = read_result(folder), read_config_json(folder)["identity"]
    model = identity["model"]
    same = ("run", "parameters", "total_parameters", "active_parameters", "tokens", "steps", "train_loss", "seconds")
    return {
        **{name: result[name] for name in (*same, "heldout_bits_per_byte")},
        **loads(model, metrics),
        "kind": model["kind"],
        "experts": model.get("experts", 0),
        "experts_per_token": model.get("experts_per_token", 0),
        "flops": float(result["flops"]),
        "dataset": identity["dataset"],
        "tokens_per_second": result["tokens_per_s"],
        "path": making.lake.relative(folder / Path(result["checkpoint"]).name),
        "sha256": result["checkpoint_sha256"],
        "config": json.dumps(identity, sort_keys=True),
    }


def loads(model: Mapping[str, Any], metrics: list[dict[str, Any]]) -> dict[str, float | None]:
    """Return the loads of the least and most used expert over an even share, as means of the last quarter of rows."""
    import numpy as np

    if model["kind"] != "moe":
        return {"smallest_load": None, "largest_load": None}
    last = metrics[-max(1, len(metrics) // 4) :]
    load_LE = np.mean([row["expert_load"] for row in last], axis=0) * model["experts"] / model["experts_per_token"]
    return {"smallest_load": float(load_LE.min()), "largest_load": float(load_LE.max())}


def curves(metrics: pa.Table) -> dg.MarkdownMetadataValue:
    """Return a picture of the training loss of both runs over tokens."""
    import pyarrow.compute as pc

    from dagster_project.engine.pictures import markdown_picture

    def draw(axes: Any) -> None:
        for run in dict.fromkeys(metrics["run"].to_pylist()):
            rows = metrics.filter(pc.field("run") == run)
            axes.plot(rows["tokens"].to_numpy(), rows["loss"].to_numpy(), linewidth=1, label=run)
        axes.set_xlabel("tokens")
        axes.set_ylabel("training loss, nats per token")
        axes.legend(frameon=False)

    return markdown_picture(draw, "training loss of both models over tokens")


def json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
