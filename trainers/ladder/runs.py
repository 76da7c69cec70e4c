"""A ladder's runs, read from published CSVs (a row a checkpoint) with the models' sizes beside them.

`models.json` says {"models": {"190M": {"params": N, "flops_per_token": F, "runs": ["190M-1xC.csv", ...]}},
"targets": {"7B-4T": {"params": N, "flops_per_token": F, "tokens": D}}}; `targets` may be left out.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainers.ladder.laws import Array
from trainers.ladder.tasks import BITS_PER_BYTE, INTERMEDIATES, TASKS, Task
from trainers.pretraining.presets import CHINCHILLA_TOKENS_PER_PARAMETER
from trainers.process.errors import TrainerError

TOKENS_COLUMN = "throughput/total_tokens"
LAST = 5
"""Checkpoints at the end of a run whose mean is its measurement."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One trained model of the ladder, checkpoint by checkpoint."""

    name: str
    size: str
    """Shared by the runs of one size."""
    parameters: float
    """N, without the input embedding."""
    tokens: float
    """D at the last checkpoint."""
    flops_per_token: float
    accuracy: Mapping[str, Array]
    """By task: a value a checkpoint, 0..1."""
    intermediates: Mapping[str, Mapping[str, Array]]
    """By kind (`INTERMEDIATES`) and task: a value a checkpoint, each falling as the model gets better."""

    @property
    def flops(self) -> float:
        """Training FLOPs."""
        return self.tokens * self.flops_per_token

    @property
    def multiple(self) -> float:
        """Chinchilla multiple: tokens over 20 N, to one decimal."""
        return round(self.tokens / (CHINCHILLA_TOKENS_PER_PARAMETER * self.parameters), 1)

    def measured(self, task: str) -> float:
        """Accuracy as the protocol reports it: the mean of the last five checkpoints."""
        return float(self.accuracy[task][-LAST:].mean())


@dataclass(frozen=True, kw_only=True)
class Target:
    """A large model to forecast."""

    name: str
    parameters: float
    tokens: float
    flops_per_token: float

    @property
    def flops(self) -> float:
        """Training FLOPs."""
        return self.tokens * self.flops_per_token


@dataclass(frozen=True, kw_only=True)
class LadderRuns:
    """A ladder: runs from small to large, and the chance accuracy of each of its tasks."""

    runs: tuple[Run, ...]
    chance: Mapping[str, float]
    targets: Mapping[str, Target]
    """Targets that came with the runs; their sizes only, never a measurement."""
    questions: Mapping[str, int]
    """How many questions a task has, where known."""


def read_ladder(folder: Path, models_file: Path, tasks: tuple[str, ...] = tuple(TASKS)) -> LadderRuns:
    """The runs that `models_file` names, read from `folder` or its folder `runs`.

    Raises:
        TrainerError: a file that is missing or malformed, a column that a task needs and a run does not have.
    """
    parsed = _read_json(models_file)
    place = folder if not (folder / "runs").is_dir() else folder / "runs"
    runs = []
    for size, model in parsed["models"].items():
        for key in ("params", "flops_per_token", "runs"):
            if key not in model:
                raise TrainerError(f"{models_file}: model {size} has no {key!r}", "give params, flops_per_token, runs")
        runs += [_read_run(place / name, size, model, tasks) for name in model["runs"]]
    return LadderRuns(
        runs=tuple(sorted(runs, key=lambda run: (run.parameters, run.tokens))),
        chance={name: TASKS[name].chance for name in tasks},
        targets={name: _target(name, value, models_file) for name, value in parsed.get("targets", {}).items()},
        questions={},
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        parsed = json.loads(path.read_text())
    except OSError as error:
        raise TrainerError(f"{path}: {error.strerror}", "name the JSON file of the models with --models") from error
    except ValueError as error:
        raise TrainerError(f"{path}: not JSON ({error})", "write the models as docs/ladder.md shows") from error
    if not isinstance(parsed, dict) or not isinstance(parsed.get("models"), dict) or not parsed["models"]:
        raise TrainerError(f"{path}: names no models", 'give {"models": {"190M": {"params": ..., "runs": [...]}}}')
    return parsed


def _target(name: str, value: Mapping[str, Any], path: Path) -> Target:
    try:
        n, d = float(value["params"]), float(value["tokens"])
    except (KeyError, TypeError, ValueError) as error:
        raise TrainerError(f"{path}: target {name} lacks numbers for params and tokens", "give both") from error
    return Target(name=name, parameters=n, tokens=d, flops_per_token=float(value.get("flops_per_token", 6 * n)))


def _read_run(path: Path, size: str, model: Mapping[str, Any], tasks: tuple[str, ...]) -> Run:
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise TrainerError(f"{path}: {error.strerror}", "name the folder of the runs' CSV files with --runs") from error
    if not rows:
        raise TrainerError(f"{path}: holds no checkpoints", "leave the run out of the models file")
    table = _Table(path, rows)
    intermediates: dict[str, dict[str, Array]] = {}
    for kind in INTERMEDIATES:
        # Only bits per byte is asked of every run; without another intermediate, no protocol that uses it is tried.
        if kind == BITS_PER_BYTE or all(table.has(TASKS[name], kind) for name in tasks):
            sign = -1.0 if kind == "soft_log" else 1.0
            intermediates[kind] = {name: sign * table.measure(TASKS[name], kind) for name in tasks}
    return Run(
        name=path.stem,
        size=size,
        parameters=float(model["params"]),
        tokens=float(table.column(TOKENS_COLUMN)[-1]),
        flops_per_token=float(model["flops_per_token"]),
        accuracy={name: table.measure(TASKS[name], "accuracy") for name in tasks},
        intermediates=intermediates,
    )


@dataclass(frozen=True)
class _Table:
    path: Path
    rows: list[dict[str, str]]

    def has(self, task: Task, kind: str) -> bool:
        return all(name in self.rows[0] for name, _ in task.columns(kind))

    def measure(self, task: Task, kind: str) -> Array:
        """The weighted columns' sum, a value a checkpoint."""
        return np.sum([weight * self.column(name) for name, weight in task.columns(kind)], axis=0)

    def column(self, name: str) -> Array:
        if name not in self.rows[0]:
            raise TrainerError(f"{self.path}: no column {name!r}", "export it, or leave its task out with --tasks")
        try:
            values = np.array([float(row[name]) for row in self.rows])
        except (TypeError, ValueError) as error:
            raise TrainerError(f"{self.path}: column {name!r} is not all numbers", "mend the file") from error
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values))) + 2
            raise TrainerError(f"{self.path}, line {row}: {name!r} is not finite", "leave that checkpoint out")
        return values
