"""A published ladder, read whole: every task that its runs were measured on, checkpoint by checkpoint.

`read_ladder` reads the tasks that it is asked for; here the files say which there are, and what they hold is named by a
digest.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trainers.ladder.laws import Array
from trainers.ladder.runs import TOKENS_COLUMN, LadderRuns, Run, read_ladder
from trainers.ladder.tasks import BITS_PER_BYTE, TASKS, chosen
from trainers.process.errors import TrainerError


@dataclass(frozen=True, kw_only=True)
class Published:
    """A ladder with all that its files say of its tasks."""

    ladder: LadderRuns
    """An intermediate of a run holds the tasks that it was published for, which need not be all."""
    tokens: Mapping[str, Array]
    """By run: tokens read at each checkpoint."""
    digest: str
    """SHA-256 of the files."""


def read_published(folder: Path, models_file: Path, tasks: Collection[str] = ()) -> Published:
    """The ladder that `models_file` names in `folder`: `tasks`, or all that every run was measured on.

    Raises:
        TrainerError: a file that is missing or malformed, a task that a run lacks, no task that all have, an accuracy
            outside 0..1, or two runs of one name.
    """
    names = chosen(tasks) if tasks else tuple(TASKS)
    first = read_ladder(folder, models_file, ())
    files = _files(folder, models_file)
    found = [name for name in names if tasks or all(_has(header, name) for header in map(_header, files.values()))]
    if not found:
        raise TrainerError(f"{models_file}: its runs share no task", f"give them {', '.join(_columns('arc_easy'))}")
    by_task = {name: {run.name: run for run in read_ladder(folder, models_file, (name,)).runs} for name in found}
    runs = tuple(_merged([by_task[name][run.name] for name in found]) for run in first.runs)
    return Published(
        ladder=replace(first, runs=runs, chance={name: TASKS[name].chance for name in found}),
        tokens={name: _tokens(path) for name, path in files.items()},
        digest=_digest((models_file, *files.values())),
    )


def _files(folder: Path, models_file: Path) -> dict[str, Path]:
    place = folder / "runs" if (folder / "runs").is_dir() else folder
    files: dict[str, Path] = {}
    for model in json.loads(models_file.read_text())["models"].values():
        for name in model["runs"]:
            path = place / name
            if path.stem in files:
                raise TrainerError(f"{models_file}: two runs are called {path.stem}", "rename one of the files")
            files[path.stem] = path
    return files


def _columns(task: str) -> list[str]:
    return [name for kind in ("accuracy", BITS_PER_BYTE) for name, _ in TASKS[task].columns(kind)]


def _header(path: Path) -> frozenset[str]:
    with path.open(newline="") as file:
        return frozenset(next(csv.reader(file), []))


def _has(header: frozenset[str], task: str) -> bool:
    return header.issuperset(_columns(task))


def _merged(parts: list[Run]) -> Run:
    """One run of its readings task by task."""
    intermediates: dict[str, dict[str, Array]] = {}
    accuracy: dict[str, Array] = {}
    for part in parts:
        accuracy |= part.accuracy
        for kind, values in part.intermediates.items():
            intermediates.setdefault(kind, {}).update(values)
    for task, values in accuracy.items():
        if not ((values >= 0) & (values <= 1)).all():
            raise TrainerError(f"run {parts[0].name}: an accuracy of {task} is outside 0..1", "mend the file")
        if not (intermediates[BITS_PER_BYTE][task] >= 0).all():
            raise TrainerError(f"run {parts[0].name}: bits per byte of {task} are below 0", "mend the file")
    return replace(parts[0], accuracy=accuracy, intermediates=intermediates)


def _tokens(path: Path) -> Array:
    with path.open(newline="") as file:
        return np.array([float(row[TOKENS_COLUMN]) for row in csv.DictReader(file)])


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
        digest.update(path.name.encode())
    return digest.hexdigest()
