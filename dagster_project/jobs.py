"""The jobs: `curation` ends with data that a trainer can read, `scaling` with a checked prediction, `moe` with an
analysis of how a mixture of experts routes, `registry` with what others trained and measured."""

from __future__ import annotations

import dagster as dg

from catalog.tables import CONTRACTS, evals, models, moe

CURATION = (*(name for name, c in CONTRACTS.items() if c.family == "dclm"), evals.EXAMPLES.name, evals.TASKS.name)
MOE = tuple(contract.name for contract in moe.CONTRACTS)
REGISTRY = (models.REGISTRY_DATASETS.name, models.REGISTRY.name, evals.REGISTRY.name, evals.REGISTRY_SCORES.name)
COMMANDS = {name: contract.command for name, contract in CONTRACTS.items() if contract.command and name not in REGISTRY}
"""Tables that a command writes when it is asked to, and no job makes."""
SCALING = tuple(name for name in CONTRACTS if name not in (*CURATION, *MOE, *REGISTRY, *COMMANDS))
MAIN = (*CURATION, *SCALING)
"""What `watershed demo` makes."""


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
    dg.define_asset_job(
        "moe",
        _selection(MOE),
        description="From shards to how a mixture of experts routes: train it beside a dense model, analyse.",
    ),
    dg.define_asset_job(
        "registry",
        _selection(REGISTRY),
        description="DCLM's experiment registry, from the JSON files in [registry] folder.",
    ),
)


def job_of(table: str) -> str:
    """Name of the job that makes `table`."""
    others = {"curation": CURATION, "moe": MOE, "registry": REGISTRY}
    return next((job for job, tables in others.items() if table in tables), "scaling")
