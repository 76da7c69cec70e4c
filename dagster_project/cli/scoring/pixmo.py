"""Scorers of pictures: points, counts, VQA and ANLS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from catalog.errors import WatershedError
from dagster_project.cli.scoring.scorer import LIST, TEXT, Options, Row, Scorer, ScoreRow, Summarise, mean, mean_score


def _points() -> tuple[ScoreRow, Summarise]:
    from spark_jobs.pixmo.pointing import MOST_PIXELS, Region, mask_from_runs, score_points

    def score(row: Row, options: Options) -> Row:
        width, height = row["width"], row["height"]
        if not 0 < width * height <= MOST_PIXELS or width < 1:
            raise WatershedError(f"the picture is {width} x {height} pixels", "give the size of the picture in pixels")
        boxes, masks = row.get("boxes"), row.get("masks")
        if (boxes is None) == (masks is None):
            raise WatershedError("a row has either boxes or masks", 'give "boxes": [[x0, y0, x1, y1]] or "masks"')
        if boxes is not None:
            regions = [Region(box=(box[0], box[1], box[2], box[3])) for box in _numbers(boxes, 4, "boxes")]
        else:
            if not isinstance(masks, list):
                raise WatershedError("the field 'masks' is not a list", "give the run lengths of each mask")
            regions = [Region(mask_HW=mask_from_runs(each, width, height)) for each in masks]
        points = [(x, y) for x, y in _numbers(row.get("points") or [], 2, "points")]
        if points and len(points) != len(regions):
            raise WatershedError(f"{len(points)} points for {len(regions)} objects", "give one point for each object")
        found = score_points(row["response"], width, height, regions, points, options.rule)
        return {"score": found["f1"], **found}

    def summary(rows: Sequence[Row], options: Options) -> Row:
        means = {name: mean([row[name] for row in rows]) for name in ("score", "precision", "recall", "f1")}
        return {
            **means,
            "invalid": sum(not row["valid"] for row in rows),
            "outside": sum(row["outside"] for row in rows),
        }

    return score, summary


def _numbers(value: Any, length: int, name: str) -> list[list[float]]:
    """A list of lists of numbers."""
    if not isinstance(value, list) or not all(
        isinstance(each, list)
        and len(each) == length
        and all(isinstance(number, int | float) and not isinstance(number, bool) for number in each)
        for each in value
    ):
        raise WatershedError(f"the field {name!r} is malformed", f"give a list of lists of {length} numbers")
    return value


def _count() -> tuple[ScoreRow, Summarise]:
    from spark_jobs.pixmo.answers import read_count

    def score(row: Row, options: Options) -> Row:
        if row["answer"] < 0:
            raise WatershedError(f"the answer is {row['answer']}", "give a whole number of at least 0")
        count = read_count(row["response"])
        off = None if count is None else abs(count - row["answer"])
        return {"score": float(off == 0), "predicted": count, "answer": row["answer"], "off_by": off}

    def summary(rows: Sequence[Row], options: Options) -> Row:
        within = mean([float(row["off_by"] is not None and row["off_by"] <= 1) for row in rows])
        return {
            **mean_score(rows, options),
            "within_1": within,
            "unread": sum(row["predicted"] is None for row in rows),
        }

    return score, summary


def _vqa() -> tuple[ScoreRow, Summarise]:
    from spark_jobs.pixmo.answers import vqa_accuracy

    def score(row: Row, options: Options) -> Row:
        return {"score": vqa_accuracy(row["response"], _texts(row["answers"]), options.rule)}

    return score, mean_score


def _anls() -> tuple[ScoreRow, Summarise]:
    from spark_jobs.pixmo.answers import anls

    def score(row: Row, options: Options) -> Row:
        return {"score": anls(row["response"], _texts(row["answers"]))}

    return score, mean_score


def _texts(value: list[Any]) -> list[str]:
    if not value or not all(isinstance(each, str) for each in value):
        raise WatershedError("the field 'answers' is not a list of texts", "give at least one answer")
    return value


SCORERS = (
    Scorer(
        "points",
        "Precision, recall and F1 of the points that a reply names, against boxes or masks.",
        {"response": TEXT, "width": (int,), "height": (int,)},
        {
            **{"id": "1", "response": '<point x="50.0" y="50.0" alt="cat">cat</point>', "width": 100, "height": 80},
            **{"points": [[50, 40]], "boxes": [[40, 30, 60, 50]]},
        },
        _points,
        optional={
            "points": "[[x, y], ...] in pixels, one for each object",
            "boxes": "[[x0, y0, x1, y1], ...] with exclusive ends",
            "masks": "instead of boxes, run lengths of each mask down the columns, as COCO",
        },
        rules=("molmo1", "molmo2"),
    ),
    Scorer(
        "count",
        "Whether a reply states the right number of things.",
        {"response": TEXT, "answer": (int,)},
        {"id": "1", "response": "There are three cats.", "answer": 3},
        _count,
    ),
    Scorer(
        "vqa",
        "VQA's soft accuracy against the answers of people.",
        {"response": TEXT, "answers": LIST},
        {"id": "1", "response": "two", "answers": ["2", "2", "2", "2", "2", "2", "2", "3", "two", "2"]},
        _vqa,
        rules=("official", "molmo"),
    ),
    Scorer(
        "anls",
        "Average normalised Levenshtein similarity, as DocVQA and InfographicVQA ask.",
        {"response": TEXT, "answers": LIST},
        {"id": "1", "response": "paris", "answers": ["Paris"]},
        _anls,
    ),
)
