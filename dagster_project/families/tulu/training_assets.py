"""The asset of post-training runs: losses of rows, rollouts, curves and held-out replies of each recorded run."""

from __future__ import annotations

from typing import Any

from catalog.errors import WatershedError
from catalog.tables.tulu import CURVES, HELDOUT, ROLLOUTS, SAMPLE_LOSSES
from dagster_project.engine.making import Making
from dagster_project.engine.table_asset import table_asset
from dagster_project.families.tulu import runs
from dagster_project.families.tulu.mixture_assets import write
from dagster_project.families.tulu.recipes import RUNS


@table_asset(
    SAMPLE_LOSSES,
    ROLLOUTS,
    CURVES,
    HELDOUT,
    code_version="1",
    recipe=runs.run_recipe,
    identity=runs.run_identity,
    cut=RUNS,
    keys=runs.run_keys,
)
def tulu_run(making: Making) -> dict[str, Any]:
    """Stores what a post-training run left in its folder, which `watershed tulu record` names.

    Rollouts are stored as they were sampled: one that was tokenised again is refused.
    """
    from dagster_project.families.tulu.shown import run_page

    run: runs.RecordedRun = making.recipe
    rows = runs.rows_of(run)
    if runs.digest_of(run) != run.digest:
        raise WatershedError(
            f"{run.folder} has changed since the run {run.run} was recorded",
            f"record it again: `watershed tulu record {run.folder} --run {run.run}`",
        )
    before = runs.heldout_of(making.settings, run.before)
    making.metadata |= run_page(rows[CURVES], rows[HELDOUT], run.before, before)
    return {contract.table.replace("_", " "): write(making, contract, found) for contract, found in rows.items()}
