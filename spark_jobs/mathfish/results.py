"""Rows of mathfish.results: the metrics of the paper over the answers of a model, by grade, strategy and level."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from catalog.tables.mathfish.answers import STRATEGIES, TAGGING_LEVELS
from catalog.tables.mathfish.curriculum import GRADES
from spark_jobs.mathfish.agreement import cohen_kappa, observed_agreement
from spark_jobs.mathfish.curriculum import Curriculum
from spark_jobs.mathfish.graph import chance_traversal, summarise_traversals
from spark_jobs.mathfish.scores import summarise_tagging, summarise_verification
from spark_jobs.mathfish.tasks import letters

Row = dict[str, Any]
CHANCES = {"acc": "chance", "balanced_acc": "chance", "weak_acc": "chance_weak", "option_acc": "chance_option_accuracy"}
"""Columns with the expected value of a measure."""
ORDER = {name: place for place, name in enumerate((*GRADES, *STRATEGIES, *TAGGING_LEVELS))}


def result_rows(
    name: str,
    tree: Curriculum,
    tasks: Mapping[str, Mapping[str, Any]],
    answers: Sequence[Mapping[str, Any]],
    *,
    traversals: Sequence[Mapping[str, Any]],
    judgements: Sequence[Mapping[str, Any]],
) -> list[Row]:
    """The results of a model.

    Args:
        name: the entry of `[models]`.
        tree: the curriculum.
        tasks: rows of mathfish.tasks, by task.
        answers: of the model.
        traversals: of the model; only those of problems with labels count.
        judgements: of the model.
    """
    joined = [{**tasks[answer["task"]], **answer} for answer in answers]
    rows: list[Row] = []
    for kind, others in (("verification", ("grade", "strategy")), ("tagging", ("level", "grade")), ("solving", ())):
        own = [row for row in joined if row["kind"] == kind]
        for by in ("all", *others):
            for group, members in grouped(own, by).items():
                rows += _measured(kind, by, group, members)
    labelled = [row for row in traversals if row["labels"]]
    chances = {row["problem"]: chance_traversal(tree, row["labels"]) for row in labelled}
    for by in ("all", "grade"):
        for group, members in grouped(labelled, by).items():
            exact, weak = (fmean(chances[row["problem"]][place] for row in members) for place in (0, 1))
            expected = {"acc": exact, "weak_acc": weak}
            for measure, value in summarise_traversals(members).items():
                rows.append(_row(("traversal", by, group), measure, value, expected.get(measure), len(members)))
    rows += _judged(judgements)
    return [{"model": name, **row} for row in rows]


def grouped(rows: Sequence[Mapping[str, Any]], by: str) -> dict[str, list[Mapping[str, Any]]]:
    """Rows by a column, in the order of grades, strategies and levels; `all` is one group. Rows without it are out."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if by == "all" or row[by]:
            found["" if by == "all" else row[by]].append(row)
    return {group: found[group] for group in sorted(found, key=lambda group: ORDER.get(group, -1))}


def _measured(kind: str, by: str, group: str, rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    summarise: Callable[[Sequence[Row]], Row] = {
        "tagging": lambda own: summarise_tagging([_tagged(row) for row in own]),
        "verification": lambda own: summarise_verification([_verified(row) for row in own]),
        "solving": lambda own: {"acc": fmean(row["score"] for row in own), "malformed": _malformed(own)},
    }[kind]
    found = []
    for measure, value in summarise([dict(row) for row in rows]).items():
        column = CHANCES.get(measure)
        expected = [row[column] for row in rows if row[column] is not None] if column else []
        found.append(_row((kind, by, group), measure, value, fmean(expected) if expected else None, len(rows)))
    return found


def _malformed(rows: Sequence[Mapping[str, Any]]) -> int:
    return sum(bool(row["malformed"]) for row in rows)


def _tagged(row: Mapping[str, Any]) -> Row:
    """A row of answers as `scores.score_tagging` gives it."""
    predicted, label = list(row["predicted"]), letters(row["correct"])
    size = len(predicted) + len(label)
    f1 = 2 * len(set(predicted) & set(label)) / size if size else 1.0
    return {
        "score": row["score"],
        "weak": bool(row["weak"]),
        "option_accuracy": row["option_accuracy"],
        "f1": 0.0 if row["malformed"] else f1,
        "predicted": None if row["malformed"] else predicted,
        "label": label,
    }


def _verified(row: Mapping[str, Any]) -> Row:
    predicted = row["predicted"][0] if row["predicted"] else None
    return {"score": row["score"], "predicted": predicted, "label": row["answer"]}


def _judged(judgements: Sequence[Mapping[str, Any]]) -> list[Row]:
    if not judgements:
        return []
    pairs = [(row["teacher"], row["verdict"]) for row in judgements if row["verdict"]]
    # A model that gives no verdict agrees with nobody.
    everything = [(row["teacher"], row["verdict"] or "malformed") for row in judgements]
    teachers = [row["teacher"] for row in judgements]
    commonest = max(teachers.count(verdict) for verdict in set(teachers)) / len(teachers)
    measures = (
        ("agreement", observed_agreement(everything), commonest, len(everything)),
        ("cohen_kappa", cohen_kappa(pairs), 0.0, len(pairs)),
        ("ok_format", len(pairs) / len(everything), None, len(everything)),
    )
    return [_row(("judging", "all", ""), *measure) for measure in measures]


def _row(place: tuple[str, str, str], measure: str, value: float | None, chance: float | None, rows: int) -> Row:
    """A row of mathfish.results for a place of (task, by, group)."""
    task, by, group = place
    value = None if value is None else float(value)
    return {
        "task": task,
        "by": by,
        "group": group,
        "measure": measure,
        "value": value,
        "chance": chance,
        "rows": rows,
    }
