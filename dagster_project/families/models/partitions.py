"""The ladder is cut by training run."""

from __future__ import annotations

import dagster as dg

from catalog.settings import load_settings
from dagster_project.engine.partitions import Cut
from dagster_project.families.models.runs import ladder_runs

# The runs of the configured ladder alone, so that a range of them is a part of that ladder and nothing else.
LADDER_RUNS = Cut(
    dg.StaticPartitionsDefinition(list(ladder_runs(load_settings()))),
    lambda key: {"run": key},
    lambda columns: str(columns["run"]),
)
