"""Labels of problems, standardised to the curriculum and inherited to the level of standards."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from catalog.tables.mathfish.curriculum import GRADES, POSITIVE
from spark_jobs.mathfish.curriculum import Curriculum

Row = dict[str, Any]
PRACTICE = re.compile(r"(?i)(ccss\.?math\.?)?(practice\.?)?mp\.?\s?\d")


def label_rows(tree: Curriculum, problem: str, labels: Iterable[tuple[str, str]]) -> list[Row]:
    """Rows of mathfish.labels for the labels of a problem, each standard of a label and relation once.

    A sub-standard stands for its standard, and a cluster, domain or grade for all its standards. A label that the
    curriculum does not have is a row with the reason in `fault`.
    """
    found: list[Row] = []
    seen: set[tuple[str, str, str | None]] = set()
    for relation, written in labels:
        label = tree.standardised(written)
        fault = "" if label else "practice" if PRACTICE.fullmatch(written.strip()) else "unknown"
        standards: list[str | None] = [*tree.inherited(label)] if label else [None]
        if not standards:
            standards, fault = [None], "no standard"
        for standard in standards:
            key = (relation, written if standard is None else "", standard)
            if key in seen:
                continue
            seen.add(key)
            found.append(
                {
                    "problem": problem,
                    "relation": relation,
                    "written": written,
                    "number": len(found),
                    "label": label,
                    "standard": standard,
                    "inherited": tree[label].level if label and standard else None,
                    "positive": relation in POSITIVE and standard is not None,
                    "fault": fault,
                }
            )
    return found


def problem_and_label_rows(tree: Curriculum, problems: Iterable[Mapping[str, Any]]) -> tuple[list[Row], list[Row]]:
    """Rows of mathfish.problems and of mathfish.labels for what `reading.read_problems` yields."""
    rows, labels = [], []
    for problem in problems:
        own = label_rows(tree, problem["problem"], [(relation, label) for relation, label in problem["labels"]])
        standards = sorted({row["standard"] for row in own if row["positive"]})
        grades = sorted({tree.grade(standard) for standard in standards}, key=GRADES.index)
        rows.append(
            {
                **problem,
                "labels": json.dumps(problem["labels"], ensure_ascii=False),
                "positive": bool(standards),
                "standards": standards,
                "grades": grades,
            }
        )
        labels += own
    return rows, labels
