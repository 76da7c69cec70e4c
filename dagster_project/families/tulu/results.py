"""Recorded replies of models to evaluation instances, their scores, and comparisons and choices that follow."""

from __future__ import annotations

import datetime
import json
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa

from catalog.errors import WatershedError
from catalog.fingerprint import fingerprint
from catalog.lake import Lake
from catalog.lines import bounded_lines
from catalog.tables.tulu import LOOKS, RESULTS, SEALED_RESULTS
from dagster_project.families.tulu.scoring import score_row, version_of
from spark_jobs.language_models.replies import MalformedReply, bounded_json
from spark_jobs.tulu.comparing import by_instance, compare
from spark_jobs.tulu.suites import Task, tasks
from trainers.process.errors import TrainerError

Row = dict[str, Any]
LARGEST_LINE = 64 << 20
RESULT_SCHEMA = RESULTS.schema


def read_replies(path: Path) -> Iterator[Row]:
    """The rows of a file of recorded replies: `id`, `response`, an optional `sample`, and what the scorer reads.

    Raises:
        WatershedError: the file cannot be read, or a line is not such a row; the cause names file and line.
    """
    mend = "write one JSON object a line with id, response and what the scorer of the task reads"
    try:
        with path.open("rb") as file:
            for number, line in bounded_lines(file, LARGEST_LINE):
                try:
                    row = None if line is None else bounded_json(line)
                except MalformedReply as error:
                    raise WatershedError(f"{path}:{number}: {error}", mend) from None
                if not isinstance(row, dict) or not isinstance(row.get("id"), str | int):
                    raise WatershedError(f"{path}:{number}: no object with an id", mend)
                yield row
    except OSError as error:
        raise WatershedError(f"{path}: {error.strerror or error}", mend) from None


def scored(model: str, task: Task, rows: Sequence[Mapping[str, Any]], workers: int = 1) -> list[Row]:
    """Rows of tulu.results, scored by the task's scorer, in the order of the rows.

    Raises:
        WatershedError, TrainerError: a row lacks what the scorer reads; the cause names the task and the row.
    """
    version = version_of(task.scorer)

    def one(row: Mapping[str, Any]) -> Row:
        given = {"response": "", **row} if task.scorer == "mc2" else row
        try:
            score = score_row(task.scorer, task.rule, given)
        except (WatershedError, TrainerError) as error:
            raise WatershedError(
                f"{model}, {task.task}, row {str(row['id'])[:40]}: {error.cause}", error.mend
            ) from None
        rest = {name: value for name, value in row.items() if name not in ("id", "response", "sample")}
        return {
            "model": model,
            "task": task.task,
            "instance": str(row["id"]),
            "sample": int(row.get("sample", 0)),
            "response": given["response"],
            "row": json.dumps(rest, sort_keys=True, ensure_ascii=False),
            "score": score,
            "scorer": task.scorer,
            "rule": task.rule,
            "scorer_version": version,
        }

    with ThreadPoolExecutor(max(workers, 1)) as pool:
        return list(pool.map(one, rows))


def tasks_of_files(folder: Path) -> dict[str, Path]:
    """The files of a model's replies by task.

    Raises:
        WatershedError: a file is named after no task.
    """
    found = {path.stem: path for path in sorted(folder.glob("*.jsonl"))}
    if unknown := sorted(found.keys() - tasks().keys()):
        raise WatershedError(
            f"{found[unknown[0]]}: {unknown[0]} is not a task of tulu.tasks",
            f"name the file after {', '.join(tasks())}",
        )
    return found


def record_look(lake: Lake, models: Sequence[str], names: Sequence[str], why: str, command: str) -> None:
    """Record that sealed results were read, before they are.

    Raises:
        WatershedError: no reason is given.
    """
    if not why.strip():
        raise WatershedError("a look at sealed results needs a reason", 'say why: --unseal "final table of the report"')
    rows = [
        {
            "look": uuid.uuid4().hex[:16],
            "at": datetime.datetime.now(datetime.UTC),
            "model": model,
            "task": task,
            "why": why.strip()[:500],
            "command": command,
        }
        for model in models
        for task in names
    ]
    if rows:
        looks = pa.Table.from_pylist(rows, schema=LOOKS.schema)
        lake.append(LOOKS, looks, fingerprint("looks", [row["look"] for row in rows]))


def results(lake: Lake, *, sealed: bool = False) -> dict[str, dict[str, list[Row]]]:
    """Rows of tulu.results, or of tulu.sealed_results, by task and model. Empty if the table does not exist.

    Whoever reads sealed results calls `record_look` first.
    """
    contract = SEALED_RESULTS if sealed else RESULTS
    found: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    if lake.exists(contract.name):
        columns = ["model", "task", "instance", "sample", "score"]
        for row in lake.read(contract.name, columns).to_pylist():
            found[row["task"]][row["model"]].append(row)
    return found


def instance_scores(task: Task, rows: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, float]]:
    """The metric, and the score of each instance: pass@k where the task asks for it and there are k samples."""
    from trainers.verifiers.code.passes import pass_at_k

    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        counts[row["instance"]] += 1
    k = max((each for each in task.samples if each <= min(counts.values(), default=0)), default=1)
    return (f"pass@{k}" if task.samples else "mean"), by_instance(rows, k, pass_at_k)


def comparisons(
    found: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]], baseline: str, models: Sequence[str] = ()
) -> list[Row]:
    """Rows of tulu.comparisons of each model, or of those that are named, with the baseline."""
    rows = []
    for name in (each for each in tasks() if each in found):
        by_model = found[name]
        if baseline not in by_model:
            continue
        metric, theirs = instance_scores(tasks()[name], by_model[baseline])
        for model in sorted(by_model):
            if model == baseline or (models and model not in models):
                continue
            other, ours = instance_scores(tasks()[name], by_model[model])
            if other != metric:
                raise WatershedError(
                    f"{name}: {model} has {other} and {baseline} has {metric}", "record as many samples of both"
                )
            if (compared := compare(ours, theirs)) is not None:
                rows.append({"model": model, "baseline": baseline, "task": name, "metric": metric, **vars(compared)})
    return rows


def selection(
    name: str, found: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]], chosen_tasks: Sequence[str]
) -> list[Row]:
    """Rows of tulu.selections: the model with the highest mean over tasks, of which the safety tasks count as one.

    Args:
        name: the name of the selection.
        found: results by task and model.
        chosen_tasks: tasks to select by.
    """
    models = sorted({model for task in chosen_tasks for model in found.get(task, {})})
    means = {
        (model, task): fmean(instance_scores(tasks()[task], found[task][model])[1].values())
        for task in chosen_tasks
        for model in models
        if model in found.get(task, {})
    }
    averages = {}
    for model in models:
        groups: dict[str, list[float]] = defaultdict(list)
        for task in chosen_tasks:
            if (model, task) in means:
                groups["safety" if tasks()[task].suite == "safety" else task].append(means[model, task])
        averages[model] = fmean(fmean(each) for each in groups.values())
    best = max(models, key=lambda model: (averages[model], model), default="")
    return [
        {
            "selection": name,
            "model": model,
            "task": task,
            "suite": tasks()[task].suite,
            "score": score,
            "average": averages[model],
            "chosen": model == best,
        }
        for (model, task), score in means.items()
    ]
