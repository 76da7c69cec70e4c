"""The partitions of the ladder: one for each training run."""

from __future__ import annotations

import dagster as dg

from catalog.settings import load_settings
from dagster_project.engine.partitions import Cut
from dagster_project.families.models.runs import ladder_runs

# Only runs of the configured ladder are keys, so that a range of keys holds no run of another ladder.
LADDER_RUNS = Cut(
    dg.StaticPartitionsDefinition(list(ladder_runs(load_settings()))),
    lambda key: {"run": key},
    lambda columns: str(columns["run"]),
)
