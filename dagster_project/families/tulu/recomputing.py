"""An update of a reinforcement-learning run, computed again from tulu.rollouts and the checkpoint before it."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.names import close
from catalog.settings import Settings
from catalog.tables.tulu import CURVES, ROLLOUTS
from dagster_project.engine.trainer_process import run_trainer
from dagster_project.families.tulu.runs import recorded_runs


@dataclass(frozen=True)
class Recomputed:
    """Loss and gradient norm of an update, now and as the run recorded them."""

    step: int
    rollouts: int
    weights: str
    """Hex SHA-256 of the weights before the update."""
    loss: float
    grad_norm: float
    recorded_loss: float | None
    """None if the run wrote no row of metrics at that step."""
    recorded_grad_norm: float | None


def recompute(settings: Settings, lake: Lake, run: str, step: int, *, model: str = "", value: str = "") -> Recomputed:
    """Compute an update again. Of the run's folder config.json and the checkpoint before the step are read.

    Args:
        settings: the settings of the project.
        lake: the lake.
        run: the name of a recorded run.
        step: the update, from 1.
        model: the weights that the run began with, for the first update.
        value: the reward model that PPO's value model began with, for the first update.

    Raises:
        WatershedError: the run has no rollouts in the lake, its checkpoint is missing, or a row is not what was drawn.
    """
    known = recorded_runs(settings)
    if run not in known:
        raise WatershedError(
            f"no run is called {run[:60]!r}{close(run, known)}", "record it: `watershed tulu record FOLDER --data FILE`"
        )
    rows = _partition(lake, ROLLOUTS.name, run)
    if not rows:
        raise WatershedError(f"tulu.rollouts has no row of {run}", "name a run of trainers.rlvr, and record it")
    # The order of the rows within a phase is that in which they were drawn: the number in their name.
    rows.sort(key=lambda row: (row["phase"], int(row["rollout_id"].rpartition("-")[2])))
    with tempfile.TemporaryDirectory() as folder:
        rollouts, out = Path(folder) / "rollouts.jsonl", Path(folder) / "update.json"
        rollouts.write_text("".join(json.dumps(_drawn(row)) + "\n" for row in rows), encoding="utf-8")
        values = {"run": known[run].folder, "step": step, "rollouts": str(rollouts), "out": str(out)}
        values |= {"model": model, "value": value}
        run_trainer("trainers.recompute_update", values, f"update {step} of {run}")
        found = json.loads(out.read_text(encoding="utf-8"))
    curve = {row["metric"]: row["value"] for row in _partition(lake, CURVES.name, run) if row["step"] == step}
    return Recomputed(
        step,
        found["rollouts"],
        found["weights"],
        found["loss"],
        found["grad_norm"],
        curve.get("loss"),
        curve.get("grad_norm"),
    )


def _drawn(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the table as a run writes it."""
    kept = {name: value for name, value in row.items() if name not in ("run", "rollout_id") and value is not None}
    return kept | {"text": row["completion"], "id": row["prompt_id"]}


def _partition(lake: Lake, name: str, run: str) -> list[dict[str, Any]]:
    if not lake.exists(name):
        return []
    return lake.table(name).to_pyarrow_table(partitions=[("run", "=", run)]).to_pylist()
