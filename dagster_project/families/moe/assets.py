"""The assets of the family `moe`: a mixture of experts, a dense model, and the routing of the mixture."""

from __future__ import annotations

from typing import Any

from catalog.tables.moe import BATCHES, COACTIVATION, DOMAINS, EXPERIMENTS, METRICS, MODELS, SATURATION, VOCABULARY
from dagster_project.engine.making import Making
from dagster_project.engine.table_asset import table_asset
from dagster_project.families.moe.analysis import RoutingRecipe, analyse
from dagster_project.families.moe.experiments import experiments_recipe, train_variants
from dagster_project.families.moe.training import curves, moe_recipe, train_both


@table_asset(MODELS, METRICS, BATCHES, code_version="1", recipe=moe_recipe, engine="torch")
def mixture_and_dense(making: Making) -> dict[str, Any]:
    """Trains a mixture of experts and a dense model on the shards, with about as many parameters for each token."""
    from dagster_project.families.models.training import batches

    models, metrics = train_both(making, making.recipe)
    making.replace(METRICS, metrics)
    making.replace(BATCHES, batches(making.lake, models))
    making.replace(MODELS, models)
    making.metadata["training"] = curves(metrics)
    losses = zip(models["run"].to_pylist(), models["heldout_bits_per_byte"].to_pylist(), strict=True)
    return {f"held-out bits per byte, {run}": loss for run, loss in losses}


@table_asset(
    SATURATION, COACTIVATION, DOMAINS, VOCABULARY, code_version="1", recipe=lambda *_: RoutingRecipe(), engine="torch"
)
def routing(making: Making) -> dict[str, Any]:
    """Runs the checkpoints of the mixture on held-out sequences. Domains are the hosts of the crawl."""
    tables = analyse(making, making.recipe)
    for contract in (COACTIVATION, DOMAINS, VOCABULARY, SATURATION):
        making.replace(contract, tables[contract.name])
    return {name: rows.num_rows for name, rows in tables.items()}


@table_asset(EXPERIMENTS, code_version="1", recipe=experiments_recipe, engine="torch")
def experiments(making: Making) -> dict[str, Any]:
    """Trains OLMoE's variants of a mixture on the same batches, one after another, with the default beside them."""
    rows = train_variants(making, making.recipe)
    making.replace(EXPERIMENTS, rows)
    losses = zip(rows["variant"].to_pylist(), rows["heldout_bits_per_byte"].to_pylist(), strict=True)
    return {f"held-out bits per byte, {variant}": loss for variant, loss in losses}
