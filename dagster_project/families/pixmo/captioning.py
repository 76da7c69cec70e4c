"""Training of models of pictures on the shards, and their answers, in processes of their own."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.lake import Lake
from catalog.settings import Settings
from catalog.tables.pixmo import CAPTIONERS, SHARDS
from dagster_project.engine.making import Making
from dagster_project.engine.trainer_process import start

FIRST = ("cap", "points", "count")
"""The data sets of the stage captions."""
SECOND = (*FIRST, "cap_qa", "clocks")
"""Those of the other stages. A picture is read once for all that they say of it."""
RATE, WARMUP = 2e-3, 60
"""For a model that is trained from nothing."""
LATER = {"vision": 1.5e-3, "connector": 3e-3, "decoder": 3e-3}
"""The rates once the transformer has begun to learn and the decoder begins."""
OPTIMISER = {"z_loss": 0.0, "matrices": "muon"}
GROUNDING, AIMING = 0.5, 2.0
"""Weights of the two losses that teach a new model where things are; see docs/vision.md."""


@dataclass(frozen=True)
class CaptionerRecipe:
    """What decides the models, besides the shards."""

    dense: int
    captions: int
    mixture: int
    blind: int
    batch: int
    seed: int


def captioner_recipe(settings: Settings, _: Any) -> CaptionerRecipe:
    """Return the steps, batch and seed of `[captioner]`."""
    chosen = settings.captioner
    return CaptionerRecipe(chosen.dense, chosen.captions, chosen.mixture, chosen.blind, chosen.batch, chosen.seed)


def configurations(lake: Lake, recipe: CaptionerRecipe, folder: Path) -> dict[str, dict[str, Any]]:
    """The configuration of each stage, in order; captions and mixture go on from the one before them."""
    rows = lake.read(SHARDS.name, ["split", "path"]).to_pylist()
    tars = sorted(str(lake.files / row["path"]) for row in rows if row["split"] == "train")
    held = {
        row["dataset"]
        for row in lake.read("pixmo.samples", ["dataset", "split"]).to_pylist()
        if row["split"] == "train"
    }

    def sources(datasets: tuple[str, ...]) -> dict[str, Any]:
        taken = [name for name in datasets if name in held]
        joined = {"group": "pictures", "shards": tars, "datasets": taken, "joined": True}
        return {"sources": {"pictures": joined}, "groups": {"pictures": 1.0}}

    shared = {
        "batch": recipe.batch,
        "seed": recipe.seed,
        "dropout": 0.0,
        "keep_checkpoints": 1,
        "optimiser": OPTIMISER,
        "rates": dict.fromkeys(("vision", "connector", "decoder"), RATE),
        "warmups": dict.fromkeys(("vision", "connector", "decoder"), WARMUP),
    }
    seen = {"grounding": GROUNDING, "aiming": AIMING}
    after = {"rates": LATER}
    return {
        "dense": {
            **shared,
            **sources(SECOND),
            "stage": "dense",
            "grounding": 1.0,
            "steps": recipe.dense,
            "optimiser": {**OPTIMISER, "final_fraction": 0.25},
            "out": str(folder / "dense"),
        },
        "captions": {
            **shared,
            **seen,
            **sources(FIRST),
            **after,
            "model": str(folder / "dense"),
            "steps": recipe.captions,
            # The rate stays high, because the next stage goes on with it.
            "optimiser": {**OPTIMISER, "final_fraction": 0.5},
            "out": str(folder / "captions"),
        },
        "mixture": {
            **shared,
            **seen,
            **sources(SECOND),
            **after,
            "stage": "mixture",
            "model": str(folder / "captions"),
            "steps": recipe.mixture,
            "out": str(folder / "mixture"),
        },
        "blind": {
            **shared,
            **sources(SECOND),
            "stage": "mixture",
            "blind": True,
            "steps": recipe.blind,
            "out": str(folder / "blind"),
        },
    }


def train_captioners(making: Making) -> list[dict[str, Any]]:
    """Train the stages, or resume them, and return their rows."""
    from catalog.files import sha256_of

    lake, folder = making.lake, making.lake.folder(CAPTIONERS.name, making.fingerprint)
    dataset = lake.read("pixmo.shards", columns=["dataset"])["dataset"][0].as_py()
    found = []
    for stage, chosen in configurations(lake, making.recipe, folder).items():
        config = {**chosen, "device": making.settings.trainer.device, "run": stage}
        start(making, "trainers.caption", config, stage, ranks=False)
        result = json.loads((Path(config["out"]) / "result.json").read_text())
        place = Path(result["checkpoint"])
        found.append(
            {
                "stage": stage,
                "steps": result["steps"],
                "tokens": result["tokens"],
                "parameters": result["parameters"],
                "train_loss": result["train_loss"],
                "seconds": result["seconds"],
                "path": lake.relative(place),
                "sha256": sha256_of(place / "model.pt"),
                "dataset": dataset,
            }
        )
    making.wrote(folder)
    return found


def ask(making: Making, model: str, asked: list[dict[str, Any]], *, blind: bool) -> list[str]:
    """The replies of a stage's model, in the order of the questions (id, picture, question)."""
    lake = making.lake
    (row,) = [row for row in lake.read(CAPTIONERS.name).to_pylist() if row["stage"] == model]
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder) / "asked.jsonl", Path(folder) / "replies.jsonl"
        given.write_text("".join(json.dumps(each) + "\n" for each in asked))
        config: dict[str, Any] = {
            "model": str(lake.files / row["path"]),
            "asked": str(given),
            "out": str(out),
            "blind": blind,
        }
        config |= {"device": making.settings.trainer.device, "batch": 64, "most": 200}
        start(making, "trainers.answer_pictures", config, f"replies of {model}", ranks=False)
        return [json.loads(line)["reply"] for line in out.read_text().splitlines()]
