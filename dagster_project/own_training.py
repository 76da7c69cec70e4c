"""The assets of models that are trained on a project's mixtures: a step for each mixture whose recipe has `train`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from catalog.errors import WatershedError
from catalog.projects.mixture_models import ModelTables
from catalog.projects.mixture_tables import Mixture
from catalog.settings import Settings
from dagster_project.engine.making import Making
from dagster_project.engine.table_asset import table_asset


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The runs of a mixture by name, each with the fields of its configuration that decide its weights."""

    configs: Mapping[str, Mapping[str, Any]]
    fault: WatershedError | None = None
    """Why they cannot be trained. It is raised when they are, so that what else is due can be listed."""


def models_asset(mixture: Mixture, tables: ModelTables) -> dg.AssetsDefinition:
    """The asset that trains the models of a mixture."""

    def body(making: Making) -> dict[str, Any]:
        """Trains the models of the recipe on the shards. An interrupted run resumes from its last checkpoint."""
        return train_models(making, mixture, tables)

    # Dagster names the step so, and steps of other families must have other names.
    body.__name__ = f"mixture__{mixture.recipe.name}_models"
    return table_asset(
        *tables.contracts,
        code_version="1",
        recipe=lambda settings, _: runs_of(settings, mixture),
        identity=identity,
        engine="torch",
    )(body)


def runs_of(_settings: Settings, mixture: Mixture) -> Runs:
    """The runs that the recipe of a mixture names, by the names that they have in the table of models."""
    from trainers.pretraining.presets import canonical
    from trainers.process.errors import TrainerError

    configs: dict[str, Mapping[str, Any]] = {}
    for each in mixture.recipe.train:
        try:
            preset = canonical(each.preset)
        except TrainerError as error:
            return Runs(configs={}, fault=WatershedError(f"{mixture.recipe.path}: train: {error.cause}", error.mend))
        configs[each.run or preset] = {"preset": preset, **each.fields}
    return Runs(configs=configs)


def identity(runs: Runs) -> Any:
    """What decides the models, beside the shards."""
    return {"runs": {name: dict(config) for name, config in runs.configs.items()}, "fault": str(runs.fault or "")}


def train_models(making: Making, mixture: Mixture, tables: ModelTables) -> dict[str, Any]:
    """Train the models that are not trained yet, and replace the tables of all."""
    import pyarrow as pa

    from catalog.fingerprint import fingerprint
    from dagster_project.engine.side_by_side import parallel_runs, side_by_side
    from dagster_project.engine.training import batches, shard_folder, small_curve, train, training_curve
    from trainers.data.shards import check_manifest

    runs: Runs = making.recipe
    if runs.fault:
        raise runs.fault
    shards = shard_folder(making.lake, mixture.shards.name)
    digests = [check_manifest(shards / split, digests=False).digest for split in ("train", "heldout")]

    def trained(run: str) -> Any:
        config = runs.configs[run]
        # The trainer refuses the folder of another configuration, and of shards from which a document was removed.
        name = f"{run}.{fingerprint(dict(config), digests)}"
        folder = making.lake.folder(tables.models.name, shards.name, name)
        return train(making, {**config, "run": run}, shards, folder, len(runs.configs))

    made = side_by_side(trained, list(runs.configs), parallel_runs(making.settings))
    models = pa.concat_tables([each.checkpoint for each in made], promote_options="default")
    making.replace(tables.metrics, pa.concat_tables([each.metrics for each in made], promote_options="default"))
    making.replace(tables.batches, batches(shards, models, tables.batches))
    making.replace(tables.models, models)
    counts: dict[str, Any] = {}
    for run, each in zip(runs.configs, made, strict=True):
        making.metadata |= {f"training, {run}": small_curve(each.metrics)}
        making.metadata |= {f"training, {run}, large": training_curve(each.metrics)}
        counts |= {f"{name}, {run}": count for name, count in each.counts.items()}
    return counts
