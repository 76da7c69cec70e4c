"""Scorers of MathFish: tagging and verification."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from catalog.errors import WatershedError
from dagster_project.cli.scoring.scorer import LIST, TEXT, Options, Row, Scorer, ScoreRow, Summarise

GROUP = {"group": "a grade, level or strategy, by which the accuracy is given too"}


def _tagging() -> tuple[ScoreRow, Summarise]:
    from spark_jobs.mathfish.replies import PLACE
    from spark_jobs.mathfish.scores import by_group, score_tagging, summarise_tagging

    def score(row: Row, options: Options) -> Row:
        count = row["options"] if isinstance(row["options"], int) else len(row["options"])
        if not 1 <= count <= len(PLACE):
            raise WatershedError(f"there are {count} options", f"give 1 to {len(PLACE)} options, or their number")
        label = [PLACE.get(each, count) if isinstance(each, str) else each for each in row["answer"]]
        if not all(isinstance(each, int) and not isinstance(each, bool) and 0 <= each < count for each in label):
            raise WatershedError("the answer names no option", "give letters from A, or places from 0; [] for none")
        return {**_group(row), **score_tagging(row["response"], label, count)}

    def summary(rows: Sequence[Row], options: Options) -> Row:
        found = summarise_tagging(rows)
        return {"score": found["acc"], **found, "groups": by_group(rows)}

    return score, summary


def _verification() -> tuple[ScoreRow, Summarise]:
    from spark_jobs.mathfish.scores import by_group, score_verification, summarise_verification

    def score(row: Row, options: Options) -> Row:
        if row["answer"] not in ("yes", "no"):
            raise WatershedError(f"the answer is {row['answer'][:40]!r}", "give yes or no")
        return {**_group(row), **score_verification(row["response"], row["answer"])}

    def summary(rows: Sequence[Row], options: Options) -> Row:
        found = summarise_verification(rows)
        return {"score": found["acc"], **found, "groups": by_group(rows)}

    return score, summary


def _prepared(kind: str) -> Callable[[Row], Row]:
    """Read rows of allenai/mathfish-tasks that have a `response`, or a `model-response` as its scripts write."""

    def prepare(row: Row) -> Row:
        if "messages" not in row:
            return row
        from spark_jobs.mathfish.task_files import published

        task = published(row, "the row")
        if task.kind != kind:
            raise WatershedError(
                f"the row is one of {task.kind}", f"score it by `watershed score mathfish-{task.kind}`"
            )
        response = row.get("response", row.get("model-response"))
        answer = list(task.correct) if kind == "tagging" else task.answer
        found = {"id": task.id, "response": response, "answer": answer, "options": len(task.options)}
        return found | ({"group": row.get("group", task.group)} if row.get("group", task.group) else {})

    return prepare


def _group(row: Row) -> Row:
    return {"group": row["group"]} if isinstance(row.get("group"), str | int) else {}


SCORERS = (
    Scorer(
        "mathfish-tagging",
        "Whether a reply names the standards that a problem teaches, by the letters of the options.",
        {"response": TEXT, "answer": LIST, "options": (int, list)},
        {"id": "1", "response": "A, C", "answer": ["A", "C"], "options": 12, "group": "K"},
        _tagging,
        optional=GROUP,
        prepare=_prepared("tagging"),
    ),
    Scorer(
        "mathfish-verification",
        "Whether a reply says rightly if a problem teaches a standard, yes or no.",
        {"response": TEXT, "answer": TEXT},
        {"id": "1", "response": "Yes, it does.", "answer": "yes", "group": "pos"},
        _verification,
        optional=GROUP,
        prepare=_prepared("verification"),
    ),
)
