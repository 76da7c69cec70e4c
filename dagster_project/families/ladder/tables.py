"""The rows of the ladder's tables: points and outcomes by SQL, fits and forecasts by `trainers.ladder`."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import Settings
from catalog.tables.ladder import LAKE
from dagster_project.families.dclm.recipes import SEQUENCE_LENGTH, VOCABULARY
from dagster_project.families.models.runs import target_runs

if TYPE_CHECKING:
    from trainers.ladder.forecast import Forecast
    from trainers.ladder.runs import LadderRuns, Run, Target

POINTS_SQL = """
SELECT 'lake' AS source, c.run, c.size, r.task, c.parameters, c.tokens, c.flops, c.flops / c.tokens AS flops_per_token,
       avg(r.bits_per_byte) AS task_loss, avg(r.correct::DOUBLE) AS accuracy, count(*) AS examples, t.chance
FROM evals.results r JOIN models.checkpoints c USING (run) JOIN evals.tasks t USING (task) WHERE run IN ({runs})
GROUP BY ALL ORDER BY task, flops
"""

LAKE_SQL = """
FROM ladder.points WHERE source = 'lake' ORDER BY parameters, tokens, task
"""

OUTCOMES_SQL = """
SELECT p.target, p.task, p.accuracy AS predicted, p.low, p.high, m.measured, p.accuracy - m.measured AS error,
       m.measured BETWEEN p.low AND p.high AS in_band, p.task_loss AS predicted_loss, m.measured_loss, t.chance
FROM ladder.predictions p
JOIN (SELECT run AS target, task, avg(correct::DOUBLE) AS measured, avg(bits_per_byte) AS measured_loss
      FROM evals.target_results GROUP BY ALL) m USING (target, task)
JOIN evals.tasks t USING (task)
ORDER BY p.target, p.task
"""


def points(settings: Settings, runs: tuple[str, ...]) -> pa.Table:
    """Return the rows of ladder.points: the mean loss and accuracy of each of the runs on every task."""
    return _query(settings, POINTS_SQL.format(runs=", ".join(f"'{run}'" for run in runs)))


def lake_ladder(settings: Settings, tasks: tuple[str, ...] = ()) -> LadderRuns:
    """Return the lake's own ladder, with the targets of the settings. Every run has one checkpoint, its last.

    Args:
        settings: The settings of the project.
        tasks: The tasks to return; if empty, all tasks of ladder.points.

    Raises:
        WatershedError: ladder.points does not exist or has no rows of the lake's own runs.
        TrainerError: ladder.points has no rows of one of the tasks.
    """
    from trainers.ladder.runs import LadderRuns
    from trainers.ladder.tasks import chosen

    rows = _stored(
        settings, "ladder.points", LAKE_SQL, "run `watershed demo`, or name runs with --runs or --source"
    ).to_pylist()
    names = chosen(tasks, dict.fromkeys(row["task"] for row in rows))
    runs = []
    for run in dict.fromkeys(row["run"] for row in rows):
        mine = {row["task"]: row for row in rows if row["run"] == run}
        if missing := [name for name in names if name not in mine]:
            raise WatershedError(f"ladder.points: run {run} has no {missing[0]}", "make evals.results again")
        runs.append(_run(run, {name: mine[name] for name in names}))
    first = {row["task"]: row for row in rows}
    return LadderRuns(
        runs=tuple(runs),
        chance={name: first[name]["chance"] for name in names},
        targets={target.name: target for target in lake_targets(settings)},
        questions={name: first[name]["examples"] for name in names},
    )


def _run(name: str, rows: dict[str, dict[str, Any]]) -> Run:
    """Return a run from its rows of ladder.points, by task."""
    import numpy as np

    from trainers.ladder.runs import Run
    from trainers.ladder.tasks import BITS_PER_BYTE

    one = next(iter(rows.values()))
    return Run(
        name=name,
        size=name.rsplit("-", 1)[0],
        parameters=float(one["parameters"]),
        tokens=float(one["tokens"]),
        flops_per_token=one["flops"] / one["tokens"],
        accuracy={task: np.array([row["accuracy"]]) for task, row in rows.items()},
        intermediates={BITS_PER_BYTE: {task: np.array([row["task_loss"]]) for task, row in rows.items()}},
    )


def lake_targets(settings: Settings) -> list[Target]:
    """Return the targets of the settings, with their parameters and tokens when trained on the lake's shards."""
    from trainers.ladder.runs import Target
    from trainers.pretraining.presets import plan

    planned = {run: plan(run, VOCABULARY, SEQUENCE_LENGTH) for run in target_runs(settings)}
    return [
        Target(
            name=run,
            parameters=float(size["parameters"]),
            tokens=float(size["tokens"]),
            flops_per_token=float(size["flops_per_token"]),
        )
        for run, size in planned.items()
    ]


def forecast(settings: Settings) -> tuple[LadderRuns, list[Target], Forecast]:
    """Return the lake's ladder, its targets, and the forecast of the targets.

    Raises:
        TrainerError: There are too few runs, or a target takes less compute than the largest run.
    """
    from trainers.ladder.forecast import fit_ladder

    ladder = lake_ladder(settings)
    targets = list(ladder.targets.values())
    return ladder, targets, fit_ladder(ladder, targets)


def fits(settings: Settings) -> pa.Table:
    """Return the rows of ladder.fits: both steps of the fit for every task."""
    import numpy as np

    from trainers.ladder.laws import sigmoid
    from trainers.ladder.protocols import final_loss

    ladder, _, found = forecast(settings)
    runs = found.shown.chosen(ladder.runs)
    rows = []
    for task, fitted in found.fits.items():
        loss = np.array([final_loss(run, found.shown, task) for run in runs])
        accuracy = np.array([run.measured(task) for run in runs])
        curve = dict(zip(("a", "L0", "k", "b"), map(float, fitted.curve), strict=True))
        rows.append(
            {
                "task": task,
                "protocol": found.forms[task],
                "runs": len(runs),
                "step1": json.dumps(asdict(fitted.law), sort_keys=True),
                "step2": json.dumps(curve | {"chance": ladder.chance[task]}, sort_keys=True),
                "step1_error": float(np.mean(np.abs(np.array([fitted.loss(run) for run in runs]) / loss - 1))),
                "step2_error": float(np.mean(np.abs(sigmoid(loss, *fitted.curve) - accuracy))),
            }
        )
    return pa.Table.from_pylist(rows)


def predictions(settings: Settings) -> pa.Table:
    """Return the rows of ladder.predictions: the forecast of every target of the settings on every task.

    An unchanged forecast keeps the time at which it was first stored. So when a target is added later, the forecasts of
    earlier targets still show that they were stored before training.
    """
    _, targets, found = forecast(settings)
    rows = [
        {
            "target": target.name,
            "task": task,
            "parameters": round(target.parameters),
            "tokens": round(target.tokens),
            "flops": target.flops,
            "task_loss": predicted.task_loss,
            "accuracy": predicted.accuracy,
            "low": predicted.low,
            "high": predicted.high,
        }
        for target in targets
        for task, predicted in found.targets[target.name].items()
    ]
    exists = Lake.of(settings).exists("ladder.predictions")
    stored = _query(settings, "FROM ladder.predictions").to_pylist() if exists else []
    times = {tuple(row[name] for name in rows[0]): row["stored_at"] for row in stored}
    now = datetime.now(UTC)
    return pa.Table.from_pylist([row | {"stored_at": times.get(tuple(row.values()), now)} for row in rows])


def outcomes(settings: Settings) -> pa.Table:
    """Return the rows of ladder.outcomes: every forecast with its measurement."""
    return _query(settings, OUTCOMES_SQL)


def fit_plots(settings: Settings, fits: pa.Table) -> dict[str, dg.MarkdownMetadataValue]:
    """Return a small plot of step 2 for each task: the points of ladder.points, and the curve fitted to them."""
    import numpy as np

    from dagster_project.engine.small_plots import curve_and_points
    from trainers.ladder.laws import sigmoid

    read = Lake.of(settings).read("ladder.points", ["source", "task", "task_loss", "accuracy"]).to_pylist()
    points = [row for row in read if row["source"] == LAKE]
    plots = {}
    for row in fits.to_pylist():
        own = [(each["task_loss"], each["accuracy"]) for each in points if each["task"] == row["task"]]
        if not own:
            continue
        step2 = json.loads(row["step2"])
        losses = np.linspace(min(loss for loss, _ in own), max(loss for loss, _ in own), 20)
        fitted = sigmoid(losses, *(step2[name] for name in ("a", "L0", "k", "b")))
        curve = list(zip(losses.tolist(), fitted.tolist(), strict=True))
        plots[f"step 2 of {row['task']}"] = curve_and_points(f"{row['task']}: accuracy over task loss", curve, own)
    return plots


def forecast_plots(rows: pa.Table) -> dict[str, dg.MarkdownMetadataValue]:
    """Return a small plot for each task: the forecasts of all targets with their bands, and what was measured."""
    from dagster_project.engine.small_plots import Interval, interval_plot

    by_task: dict[str, list[Interval]] = {}
    for row in rows.to_pylist():
        middle = row["accuracy"] if "accuracy" in row else row["predicted"]
        interval = Interval(row["target"], row["low"], middle, row["high"], row.get("measured"))
        by_task.setdefault(row["task"], []).append(interval)
    return {f"forecasts of {task}": interval_plot(f"{task}: accuracy, 0 to 1", all_) for task, all_ in by_task.items()}


def outcome_plots(settings: Settings, outcomes: pa.Table) -> dict[str, dg.MarkdownMetadataValue]:
    """Return a picture for each target and task: points, both steps, the forecast with its band, the measurement."""
    from dagster_project.engine.pictures import markdown_file
    from trainers.ladder.task_picture import Measured, plot_task

    ladder, targets, found = forecast(settings)
    pictures = {}
    rows = {(row["target"], row["task"]): row for row in outcomes.to_pylist()}
    for target in targets:
        for task in found.fits:
            row = rows[target.name, task]
            measured = Measured(loss=row["measured_loss"], accuracy=row["measured"])
            with tempfile.TemporaryDirectory() as folder:
                path = plot_task(ladder, target, found, task, measured, Path(folder) / "ladder.png")
                pictures[f"{task}, {target.name}"] = markdown_file(path, f"{task}: forecast and measurement")
    return pictures


def stored_outcomes(settings: Settings) -> pa.Table:
    """Return the rows of ladder.outcomes, by target and task.

    Raises:
        WatershedError: The table does not exist or has no rows, because no target has been measured.
    """
    sql = "FROM ladder.outcomes ORDER BY target, task"
    return _stored(settings, "ladder.outcomes", sql, "run `watershed make ladder.outcomes`")


def summary(outcomes: pa.Table) -> dict[str, float]:
    """Return the mean absolute error in accuracy and the share of measurements inside the 90% bands, both 0 to 1."""
    import numpy as np

    return {
        "mean error": float(np.mean(np.abs(outcomes["error"].to_numpy()))),
        "in band": float(np.mean(outcomes["in_band"].to_numpy(zero_copy_only=False))),
    }


def _stored(settings: Settings, table: str, sql: str, mend: str) -> pa.Table:
    rows = _query(settings, sql) if Lake.of(settings).exists(table) else None
    if rows is None or not rows.num_rows:
        raise WatershedError(f"{table} has no rows", mend)
    return rows


def _query(settings: Settings, sql: str) -> pa.Table:
    from catalog.sql.query import connect

    return connect(settings).execute(sql).to_arrow_table()
