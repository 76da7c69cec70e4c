"""Small runs predict a large one, and are held to it."""

from __future__ import annotations

from typing import Any

from catalog.tables.ladder import FITS, OUTCOMES, POINTS, PREDICTIONS
from dagster_project import scaling
from dagster_project.ladder_settings import ladder_runs, target_run
from dagster_project.table_asset import Making, table_asset


@table_asset(POINTS, code_version="1", literals=lambda settings, _: ladder_runs(settings))
def points(making: Making) -> dict[str, Any]:
    """Means of each run's answers."""
    rows = scaling.points(making.settings, ladder_runs(making.settings))
    making.replace(POINTS, rows)
    return {"runs": len(set(rows["run"].to_pylist()))}


@table_asset(FITS, code_version="1")
def fits(making: Making) -> dict[str, Any]:
    """Step 1 maps parameters and tokens to task loss, step 2 task loss to accuracy (arXiv 2412.04403)."""
    rows = scaling.fits(making.settings)
    making.replace(FITS, rows)
    return {"mean error of step 2": sum(rows["step2_error"].to_pylist()) / rows.num_rows}


@table_asset(PREDICTIONS, code_version="1", literals=lambda settings, _: target_run(settings))
def predictions(making: Making) -> dict[str, Any]:
    """Chains both steps for the target, with a band; stored before the target is trained."""
    rows = scaling.predictions(making.settings)
    making.replace(PREDICTIONS, rows)
    return {task: f"{accuracy:.1%}" for task, accuracy in zip(*_columns(rows, "task", "accuracy"), strict=True)}


@table_asset(OUTCOMES, code_version="1")
def outcomes(making: Making) -> dict[str, Any]:
    """Measures the target on the tasks that were forecast."""
    rows = scaling.outcomes(making.settings)
    making.replace(OUTCOMES, rows)
    making.metadata.update(scaling.outcome_plots(making.settings))
    return {f"error, {task}": error for task, error in zip(*_columns(rows, "task", "error"), strict=True)}


def _columns(rows: Any, *names: str) -> list[list[Any]]:
    return [rows[name].to_pylist() for name in names]
