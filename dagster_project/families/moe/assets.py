"""A mixture of experts beside a dense model, and how the mixture routes."""

from __future__ import annotations

from typing import Any

from catalog.tables.moe import BATCHES, COACTIVATION, DOMAINS, METRICS, MODELS, SATURATION, VOCABULARY
from dagster_project.engine.table_asset import Making, table_asset
from dagster_project.families.moe import training as moe


@table_asset(
    MODELS, METRICS, BATCHES, code_version="1", literals=lambda settings, _: moe.literals(settings), engine="torch"
)
def mixture_and_dense(making: Making) -> dict[str, Any]:
    """Trains both on the shards, with as many parameters a token; resumes from their own checkpoints."""
    from dagster_project.families.models.training import batches

    models, metrics = moe.train_both(making)
    making.replace(METRICS, metrics)
    making.replace(BATCHES, batches(making.lake, models))
    making.replace(MODELS, models)
    making.metadata["training"] = moe.curves(metrics)
    losses = zip(models["run"].to_pylist(), models["heldout_bits_per_byte"].to_pylist(), strict=True)
    return {f"held-out bits per byte, {run}": loss for run, loss in losses}


@table_asset(SATURATION, COACTIVATION, DOMAINS, VOCABULARY, code_version="1", engine="torch")
def routing(making: Making) -> dict[str, Any]:
    """Runs the mixture's checkpoints over held-out sequences; domains are the hosts of the crawl."""
    tables = moe.analyse(making)
    for contract in (COACTIVATION, DOMAINS, VOCABULARY, SATURATION):
        making.replace(contract, tables[contract.name])
    return {name: rows.num_rows for name, rows in tables.items()}
