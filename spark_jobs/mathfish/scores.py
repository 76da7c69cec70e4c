"""The metrics of MathFish's tagging and verification (arXiv 2408.04226, section 4), each over all replies.

Where they differ from the published evaluators: a malformed reply is counted once for each (the published share of
well-formed verification replies is wrong), no value is rounded, F1 of two empty sets is 1, and a metric over nothing is
None instead of a failure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from spark_jobs.mathfish.replies import LETTERS, read_tags, read_yes_no

Scored = dict[str, Any]


def score_tagging(reply: str, label: Sequence[int], options: int) -> Scored:
    """Score a tagging reply.

    Args:
        reply: of the model.
        label: places of the right options from 0; none is a label too.
        options: how many there are.

    Returns:
        `score` (1 when the sets are equal), `weak` (one option in common), `option_accuracy` (the share of the options
        that are rightly taken or left; None for a malformed reply), `f1`, `predicted`, `label`, `reason`.

    Example:
        >>> score_tagging("A, B", [1], 5)["option_accuracy"]
        0.8
    """
    tags, right = read_tags(reply, options), set(label)
    chosen = set(tags.chosen)
    row: Scored = {"score": 0.0, "weak": False, "option_accuracy": None, "f1": 0.0, "predicted": None}
    if not tags.malformed:
        common, size = len(chosen & right), len(chosen) + len(right)
        row = {
            "score": float(chosen == right),
            "weak": bool(common),
            "option_accuracy": 1 - len(chosen ^ right) / options,
            "f1": 2 * common / size if size else 1.0,
            "predicted": [LETTERS[index] for index in sorted(chosen)],
        }
    return {**row, "label": [LETTERS[index] for index in sorted(right)], "reason": tags.malformed or "well formed"}


def summarise_tagging(rows: Sequence[Scored]) -> Scored:
    """The published metrics over rows of `score_tagging`.

    `weak_label_subset_pred` and `weak_pred_subset_label` are the shares, among weakly right replies, of those that take
    too many options and too few.
    """
    formed = [row for row in rows if row["predicted"] is not None]
    weak = [row for row in rows if row["weak"]]
    said_none = [row for row in formed if not row["predicted"]]
    is_none = [row for row in rows if not row["label"]]
    too_many = [set(row["label"]) < set(row["predicted"]) for row in weak]
    too_few = [set(row["predicted"]) < set(row["label"]) for row in weak]
    return {
        "acc": _mean([row["score"] for row in rows]),
        "weak_acc": _mean([row["weak"] for row in rows]),
        "weak_label_subset_pred": _mean(too_many) or 0.0,
        "weak_pred_subset_label": _mean(too_few) or 0.0,
        "option_acc": _mean([row["option_accuracy"] for row in formed]),
        "f1": _mean([row["f1"] for row in formed]),
        "precision_none": _mean([not row["label"] for row in said_none]),
        "recall_none": _mean([row["predicted"] == [] for row in is_none]),
        "ok_format": _mean([row["predicted"] is not None for row in rows]),
        "malformed": len(rows) - len(formed),
    }


def chance_tagging(label: Sequence[int], options: int) -> dict[str, float]:
    """The expected scores of a reply that takes one option at random.

    Example:
        >>> chance_tagging([1], 4)
        {'score': 0.25, 'weak': 0.25, 'option_accuracy': 0.625}
    """
    right = len(set(label))
    return {
        "score": 1 / options if right == 1 else 0.0,
        "weak": right / options,
        # A hit leaves right - 1 options wrong, a miss right + 1.
        "option_accuracy": 1 - (right + 1 - 2 * right / options) / options,
    }


def score_verification(reply: str, label: str) -> Scored:
    """Score a verification reply against `yes` or `no`.

    Example:
        >>> score_verification("No, it is not.", "no")["score"]
        1.0
    """
    read = read_yes_no(reply)
    return {
        "score": float(read.answer == label),
        "predicted": read.answer,
        "label": label,
        "reason": read.malformed or "well formed",
    }


def summarise_verification(rows: Sequence[Scored]) -> Scored:
    """`acc`, `f1` (micro, over yes and no), `ok_format`, the number of malformed replies, and `balanced_acc`.

    `balanced_acc` is the mean of the accuracies where yes is right and where no is: a model that always says no has one
    half. It is left out where one of them is never right.
    """
    right = sum(row["score"] for row in rows)
    wrong = sum(row["predicted"] is not None and not row["score"] for row in rows)
    missed = len(rows) - right
    parts = [[row["score"] for row in rows if row["label"] == label] for label in ("yes", "no")]
    balanced = {"balanced_acc": sum(sum(part) / len(part) for part in parts) / 2} if all(parts) else {}
    return {
        "acc": _mean([row["score"] for row in rows]),
        "f1": 2 * right / (2 * right + wrong + missed) if rows else None,
        "ok_format": _mean([row["predicted"] is not None for row in rows]),
        "malformed": sum(row["predicted"] is None for row in rows),
        **balanced,
    }


def by_group(rows: Sequence[Scored]) -> dict[str, float | None]:
    """The accuracy of each group that rows name, such as a grade or a strategy of negatives."""
    groups: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if "group" in row:
            groups[str(row["group"])].append(row["score"])
    return {name: _mean(groups[name]) for name in sorted(groups)}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
