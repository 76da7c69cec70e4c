"""What others registered: DCLM's data sets, models and evaluations."""

from __future__ import annotations

from typing import Any

from catalog.settings import Settings
from catalog.tables import evals, models
from dagster_project.engine.partitions import Partition
from dagster_project.engine.table_asset import Making, table_asset
from spark_jobs.registry.dclm_files import digest, read_registry, registry_folder


def _files(settings: Settings, partition: Partition | None) -> str:
    return digest(registry_folder(settings))


@table_asset(
    evals.REGISTRY,
    evals.REGISTRY_SCORES,
    models.REGISTRY,
    models.REGISTRY_DATASETS,
    code_version="1",
    literals=_files,
)
def registered(making: Making) -> dict[str, Any]:
    """Reads the JSON files in `[registry] folder`, all of them before the first row is written."""
    from trainers.icl.aggregate import aggregates

    tables = read_registry(registry_folder(making.settings), aggregates)
    for contract in (models.REGISTRY_DATASETS, models.REGISTRY, evals.REGISTRY_SCORES, evals.REGISTRY):
        making.replace(contract, tables[contract.name])
    return {name: rows.num_rows for name, rows in tables.items()}
