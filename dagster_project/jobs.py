"""The jobs, each of which names the families and tables that it makes.

- `curation` ends with data that a trainer can read.
- `scaling` ends with a checked prediction.
- `moe` ends with an analysis of how a mixture of experts routes tokens.
- `registry` holds what others trained and measured.

A table of a new family belongs to no job until a job names it; a test asks for one.
"""

from __future__ import annotations

import dagster as dg

from catalog.tables import CONTRACTS, evals, models


def _made(family: str) -> tuple[str, ...]:
    """Tables of a family that no command writes."""
    return tuple(name for name, contract in CONTRACTS.items() if contract.family == family and not contract.command)


TABLES: dict[str, tuple[str, ...]] = {
    "curation": (*_made("dclm"), evals.EXAMPLES.name, evals.TASKS.name),
    "scaling": (*_made("models"), evals.RESULTS.name, evals.TARGET_RESULTS.name, *_made("ladder")),
    "moe": _made("moe"),
    "registry": (
        *(models.REGISTRY_DATASETS.name, models.REGISTRY.name),
        *(evals.REGISTRY.name, evals.REGISTRY_SCORES.name),
    ),
}
"""Tables by job."""

COMMANDS = {
    name: contract.command
    for name, contract in CONTRACTS.items()
    if contract.command and not any(name in tables for tables in TABLES.values())
}
"""Tables that only a command writes, and the command."""

DEMO = (*TABLES["curation"], *TABLES["scaling"])
"""What `watershed demo` makes."""

DESCRIPTIONS = {
    "curation": "From archives to training shards and questions: register, extract, judge, deduplicate, score, mix, "
    "tokenise.",
    "scaling": "From shards to a checked prediction: train the ladder, evaluate, fit, forecast, train the target.",
    "moe": "From shards to how a mixture of experts routes: train it beside a dense model, analyse.",
    "registry": "DCLM's experiment registry, from the JSON files in [registry] folder.",
}

JOBS = tuple(
    dg.define_asset_job(
        job,
        dg.AssetSelection.assets(*(table.split(".") for table in tables)),
        description=DESCRIPTIONS[job],
    )
    for job, tables in TABLES.items()
)


def job_of(table: str) -> str:
    """The name of the job that makes `table`.

    Raises:
        KeyError: No job makes it.
    """
    return {name: job for job, tables in TABLES.items() for name in tables}[table]
