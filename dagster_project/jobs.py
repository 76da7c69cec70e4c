"""The two jobs: `curation` ends with data that a trainer can read, `scaling` with a checked prediction."""

from __future__ import annotations

import dagster as dg

from catalog.tables import CONTRACTS, evals

CURATION = (*(name for name, c in CONTRACTS.items() if c.family == "dclm"), evals.EXAMPLES.name, evals.TASKS.name)
SCALING = tuple(name for name in CONTRACTS if name not in CURATION)


def _selection(tables: tuple[str, ...]) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*(table.split(".") for table in tables))


JOBS = (
    dg.define_asset_job(
        "curation",
        _selection(CURATION),
        description="From archives to training shards and questions: register, extract, judge, deduplicate, score, "
        "mix, tokenise.",
    ),
    dg.define_asset_job(
        "scaling",
        _selection(SCALING),
        description="From shards to a checked prediction: train the ladder, evaluate, fit, forecast, train the target.",
    ),
)


def job_of(table: str) -> str:
    """Name of the job that makes `table`."""
    return "curation" if table in CURATION else "scaling"
