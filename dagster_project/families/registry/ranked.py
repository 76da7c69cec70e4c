"""The rows that `watershed registry rank` reads and prints."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.files import write_whole
from spark_jobs.registry.ranking import Place

TABLES = {
    "models.registry": ["uuid", "name", "dataset_name", "dataset_uuid", "parameters", "tokens", "record"],
    "models.registry_datasets": ["uuid", "record"],
    "evals.registry": ["uuid", "model_uuid", "created_at", "core_v2", "extended_v2"],
    "evals.registry_scores": ["evaluation", "task", "score"],
}
"""The columns that a ranking needs, by table."""
COLUMNS = ("scale", "track", "place", "of", "core", "extended", "mmlu", "own", "dataset", "model")


def ranked_tables(folders: Sequence[Path]) -> dict[str, list[dict[str, Any]]]:
    """The rows of registries by table, those of the first folder first; of the lake's tables where no folder is given.

    Raises:
        WatershedError: a folder is no registry or a file in it does not fit, or the lake's tables do not exist.
    """
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    if folders:
        from spark_jobs.registry.dclm_files import read_registry
        from trainers.icl.aggregate import aggregates

        for folder in folders:
            tables = read_registry(folder, aggregates)
            for name, columns in TABLES.items():
                rows[name] += tables[name].select(columns).to_pylist()
        return rows
    from catalog.lake import Lake
    from catalog.settings import load_settings

    lake = Lake.of(load_settings())
    if not all(lake.exists(name) for name in TABLES):
        raise WatershedError(
            "the lake has no registry", "run `watershed registry import DIR`, or name folders: `registry rank DIR...`"
        )
    return {name: lake.read(name, columns).to_pylist() for name, columns in TABLES.items()}


def row(place: Place) -> list[Any]:
    """The values of `COLUMNS`."""
    entry = place.entry
    scores = [None if value is None else round(value, 4) for value in (entry.core, entry.extended, entry.mmlu)]
    return [entry.scale, entry.track, place.place, place.of, *scores, entry.own, entry.dataset, entry.model]


def write_csv(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    """Write rows under `COLUMNS`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())
