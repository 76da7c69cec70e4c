"""The assets of DCLM's registry: the data sets, models and evaluations that DCLM published."""

from __future__ import annotations

from typing import Any

from catalog.tables import evals, models
from dagster_project.engine.making import Making
from dagster_project.engine.table_asset import table_asset
from spark_jobs.registry.dclm_files import digest, read_registry, registry_folder


@table_asset(
    evals.REGISTRY,
    evals.REGISTRY_SCORES,
    models.REGISTRY,
    models.REGISTRY_DATASETS,
    code_version="1",
    recipe=lambda settings, _: registry_folder(settings),
    identity=digest,
)
def registered(making: Making) -> dict[str, Any]:
    """Reads the JSON files in `[registry] folder`. All files are read before the first row is written."""
    from trainers.icl.aggregate import aggregates

    tables = read_registry(making.recipe, aggregates)
    for contract in (models.REGISTRY_DATASETS, models.REGISTRY, evals.REGISTRY_SCORES, evals.REGISTRY):
        making.replace(contract, tables[contract.name])
    return {name: rows.num_rows for name, rows in tables.items()}
