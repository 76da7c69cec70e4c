"""Training of experts: pairs and vectors as files, and one process for all runs that are due."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.files import sha256_of
from catalog.tables.router import EXPERTS, MULTI_TASK
from dagster_project.engine.making import Making
from dagster_project.engine.trainer_process import start
from dagster_project.families.router.recipes import project_experts

if TYPE_CHECKING:
    import pyarrow as pa

ADAPTER = "adapter"


def train_experts(making: Making) -> pa.Table:
    """Train the runs of `making`, or resume them, and return their rows of `router.experts`.

    The folder of a run has the fingerprint of its partition in its name, so that other pairs or settings make another,
    and a run that has been trained before is not trained again.
    """
    import pyarrow as pa

    from spark_jobs.router.tables import training_pairs, write_vectors

    encoder = project_experts(making.settings)
    runs = {str(part.partition["run"]): part for part in making.parts if part.partition}
    places = {run: making.lake.folder(EXPERTS.name, run, part.fingerprint[:16]) for run, part in runs.items()}
    recipes = {run: making.recipe_of(part) for run, part in runs.items()}
    with tempfile.TemporaryDirectory() as folder:
        domains = sorted({each for recipe in recipes.values() for each in recipe["domains"]})
        pairs = training_pairs(making.lake, domains, Path(folder))
        vectors = Path(folder) / "documents.safetensors"
        write_vectors(making.lake, domains, vectors)
        shared = {
            "encoder": str(encoder.folder),
            "vectors": str(vectors),
            "trains": "query",
            "device": making.settings.trainer.device,
            "keep_checkpoints": 1,
        }
        left = [run for run in runs if not (places[run] / ADAPTER).is_dir()]
        each = [_configuration(run, recipes[run], pairs, places[run]) for run in left]
        if each:
            start(making, "trainers.embed", {**shared, "runs": each}, "experts", ranks=False)
    rows = [_row(making, run, recipes[run], places[run], encoder.stamp.digest) for run in runs]
    for place in places.values():
        making.wrote(place / ADAPTER)
    return pa.Table.from_pylist(rows, schema=EXPERTS.schema)


def _configuration(run: str, recipe: dict[str, Any], pairs: dict[str, Path], place: Path) -> dict[str, Any]:
    multi_task = recipe["expert"] == MULTI_TASK
    return {
        "run": run,
        "data": [str(pairs[MULTI_TASK if multi_task else recipe["expert"]])],
        "out": str(place),
        "adapters": {"rank": recipe["rank"]},
        "optimiser": {"learning_rate": recipe["learning_rate"]},
        **{name: recipe[name] for name in ("seed", "epochs", "batch", "temperature", "mined")},
    }


def _row(making: Making, run: str, recipe: dict[str, Any], place: Path, stamp: str) -> dict[str, Any]:
    from spark_jobs.retrieval.experts import ADAPTER_FILE

    result = json.loads((place / "result.json").read_text())
    return {
        "run": run,
        "expert": recipe["expert"],
        "seed": recipe["seed"],
        "pairs": result["pairs"],
        "steps": result["steps"],
        "parameters": result["trained_parameters"],
        "train_loss": result["train_loss"],
        "seconds": result["seconds"],
        "path": making.lake.relative(place / ADAPTER),
        "sha256": sha256_of(place / ADAPTER / ADAPTER_FILE),
        "stamp": stamp,
    }
