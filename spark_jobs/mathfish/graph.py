"""Metrics of self-guided tagging: which standards a model ends at, and how far they are from the labels.

The definitions are those of the published script (allenai/mathfish, scripts/evaluate_tree_traverser.py): shares are of
all predicted standards of all problems with labels; the distance is the mean, over predicted standards with a path, of
the number of edges to the nearest label in the coherence map, taken undirected. A mean over nothing is None there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from math import prod
from typing import Any

from spark_jobs.mathfish.curriculum import MODELING, Curriculum

Row = dict[str, Any]


class Distances:
    """Distances in the map of a curriculum, each computed once."""

    def __init__(self, tree: Curriculum) -> None:
        self._from = cache(tree.distances)

    def nearest(self, standard: str, labels: Sequence[str]) -> int | None:
        """The number of edges from a standard to the nearest label; None without a path."""
        reached = self._from(standard)
        return min((reached[label] for label in labels if label in reached), default=None)


def placed(tree: Curriculum, distances: Distances, predicted: Sequence[str], labels: Sequence[str]) -> Row:
    """The columns of mathfish.traversals that compare predicted standards with labels.

    Example:
        >>> from spark_jobs.mathfish.made import made_curriculum
        >>> tree = made_curriculum()
        >>> placed(tree, Distances(tree), ["4.NF.A.2", "K.CC.A.1"], ["3.NF.A.3"])
        {'in_group': 1, 'in_grade': 0, 'distances': [1, 4]}
    """
    groups = {tree.group(label) for label in labels}
    grades = {tree.grade(label) for label in labels}
    return {
        "in_group": sum(tree.group(each) in groups for each in predicted),
        "in_grade": sum(tree.grade(each) in grades for each in predicted),
        "distances": [distances.nearest(each, labels) for each in predicted],
    }


def summarise_traversals(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """The metrics of rows of mathfish.traversals that have labels.

    `weak_label_subset_pred` and `weak_pred_subset_label` are the shares, among weakly right problems, of those with
    too many standards and too few. `precision_none_LEVEL` and `recall_none_LEVEL` count the prompts of a level in
    which no option is right.
    """
    pairs = [(set(row["predicted"]), set(row["labels"])) for row in rows]
    weak = [(predicted, labels) for predicted, labels in pairs if predicted & labels]
    predicted = sum(len(each) for each, _ in pairs)
    reached = [distance for row in rows for distance in row["distances"] if distance is not None]
    found = {
        "acc": _share(sum(one == other for one, other in pairs), len(rows)),
        "weak_acc": _share(len(weak), len(rows)),
        "weak_label_subset_pred": _share(sum(other < one for one, other in weak), len(weak)),
        "weak_pred_subset_label": _share(sum(one < other for one, other in weak), len(weak)),
        "predicted_each": _share(predicted, len(rows)),
        "labels_each": _share(sum(len(labels) for _, labels in pairs), len(rows)),
        "in_gold_group": _share(sum(row["in_group"] for row in rows), predicted),
        "in_gold_grade": _share(sum(row["in_grade"] for row in rows), predicted),
        "min_distance": _share(sum(reached), len(reached)),
        "no_path": _share(predicted - len(reached), predicted),
        "ok_format": _share(sum(row["complete"] for row in rows), len(rows)),
    }
    for level in ("cluster", "standard"):
        steps = [step for row in rows for step in row["steps"] if step["level"] == level]
        none_replied = [step for step in steps if not step["chosen"] and not step["malformed"]]
        right = [step for step in steps if not step["correct"]]
        both = sum(not step["correct"] for step in none_replied)
        found[f"precision_none_{level}"] = _share(both, len(none_replied))
        found[f"recall_none_{level}"] = _share(both, len(right))
    return found


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def chance_traversal(tree: Curriculum, labels: Sequence[str]) -> tuple[float, float]:
    """The expected exact and weak accuracy of a traversal that takes one option of each prompt at random."""
    gold, exact, weak = set(labels), 0.0, 0.0
    for group in tree.groups:
        options = tree.cluster_options(group.name) if group.name != MODELING else []
        for _, clusters in options:
            likely = 1 / (len(tree.groups) * len(options))
            shares = [
                (len(gold & set(below)) / len(below) if (below := tree.below(cluster)) else 0.0) for cluster in clusters
            ]
            weak += likely * (1 - prod(1 - share for share in shares))
            hits = [[each for each in tree.below(cluster) if each in gold] for cluster in clusters]
            if len(clusters) == len(gold) and all(len(hit) == 1 for hit in hits):
                exact += likely * prod(1 / len(tree.below(cluster)) for cluster in clusters)
    return exact, weak
