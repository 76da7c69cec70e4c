"""The assets of the family `ladder`: small runs forecast larger models, and the forecasts are checked."""

from __future__ import annotations

from typing import Any

from catalog.tables.ladder import FITS, LAKE, OUTCOMES, POINTS, PREDICTIONS
from dagster_project.engine.making import Making
from dagster_project.engine.table_asset import table_asset
from dagster_project.families.ladder import tables as scaling
from dagster_project.families.models.runs import ladder_runs, target_runs


@table_asset(POINTS, code_version="2", recipe=ladder_runs, cheap=True)
def points(making: Making) -> dict[str, Any]:
    """Averages the answers of each run. Published runs, which `watershed ladder import` writes, are kept."""
    rows = scaling.points(making.settings, making.recipe)
    making.replace(POINTS, rows, within={"source": LAKE})
    return {"runs": len(set(rows["run"].to_pylist()))}


@table_asset(FITS, code_version="3", recipe=target_runs, cheap=True)
def fits(making: Making) -> dict[str, Any]:
    """Fits the two steps of the scaling law of arXiv 2412.04403 for every task.

    Step 1 maps parameters and tokens to the task loss, and step 2 maps the task loss to the accuracy.
    """
    rows = scaling.fits(making.settings)
    making.replace(FITS, rows)
    making.metadata.update(scaling.fit_plots(making.settings, rows))
    return {"mean error of step 2": sum(rows["step2_error"].to_pylist()) / rows.num_rows}


@table_asset(PREDICTIONS, code_version="3", recipe=target_runs, cheap=True)
def predictions(making: Making) -> dict[str, Any]:
    """Forecasts the accuracy of every target on every task, with a 90% band.

    Step 1 forecasts the task loss of a target, and step 2 its accuracy at that loss. A forecast is stored before the
    target is trained.
    """
    rows = scaling.predictions(making.settings)
    making.replace(PREDICTIONS, rows)
    making.metadata.update(scaling.forecast_plots(rows))
    names = ("target", "task", "accuracy")
    return {f"{task}, {run}": f"{accuracy:.1%}" for run, task, accuracy in zip(*_columns(rows, *names), strict=True)}


@table_asset(OUTCOMES, code_version="1", cheap=True)
def outcomes(making: Making) -> dict[str, Any]:
    """Compares every forecast with the measurement of its target, task by task."""
    rows = scaling.outcomes(making.settings)
    making.replace(OUTCOMES, rows)
    making.metadata.update(scaling.forecast_plots(rows))
    making.metadata.update(scaling.outcome_plots(making.settings, rows))
    names = ("target", "task", "error")
    errors = {f"error, {task}, {run}": error for run, task, error in zip(*_columns(rows, *names), strict=True)}
    return errors | scaling.summary(rows)


def _columns(rows: Any, *names: str) -> list[list[Any]]:
    return [rows[name].to_pylist() for name in names]
