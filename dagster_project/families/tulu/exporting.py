"""A mixture of the lake as files for the trainers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import Settings
from catalog.tables.tulu import MIXTURE, ROWS, SOURCES
from dagster_project.families.tulu.recipes import workers_of
from spark_jobs.compute import pc
from spark_jobs.tulu.export import write_mixture


def export(settings: Settings, lake: Lake, mixture: str, out: Path) -> dict[str, Any]:
    """Write the files of a mixture; returns the manifest.

    Raises:
        WatershedError: the mixture is not in the lake, or the folder exists.
    """
    taken = _partition(lake, MIXTURE.name, "mixture", [mixture]).sort_by("position")
    if not taken.num_rows:
        known = sorted(set(lake.read(MIXTURE.name, ["mixture"])["mixture"].to_pylist()))
        raise WatershedError(
            f"tulu.mixture has no mixture {mixture!r}",
            f"use one of {', '.join(known)}, or make it" if known else "make it: `watershed make tulu.mixture`",
        )
    facts = _partition(lake, SOURCES.name, "mixture", [mixture]).to_pylist()
    rows = _partition(lake, ROWS.name, "source", [row["source"] for row in facts])
    rows = rows.filter(pc.is_in(rows["row_id"], value_set=pc.unique(taken["row_id"])))
    by_id = {row["row_id"]: row for row in rows.to_pylist()}
    return write_mixture(out, mixture, taken.to_pylist(), by_id, facts, workers=workers_of(settings))


def _partition(lake: Lake, name: str, column: str, values: list[str]) -> pa.Table:
    return lake.table(name).to_pyarrow_table(partitions=[(column, "in", values)])
