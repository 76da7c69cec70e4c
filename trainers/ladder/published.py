"""A published ladder, read whole: every task that its runs were measured on, checkpoint by checkpoint.

`read_ladder` reads the tasks that it is asked for; here the files say which there are, and what they hold is named by a
digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from trainers.ladder.csv_rows import read_csv
from trainers.ladder.laws import Array
from trainers.ladder.runs import TOKENS_COLUMN, LadderRuns, Run, in_order, read_ladder, read_models, wanted_tasks


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
    models = read_models(models_file)
    files = models.files(folder)
    tables = {name: read_csv(path) for name, path in files.items()}
    found = wanted_tasks(models, [table.header for table in tables.values()], tuple(tasks) or None)
    by_task = {name: {run.name: run for run in read_ladder(folder, models_file, (name,)).runs} for name in found}
    first = read_ladder(folder, models_file, ())
    runs = tuple(_merged([by_task[name][run.name] for name in found]) for run in first.runs)
    return Published(
        ladder=replace(first, runs=runs, chance={name: task.chance for name, task in found.items()}),
        tokens={name: in_order(table)[0].numbers(TOKENS_COLUMN) for name, table in tables.items()},
        digest=_digest((models_file, *files.values())),
    )


def _merged(parts: list[Run]) -> Run:
    """One run of its readings task by task."""
    intermediates: dict[str, dict[str, Array]] = {}
    accuracy: dict[str, Array] = {}
    for part in parts:
        accuracy |= part.accuracy
        for kind, values in part.intermediates.items():
            intermediates.setdefault(kind, {}).update(values)
    return replace(parts[0], accuracy=accuracy, intermediates=intermediates)


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
        digest.update(path.name.encode())
    return digest.hexdigest()
