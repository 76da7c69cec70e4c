"""Published ladders in the lake: their files as rows of three tables, and the same ladder out of the rows again."""

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
from catalog.lake import Lake, partition_key, sql_literal
from catalog.settings import Settings
from catalog.tables.ladder import CHECKPOINTS, LAKE, POINTS, TARGETS

if TYPE_CHECKING:
    from trainers.ladder.published import Published
    from trainers.ladder.runs import LadderRuns, Run, Target

VERSION = "1"
"""Changed by hand when the same files would give other rows."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import found."""

    runs: int
    tasks: tuple[str, ...]
    checkpoints: int
    targets: int
    written: bool
    """False where the very same files stood in the lake."""


def import_ladder(settings: Settings, folder: Path, models_file: Path, name: str, tasks: Collection[str]) -> Imported:
    """Replace the rows of the source `name` in all three tables by what the files say.

    Raises:
        WatershedError: the name cannot be that of a source.
        TrainerError: the files cannot be read, as `trainers.ladder.published.read_published` says.
    """
    from trainers.ladder.published import read_published

    if name == LAKE or not NAME.fullmatch(name):
        raise WatershedError(
            f"a ladder cannot be called {name!r}", f"say --name with letters, digits, dots and dashes, and not {LAKE!r}"
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
    )


def _rows(published: Published, name: str) -> dict[Contract, list[dict[str, Any]]]:
    """Rows by table, in the order in which they are written: what refers to others before what marks the end."""
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
    """Column of ladder.checkpoints to the intermediate that it holds."""
    from trainers.ladder.tasks import BITS_PER_BYTE, SOFT_LOG, VALIDATION

    return {"task_loss": BITS_PER_BYTE, "soft_log": SOFT_LOG, "validation": VALIDATION}


def published_ladder(settings: Settings, source: str, tasks: tuple[str, ...] = ()) -> LadderRuns:
    """The ladder that was imported as `source`, as its files say it; all of its tasks where none is named.

    Raises:
        WatershedError: nothing was imported under that name.
        TrainerError: a task that it was not measured on.
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
    names = chosen(tasks, [name for name in TASKS if name in measured])
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
    """Names of the ladders that the lake has; none where there is no table."""
    if not Lake.of(settings).exists(POINTS.name):
        return []
    return [row["source"] for row in _select(settings, f"SELECT DISTINCT source FROM {POINTS.name} ORDER BY source")]


def _run(facts: dict[str, Any], rows: list[dict[str, Any]]) -> Run:
    """One run of its checkpoints, by task and in order. An intermediate that a task lacks is none, as in files."""
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
