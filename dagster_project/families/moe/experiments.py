"""OLMoE's experiments with mixtures at small scale: variants beside the default, trained on the same batches."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.settings import Settings
from dagster_project.engine.making import Making
from dagster_project.engine.trainer_process import start
from dagster_project.families.demo.sizes import size_of
from dagster_project.families.models.training import shard_folder
from dagster_project.families.moe.training import loads

if TYPE_CHECKING:
    import pyarrow as pa

DENSE, DEFAULT, TOP_2 = "dense", "default", "top_2"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One experiment."""

    name: str
    question: str
    compared_with: str
    model: Mapping[str, Any]
    """Fields of the trainer's MoEConfig, `hidden_shares` in place of `hidden`; {} is the dense model."""
    upcycled: bool = False
    """Whether the run begins with the weights of the dense one."""


VARIANTS = (
    Variant(name=DENSE, question="one feed-forward layer", compared_with=DEFAULT, model={}),
    Variant(
        name=DEFAULT,
        question="16 experts, 4 a token",
        compared_with=DEFAULT,
        model={"experts": 16, "experts_per_token": 4, "hidden_shares": 4},
    ),
    Variant(
        name="shared",
        question="one of the four experts of a token is the same for all",
        compared_with=DEFAULT,
        model={"experts": 15, "experts_per_token": 3, "shared_experts": 1, "hidden_shares": 4},
    ),
    Variant(
        name="expert_choice",
        question="experts choose their tokens",
        compared_with=DEFAULT,
        model={"experts": 16, "experts_per_token": 4, "choice": "expert", "hidden_shares": 4},
    ),
    Variant(
        name="coarse",
        question="experts of four times the size, a quarter as many",
        compared_with=DEFAULT,
        model={"experts": 4, "experts_per_token": 1, "hidden_shares": 1},
    ),
    Variant(
        name="fine",
        question="experts of half the size, twice as many",
        compared_with=DEFAULT,
        model={"experts": 32, "experts_per_token": 8, "hidden_shares": 8},
    ),
    Variant(
        name="more_experts",
        question="twice as many experts to choose from",
        compared_with=DEFAULT,
        model={"experts": 32, "experts_per_token": 4, "hidden_shares": 4},
    ),
    Variant(
        name=TOP_2,
        question="the shape of upcycled, from scratch",
        compared_with=TOP_2,
        model={"experts": 4, "experts_per_token": 2, "renormalise": True, "hidden_shares": 1},
    ),
    Variant(
        name="upcycled",
        question="each expert begins as the layer of the trained dense model",
        compared_with=TOP_2,
        model={"experts": 4, "experts_per_token": 2, "renormalise": True, "hidden_shares": 1},
        upcycled=True,
    ),
)


@dataclass(frozen=True, kw_only=True)
class ExperimentsRecipe:
    """The choices of all runs, besides the shards."""

    run: str
    """The preset of the dense model. All variants read the same batches, with the same learning rate."""
    variants: Sequence[Variant] = VARIANTS


def experiments_recipe(settings: Settings, *_: Any) -> ExperimentsRecipe:
    """Return the recipe for the configured size of the demo."""
    return ExperimentsRecipe(run=size_of(settings).moe_run)


def configuration(recipe: ExperimentsRecipe, variant: Variant) -> dict[str, Any]:
    """Return the trainer's configuration of a variant, without its folders."""
    from trainers.pretraining.presets import parse

    run = {"preset": recipe.run, "run": f"{recipe.run}-{variant.name}"}
    if not variant.model:
        return run
    scale, _ = parse(recipe.run)
    fields = {name: value for name, value in variant.model.items() if name != "hidden_shares"}
    return run | {"model": {"kind": "moe", **fields, "hidden": scale.hidden // variant.model["hidden_shares"]}}


def train_variants(making: Making, recipe: ExperimentsRecipe) -> pa.Table:
    """Train each variant in its own process, or resume it, and return the rows of moe.experiments."""
    import pyarrow as pa

    from catalog.tables.moe import EXPERIMENTS

    root = making.lake.folder(EXPERIMENTS.name, shard_folder(making.lake).name)
    rows = []
    for variant in recipe.variants:
        folder = root / f"{recipe.run}-{variant.name}"
        config = configuration(recipe, variant) | {"shards": str(shard_folder(making.lake)), "out": str(folder)}
        if variant.upcycled:
            config |= {"init": str(root / f"{recipe.run}-{DENSE}")}
        start(making, "trainers.pretrain", config | {"device": making.settings.trainer.device}, variant.name)
        making.wrote(folder)
        rows.append(variant_row(variant, folder, making.lake.relative(folder)))
    return pa.Table.from_pylist(with_differences(rows), schema=EXPERIMENTS.schema)


def variant_row(variant: Variant, folder: Path, place: str) -> dict[str, Any]:
    """Return the row of a finished run, without its difference.

    Args:
        variant: The experiment.
        folder: The folder of the run.
        place: The folder as the table stores it.
    """
    from trainers.process.run_folder import read_config_json, read_metrics, read_result

    result, identity = read_result(folder), read_config_json(folder)["identity"]
    metrics = read_metrics(folder, result.get("metrics"))
    model = identity["model"]
    choice = model.get("choice", "token")
    last = metrics[-max(1, len(metrics) // 4) :]
    # `dropped` counts over layers and the tokens of one step.
    read = model["layers"] * identity["batch"] * model["sequence_length"]
    same = ("parameters", "total_parameters", "active_parameters", "tokens", "steps", "train_loss", "seconds")
    return {
        **{name: result[name] for name in (*same, "heldout_bits_per_byte")},
        **loads(model, metrics),
        "variant": variant.name,
        "question": variant.question,
        "compared_with": variant.compared_with,
        "experts": model.get("experts", 0),
        "experts_per_token": model.get("experts_per_token", 0),
        "shared_experts": model.get("shared_experts", 0),
        "choice": choice,
        "hidden": model["hidden"],
        "upcycled": variant.upcycled,
        "causal": choice == "token",
        "unread": sum(row["dropped"] for row in last) / len(last) / read if choice == "expert" else None,
        "flops": float(result["flops"]),
        "dataset": identity["dataset"],
        "tokens_per_second": result["tokens_per_s"],
        "path": f"{place}/{Path(result['checkpoint']).name}",
        "sha256": result["checkpoint_sha256"],
        "config": json.dumps(identity, sort_keys=True),
    }


def with_differences(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with the difference of each from the variant that it is compared with."""
    by_name = {row["variant"]: row for row in rows}
    found = []
    for row in rows:
        other = by_name[row["compared_with"]]
        both = row["causal"] and other["causal"]
        difference = row["heldout_bits_per_byte"] - other["heldout_bits_per_byte"] if both else None
        found.append({**row, "difference": difference})
    return found
