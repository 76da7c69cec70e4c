"""Published ladders: the import of their files into three tables of the lake, and reading them back."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.fingerprint import fingerprint
from catalog.lake import Lake, partition_key
from catalog.literals import sql_literal
from catalog.settings import Settings
from catalog.tables.ladder import CHECKPOINTS, LAKE, POINTS, TARGETS

if TYPE_CHECKING:
    from trainers.ladder.published import Published
    from trainers.ladder.runs import LadderRuns, Run, Target

VERSION = "1"
"""Changed by hand when the code changes such that the same files give other rows."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class Imported:
    """The number of runs, tasks, checkpoints and targets that an import read."""

    runs: int
    tasks: tuple[str, ...]
    checkpoints: int
    targets: int
    written: bool
    """False if the same files had been imported before, so that nothing was written."""
    notes: tuple[str, ...]
    """What was mended on reading."""


def import_ladder(settings: Settings, folder: Path, models_file: Path, name: str, tasks: Collection[str]) -> Imported:
    """Replace the rows of the source `name` in ladder.points, ladder.checkpoints and ladder.targets.

    Args:
        settings: The settings of the project.
        folder: The folder of the CSV files of the runs.
        models_file: The JSON file with the sizes of the runs and the targets.
        name: The name of the source.
        tasks: The tasks to read; if empty, all tasks that every run has.

    Raises:
        WatershedError: `name` is not a valid name of a source.
        TrainerError: A file cannot be read; see `trainers.ladder.published.read_published`.
    """
    from trainers.ladder.published import read_published

    if name == LAKE or not NAME.fullmatch(name):
        raise WatershedError(
            f"a ladder cannot be called {name!r}",
            f"give a --name of letters, digits, dots and dashes other than {LAKE!r}",
        )
    published, lake, source = read_published(folder, models_file, tasks), Lake.of(settings), {"source": name}
    found = tuple(published.ladder.chance)
    made = fingerprint("ladder import", VERSION, published.digest, found)
    written = {table: lake.written(table.name).get(partition_key(source)) for table in (TARGETS, CHECKPOINTS, POINTS)}
    stands = all(commit and commit.fingerprint == made for commit in written.values())
    if not stands:
        for table in (POINTS, CHECKPOINTS, TARGETS):
            lake.create(table)
        for table, rows in _rows(published, name).items():
            lake.replace(table, pa.Table.from_pylist(rows, schema=table.schema), made, source)
    return Imported(
        runs=len(published.ladder.runs),
        tasks=found,
        checkpoints=sum(len(tokens) for tokens in published.tokens.values()),
        targets=len(published.ladder.targets),
        written=not stands,
        notes=published.ladder.notes,
    )


def _rows(published: Published, name: str) -> dict[Contract, list[dict[str, Any]]]:
    """Return the rows of each table, in the order of writing. ladder.points is last, which marks completion."""
    source, ladder = {"source": name}, published.ladder
    return {
        TARGETS: [
            source
            | {"target": target.name, "parameters": round(target.parameters), "tokens": round(target.tokens)}
            | {"flops_per_token": target.flops_per_token}
            for target in ladder.targets.values()
        ],
        CHECKPOINTS: [
            source | row for run in ladder.runs for row in _checkpoints(run, published.tokens[run.name].tolist())
        ],
        POINTS: [source | _point(run, task, chance) for run in ladder.runs for task, chance in ladder.chance.items()],
    }


def _point(run: Run, task: str, chance: float) -> dict[str, Any]:
    from trainers.ladder.runs import LAST
    from trainers.ladder.tasks import BITS_PER_BYTE

    return {
        "run": run.name,
        "size": run.size,
        "task": task,
        "parameters": round(run.parameters),
        "tokens": round(run.tokens),
        "flops": run.flops,
        "flops_per_token": run.flops_per_token,
        "task_loss": float(run.intermediates[BITS_PER_BYTE][task][-LAST:].mean()),
        "accuracy": run.measured(task),
        "examples": None,
        "chance": chance,
    }


def _checkpoints(run: Run, tokens: list[float]) -> list[dict[str, Any]]:
    rows = []
    for task, accuracies in run.accuracy.items():
        measures = {column: run.intermediates.get(kind, {}).get(task) for column, kind in _kinds().items()}
        for at, accuracy in enumerate(accuracies):
            row = {"run": run.name, "checkpoint": at + 1, "tokens": round(tokens[at]), "task": task}
            values = {column: None if found is None else float(found[at]) for column, found in measures.items()}
            rows.append(row | values | {"accuracy": float(accuracy)})
    return rows


def _kinds() -> dict[str, str]:
    """Return the intermediate that each column of ladder.checkpoints holds."""
    from trainers.ladder.tasks import BITS_PER_BYTE, SOFT_LOG, VALIDATION

    return {"task_loss": BITS_PER_BYTE, "soft_log": SOFT_LOG, "validation": VALIDATION}


def published_ladder(settings: Settings, source: str, tasks: tuple[str, ...] = ()) -> LadderRuns:
    """Return the ladder that was imported as `source`, equal to the ladder of its files.

    Args:
        settings: The settings of the project.
        source: The name that the import was given.
        tasks: The tasks to return; if empty, all tasks of the ladder.

    Raises:
        WatershedError: Nothing was imported under that name.
        TrainerError: The ladder was not measured on one of the tasks.
    """
    from trainers.ladder.runs import LadderRuns
    from trainers.ladder.tasks import TASKS, chosen

    known = [name for name in sources(settings) if name != LAKE]
    if source not in known:
        there = f"name one of {', '.join(known)}, or " if known else ""
        mend = f"{there}run `watershed ladder import DIR --name {source}`"
        raise WatershedError(f"the lake has no ladder {source!r}", mend)
    points = _source_rows(settings, POINTS, source, "parameters, tokens, run, task")
    measured = {row["task"]: row["chance"] for row in points}
    known = [name for name in TASKS if name in measured]
    names = chosen(tasks, [*known, *(name for name in measured if name not in TASKS)])
    wanted = ", ".join(map(sql_literal, names))
    rows = _source_rows(settings, CHECKPOINTS, source, "run, task, checkpoint", f"AND task IN ({wanted})")
    by_run = {run: list(mine) for run, mine in groupby(rows, key=lambda row: row["run"])}
    first = {row["run"]: row for row in points}
    return LadderRuns(
        runs=tuple(_run(row, by_run[run]) for run, row in first.items()),
        chance={name: measured[name] for name in names},
        targets={
            row["target"]: _target(row) for row in _source_rows(settings, TARGETS, source, "parameters, tokens, target")
        },
        questions={},
    )


def sources(settings: Settings) -> list[str]:
    """Return the names of the ladders in ladder.points, in order; the list is empty if the table does not exist."""
    if not Lake.of(settings).exists(POINTS.name):
        return []
    return [row["source"] for row in _select(settings, f"SELECT DISTINCT source FROM {POINTS.name} ORDER BY source")]


def _run(facts: dict[str, Any], rows: list[dict[str, Any]]) -> Run:
    """Return a run from its rows of checkpoints. An intermediate that a task lacks is left out, as for files."""
    import numpy as np

    from trainers.ladder.runs import Run

    by_task = {task: list(mine) for task, mine in groupby(rows, key=lambda row: row["task"])}
    return Run(
        name=facts["run"],
        size=facts["size"],
        parameters=float(facts["parameters"]),
        tokens=float(facts["tokens"]),
        flops_per_token=facts["flops_per_token"],
        accuracy={task: np.array([row["accuracy"] for row in mine]) for task, mine in by_task.items()},
        intermediates={
            kind: {task: np.array([row[column] for row in mine]) for task, mine in by_task.items()}
            for column, kind in _kinds().items()
            if all(row[column] is not None for row in rows)
        },
    )


def _target(row: dict[str, Any]) -> Target:
    from trainers.ladder.runs import Target

    return Target(
        name=row["target"],
        parameters=float(row["parameters"]),
        tokens=float(row["tokens"]),
        flops_per_token=row["flops_per_token"],
    )


def _source_rows(settings: Settings, table: Contract, source: str, order: str, more: str = "") -> list[dict[str, Any]]:
    return _select(settings, f"FROM {table.name} WHERE source = {sql_literal(source)} {more} ORDER BY {order}")


def _select(settings: Settings, sql: str) -> list[dict[str, Any]]:
    from catalog.sql.query import connect, explained

    connection = connect(settings)
    with explained(connection, sql):
        return connection.execute(sql).to_arrow_table().to_pylist()
