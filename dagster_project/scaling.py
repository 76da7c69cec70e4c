"""The ladder's tables: points measured by SQL, fits and forecasts by `trainers.scaling`, outcomes by SQL."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg
import pyarrow as pa

from catalog.settings import Settings
from dagster_project.ladder_settings import target_run
from dagster_project.recipes import SEQUENCE_LENGTH, VOCABULARY

if TYPE_CHECKING:
    from trainers.scaling import Chained, LadderPoint, Step1, Step2

Step = TypeVar("Step", "Step1", "Step2")

POINTS_SQL = """
SELECT c.run, r.task, c.parameters, c.tokens, c.flops, avg(r.bits_per_byte) AS task_loss,
       avg(r.correct::DOUBLE) AS accuracy, count(*) AS examples
FROM evals.results r JOIN models.checkpoints c USING (run) WHERE run IN ({runs})
GROUP BY ALL ORDER BY task, flops
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
    """Rows of ladder.points: mean loss and accuracy of every run on every task."""
    return _query(settings, POINTS_SQL.format(runs=", ".join(f"'{run}'" for run in runs)))


def fits(settings: Settings) -> pa.Table:
    """Rows of ladder.fits: both steps for every task."""
    import numpy as np

    from trainers.scaling import fit_step1, fit_step2

    rows = []
    for task, chance, measured in _measured(settings):
        n, d, loss, accuracy = ([row[name] for row in measured] for name in MEASURES)
        step1 = fit_step1(n, d, loss)
        step2 = fit_step2(loss, accuracy, chance, questions=measured[0]["examples"])
        fitted = np.array([step1.at(*place) for place in zip(n, d, strict=True)])
        rows.append(
            {
                "task": task,
                "protocol": f"{step1.protocol}, {step2.protocol}",
                "runs": len(measured),
                "step1": json.dumps(asdict(step1), sort_keys=True),
                "step2": json.dumps(asdict(step2), sort_keys=True),
                "step1_error": float(np.mean(np.abs(fitted / np.array(loss) - 1))),
                "step2_error": float(np.mean([abs(step2.at(x) - y) for x, y in zip(loss, accuracy, strict=True)])),
            }
        )
    return pa.Table.from_pylist(rows)


def predictions(settings: Settings) -> pa.Table:
    """Rows of ladder.predictions: the target of the settings' ladder on every task."""
    from trainers.presets import plan

    run = target_run(settings)
    target = plan(run, VOCABULARY, SEQUENCE_LENGTH)
    rows = []
    for task, step1, step2 in _fitted(settings):
        forecast = _forecast(step1, step2, target["parameters"], target["tokens"])
        rows.append(
            {
                "target": run,
                "task": task,
                "parameters": target["parameters"],
                "tokens": target["tokens"],
                "flops": float(target["flops"]),
                "task_loss": forecast.loss,
                "accuracy": forecast.accuracy,
                "low": forecast.accuracy_low,
                "high": forecast.accuracy_high,
                "stored_at": datetime.now(UTC),
            }
        )
    return pa.Table.from_pylist(rows)


def outcomes(settings: Settings) -> pa.Table:
    """Rows of ladder.outcomes: every forecast beside its measurement."""
    return _query(settings, OUTCOMES_SQL)


def outcome_plots(settings: Settings) -> dict[str, dg.MarkdownMetadataValue]:
    """A picture a task: the ladder's points, both steps, the forecast with its band, and the measurement."""
    from dagster_project.pictures import markdown_file
    from trainers.ladder_plot import plot_ladder
    from trainers.scaling import LadderPoint

    measured = {row["task"]: row for row in _query(settings, "FROM ladder.outcomes").to_pylist()}
    pictures = {}
    for (task, step1, step2), (_, _, rows) in zip(_fitted(settings), _measured(settings), strict=True):
        target = _query(settings, f"FROM ladder.predictions WHERE task = '{task}'").to_pylist()[0]
        forecast = _forecast(step1, step2, target["parameters"], target["tokens"])
        ladder = [_point(row) for row in rows]
        outcome = measured[task]
        found = LadderPoint(
            target["target"].rsplit("-", 1)[0],
            target["parameters"],
            target["tokens"],
            outcome["measured_loss"],
            outcome["measured"],
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ladder.png"
            plot_ladder(ladder, step1, step2, forecast, found, path)
            pictures[task] = markdown_file(path, f"{task}: forecast and measurement")
    return pictures


MEASURES = ("parameters", "tokens", "task_loss", "accuracy")


def _point(row: dict[str, Any]) -> LadderPoint:
    from trainers.scaling import LadderPoint

    return LadderPoint(row["run"].rsplit("-", 1)[0], *(row[name] for name in MEASURES))


def _forecast(step1: Step1, step2: Step2, parameters: int, tokens: int) -> Chained:
    from trainers.scaling import predict

    return predict(step1, step2, parameters, tokens)


def _measured(settings: Settings) -> list[tuple[str, float, list[dict[str, Any]]]]:
    """(task, chance, rows of ladder.points by FLOPs), by task."""
    rows = _query(
        settings, "SELECT p.*, t.chance FROM ladder.points p JOIN evals.tasks t USING (task) ORDER BY task, flops"
    ).to_pylist()
    tasks = dict.fromkeys(row["task"] for row in rows)
    return [
        (task, next(row["chance"] for row in rows if row["task"] == task), [r for r in rows if r["task"] == task])
        for task in tasks
    ]


def _fitted(settings: Settings) -> list[tuple[str, Step1, Step2]]:
    from trainers.scaling import Step1, Step2

    rows = _query(settings, "SELECT task, step1, step2 FROM ladder.fits ORDER BY task").to_pylist()
    return [(row["task"], _step(Step1, row["step1"]), _step(Step2, row["step2"])) for row in rows]


def _step(kind: type[Step], said: str) -> Step:
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in json.loads(said).items()}
    return kind(**values)


def _query(settings: Settings, sql: str) -> pa.Table:
    from catalog.sql import connect

    return connect(settings).execute(sql).to_arrow_table()
