"""A ladder's runs, read from published CSVs (a row a checkpoint) with the models' sizes beside them.

`models.json` says {"models": {"190M": {"params": N, "flops_per_token": F, "runs": ["190M-1xC.csv", ...]}},
"targets": {"7B-4T": {"params": N, "flops_per_token": F, "tokens": D}}}; `targets` may be left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.ladder.csv_rows import CsvTable, read_csv
from trainers.ladder.laws import Array
from trainers.ladder.tasks import (
    BITS_PER_BYTE,
    INTERMEDIATES,
    SOFT_LOG,
    TASKS,
    VALIDATION,
    Task,
    chosen,
    declared_tasks,
    found_tasks,
)
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
    notes: tuple[str, ...] = ()
    """What was mended on reading."""


RESERVED = "protocol"
"""The key of predictions.json that no target can have."""
DIVERGED = 1.3
"""A run has diverged if its loss ends this many times above its own best, or above what another run allows it."""
STEEPEST = 0.5
"""The largest exponent of parameters or tokens: a run may have (N'/N)^STEEPEST times the loss of a larger one."""
TOKENS_PER_PARAMETER, FLOPS_PER_PARAMETER = (1e-3, 1e7), (1e-2, 1e4)
"""What lies outside was given in another unit, such as billions."""
DIVERGING = {BITS_PER_BYTE: "bits per byte", VALIDATION: "cross-entropy on C4"}
NOT_POSITIVE = {
    BITS_PER_BYTE: ("bits per byte of {} are not above 0", "export minus the log-likelihood in bits over bytes"),
    SOFT_LOG: ("logarithms of probabilities of {} are not below 0", "export the logarithm, which is below 0"),
    VALIDATION: ("the cross-entropy on C4 is not above 0", "export minus the mean log-likelihood of a token"),
}


@dataclass(frozen=True, kw_only=True)
class Models:
    """models.json, checked."""

    path: Path
    runs: Mapping[str, tuple[str, float, float]]
    """By name of the file: size, parameters, FLOPs a token."""
    targets: Mapping[str, Target]
    tasks: Mapping[str, Task]
    """Declared there."""

    def files(self, folder: Path) -> dict[str, Path]:
        """By run: its file, in `folder` or its folder `runs`."""
        place = folder / "runs" if (folder / "runs").is_dir() else folder
        return {Path(name).stem: place / name for name in self.runs}


def read_ladder(folder: Path, models_file: Path, tasks: Sequence[str] | None = tuple(TASKS)) -> LadderRuns:
    """The runs that `models_file` names, read from `folder` or its folder `runs`.

    Args:
        folder: of the CSV files.
        models_file: the sizes of the runs, and the targets.
        tasks: names; None: all that every run was measured on.

    Raises:
        TrainerError: a file that is missing or malformed, a column that a task needs and a run does not have, a number
            that cannot be, a run that diverged.
    """
    models = read_models(models_file)
    tables = {name: read_csv(path) for name, path in models.files(folder).items()}
    chosen_tasks = wanted_tasks(models, [table.header for table in tables.values()], tasks)
    notes: list[str] = []
    runs: list[Run] = []
    seen: dict[tuple[tuple[str, ...], ...], str] = {}
    for file, (size, parameters, flops) in models.runs.items():
        table, more = in_order(tables[Path(file).stem])
        notes += more
        runs.append(_run(table, size, parameters, flops, chosen_tasks))
        same = seen.setdefault(tuple(tuple(row.values()) for row in table.rows), runs[-1].name)
        if same != runs[-1].name:
            raise TrainerError(f"{table.path} has the checkpoints of {same}", "list every run once")
    _refuse_diverged(runs)
    return LadderRuns(
        runs=tuple(sorted(runs, key=lambda run: (run.parameters, run.tokens))),
        chance={name: task.chance for name, task in chosen_tasks.items()},
        targets=models.targets,
        questions={},
        notes=tuple(notes),
    )


def wanted_tasks(models: Models, headers: Sequence[Sequence[str]], names: Sequence[str] | None) -> dict[str, Task]:
    """The named tasks, or all that every run was measured on; declared ones before those that columns tell.

    Raises:
        TrainerError: a name that is not a task, or no task that all runs have.
    """
    found = [found_tasks(header) for header in headers]
    common = {name: task for name, task in found[0].items() if all(name in each for each in found)}
    known = TASKS | common | dict(models.tasks)
    if names is not None:
        return {name: known[name] for name in chosen(names, known)} if names else {}
    there = {name: task for name, task in known.items() if name in common or name in models.tasks}
    if not there:
        columns = [name for kind in ("accuracy", BITS_PER_BYTE) for name, _ in TASKS["arc_easy"].columns(kind)]
        raise TrainerError(f"{models.path}: its runs share no task", f"give them {', '.join(columns)}")
    return there


def read_models(path: Path) -> Models:
    """models.json, with every number checked.

    Raises:
        TrainerError: it is not of the form at the top of this file, a number is not positive and finite, a run is
            listed twice, or a target has a name that predictions.json needs itself.
    """
    parsed = _read_json(path)
    runs: dict[str, tuple[str, float, float]] = {}
    stems: set[str] = set()
    for size, model in parsed["models"].items():
        mend = "give params, flops_per_token, runs"
        if not isinstance(model, dict):
            raise TrainerError(f"{path}: model {size} is not an object", mend)
        for key in ("params", "flops_per_token", "runs"):
            if key not in model:
                raise TrainerError(f"{path}: model {size} has no {key!r}", mend)
        place = f"{path}: model {size}"
        numbers = (
            _positive(model["params"], f"{place}: params"),
            _positive(model["flops_per_token"], f"{place}: flops_per_token"),
        )
        _same_unit(numbers[1], numbers[0], FLOPS_PER_PARAMETER, f"{place}: flops_per_token")
        names = model["runs"]
        if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
            raise TrainerError(f"{place}: `runs` is not a list of file names", 'write "runs": ["190M-1xC.csv"]')
        for name in names:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise TrainerError(f"{place}: the file {name!r} is not in the folder of the runs", "name a file in it")
            if Path(name).stem in stems:
                raise TrainerError(f"{path}: two runs are called {Path(name).stem}", "list every run once")
            stems.add(Path(name).stem)
            runs[name] = (str(size), *numbers)
    targets = parsed.get("targets", {})
    if not isinstance(targets, dict):
        raise TrainerError(
            f"{path}: `targets` is not an object", 'write "targets": {"7B-4T": {"params": N, "tokens": D}}'
        )
    return Models(
        path=path,
        runs=runs,
        targets={name: _target(name, value, path) for name, value in targets.items()},
        tasks=declared_tasks(parsed.get("tasks", {}), str(path)),
    )


def _read_json(path: Path) -> dict[str, Any]:
    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise TrainerError(f"{path}: {twice[:40]!r} is given twice", "give every name once")
        return dict(pairs)

    try:
        parsed = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=distinct)
    except OSError as error:
        raise TrainerError(f"{path}: {error.strerror}", "name the JSON file of the models with --models") from error
    except (ValueError, RecursionError) as error:
        raise TrainerError(f"{path}: not JSON ({error})", "write the models as docs/ladder.md shows") from error
    if not isinstance(parsed, dict) or not isinstance(parsed.get("models"), dict) or not parsed["models"]:
        raise TrainerError(f"{path}: names no models", 'give {"models": {"190M": {"params": ..., "runs": [...]}}}')
    return parsed


def _positive(value: object, what: str) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        number = float(value) if good else float("nan")
    except OverflowError:
        number = float("inf")
    if not (np.isfinite(number) and number > 0):
        raise TrainerError(f"{what} is {str(value)[:40]!r}, not a positive number", "correct it")
    return number


def _same_unit(number: float, parameters: float, limits: tuple[float, float], what: str) -> None:
    if not limits[0] <= number / parameters <= limits[1]:
        raise TrainerError(
            f"{what} is {number:g} where params is {parameters:g}, {number / parameters:.1g} a parameter",
            "give both as plain numbers, not in millions or billions",
        )


def _target(name: str, value: object, path: Path) -> Target:
    if name == RESERVED or not name:
        raise TrainerError(f"{path}: a target is called {name!r}, which predictions.json uses itself", "rename it")
    if not isinstance(value, dict) or not {"params", "tokens"} <= value.keys():
        raise TrainerError(f"{path}: target {name} lacks numbers for params and tokens", "give both")
    n, d = (_positive(value[key], f"{path}: target {name}: {key}") for key in ("params", "tokens"))
    flops = _positive(value.get("flops_per_token", 6 * n), f"{path}: target {name}: flops_per_token")
    _same_unit(d, n, TOKENS_PER_PARAMETER, f"{path}: target {name}: tokens")
    _same_unit(flops, n, FLOPS_PER_PARAMETER, f"{path}: target {name}: flops_per_token")
    return Target(name=name, parameters=n, tokens=d, flops_per_token=flops)


def in_order(table: CsvTable) -> tuple[CsvTable, list[str]]:
    """The checkpoints by tokens, the last of those with the same tokens, and what was mended."""
    table.require(TOKENS_COLUMN)
    tokens = table.numbers(TOKENS_COLUMN, positive=True)
    last = {float(value): at for at, value in enumerate(tokens)}
    order = [last[value] for value in sorted(last)]
    notes = []
    if len(last) < len(tokens):
        repeated = len(tokens) - len(last)
        notes.append(
            f"{table.path.name}: {repeated} checkpoints are repeated, as after a restart; the later ones count"
        )
    if order != sorted(order):
        notes.append(f"{table.path.name}: its checkpoints are not in the order of their tokens; they were sorted")
    return CsvTable(
        table.path, table.header, [table.rows[at] for at in order], [table.lines[at] for at in order]
    ), notes


def _run(table: CsvTable, size: str, parameters: float, flops: float, tasks: Mapping[str, Task]) -> Run:
    intermediates: dict[str, dict[str, Array]] = {}
    for kind in INTERMEDIATES:
        # Only bits per byte is asked of every run; without another intermediate, no protocol that uses it is tried.
        if kind == BITS_PER_BYTE or all(_has(table, task, kind) for task in tasks.values()):
            sign = -1.0 if kind == "soft_log" else 1.0
            intermediates[kind] = {name: sign * _measure(table, task, kind) for name, task in tasks.items()}
    run = Run(
        name=table.path.stem,
        size=size,
        parameters=parameters,
        tokens=float(table.numbers(TOKENS_COLUMN)[-1]),
        flops_per_token=flops,
        accuracy={name: _measure(table, task, "accuracy") for name, task in tasks.items()},
        intermediates=intermediates,
    )
    _same_unit(run.tokens, parameters, TOKENS_PER_PARAMETER, f"{table.path}: the last of {TOKENS_COLUMN!r}")
    for name in tasks:
        _check_range(table, run, name)
    return run


def _has(table: CsvTable, task: Task, kind: str) -> bool:
    columns = task.columns(kind)
    return bool(columns) and all(name in table.header for name, _ in columns)


def _measure(table: CsvTable, task: Task, kind: str) -> Array:
    """The weighted columns' sum, a value a checkpoint."""
    for name, _ in task.columns(kind):
        if name not in table.header:
            raise TrainerError(f"{table.path}: no column {name!r}", "export it, or leave its task out with --tasks")
    return np.sum([weight * table.numbers(name) for name, weight in task.columns(kind)], axis=0)


def _check_range(table: CsvTable, run: Run, task: str) -> None:
    def refuse(
        bad: Callable[[Array], NDArray[np.bool_]], values: Array, cause: str, mend: str, sign: float = 1.0
    ) -> None:
        if bad(values).any():
            at = int(np.argmax(bad(values)))
            place = f"{table.path}, line {table.lines[at]}: run {run.name}"
            raise TrainerError(f"{place}: {cause.format(shown=f'{sign * values[at]:g}')}", mend)

    accuracy = run.accuracy[task]
    percent = " (in percent?)" if accuracy.max() <= 100 and accuracy.min() >= 0 else ""
    refuse(
        lambda values: (values < 0) | (values > 1),
        accuracy,
        f"an accuracy of {task} is outside 0..1: {{shown}}{percent}",
        "write accuracies as parts of one",
    )
    for kind, by_task in run.intermediates.items():
        cause, mend = NOT_POSITIVE[kind]
        sign = -1.0 if kind == SOFT_LOG else 1.0
        refuse(lambda values: values <= 0, by_task[task], f"{cause.format(task)}: {{shown}}", mend, sign)


def _refuse_diverged(runs: Sequence[Run]) -> None:
    """TrainerError for a run whose loss rose, or is above what a power law allows next to another run."""
    for kind, words in DIVERGING.items():
        having = [run for run in runs if kind in run.intermediates]
        for task in having[0].intermediates[kind] if having else ():
            curves = [run.intermediates[kind][task] for run in having]
            ends = [float(curve[-LAST:].mean()) for curve in curves]
            name = f"{words} of {task}" if kind == BITS_PER_BYTE else words
            for run, curve, end in zip(having, curves, ends, strict=True):
                best = min(float(curve[at : at + LAST].mean()) for at in range(max(1, len(curve) - LAST + 1)))
                if end > DIVERGED * best:
                    raise _diverged(run, f"its {name} rose from {best:.3g} to {end:.3g}")
                for other, theirs in zip(having, ends, strict=True):
                    ahead = max(1.0, other.parameters / run.parameters, other.tokens / run.tokens)
                    if end > DIVERGED * ahead**STEEPEST * theirs:
                        which = "the smaller " if ahead == 1 else ""
                        raise _diverged(
                            run, f"its {name} ends at {end:.3g}, that of {which}{other.name} at {theirs:.3g}"
                        )


def _diverged(run: Run, why: str) -> TrainerError:
    return TrainerError(f"run {run.name} diverged: {why}", "leave the run out of the models file")
