"""How well problems that models wrote teach the standard that was asked for, by teachers and by a model judge."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from spark_jobs.mathfish import prompts
from spark_jobs.mathfish.curriculum import Curriculum
from spark_jobs.mathfish.replies import stated_answers

Row = dict[str, Any]
VERDICTS = ("full", "partial", "none", "not_math")
SIMILAR = 0.6
"""Least similarity, 0..1, of the texts of a problem and a verdict that are not equal. White space does not count."""


def alignment_rows(tree: Curriculum, problems: Iterable[Mapping[str, Any]], teachers: Sequence[Row]) -> list[Row]:
    """Rows of mathfish.alignment: each verdict with its problem.

    A verdict belongs to the problem with the same text and standard; else to the likeliest text among the problems of
    its standard that no verdict has, if it is similar.

    Args:
        tree: the curriculum.
        problems: rows of mathfish.problems.
        teachers: rows of `reading.read_teachers`.
    """
    waiting: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    of: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for problem in problems:
        for standard in problem["standards"]:
            waiting[standard, _bare(problem["text"])].append(problem)
            of[standard].append(problem)
    found: dict[int, tuple[Mapping[str, Any], str]] = {}
    standards = {row["row"]: tree.standardised(row["standard"]) for row in teachers}
    for row in teachers:
        if same := waiting.get((standards[row["row"]] or "", _bare(row["text"]))):
            found[row["row"]] = (same.pop(0), "exact")
    taken = {problem["problem"] for problem, _ in found.values()}
    for row in teachers:
        standard = standards[row["row"]]
        left = [problem for problem in of.get(standard or "", ()) if problem["problem"] not in taken]
        if row["row"] in found or not left:
            continue
        likely = max(left, key=lambda problem: _likeness(problem["text"], row["text"]))
        if _likeness(likely["text"], row["text"]) >= SIMILAR:
            found[row["row"]] = (likely, "similar")
            taken.add(likely["problem"])
    rows = []
    for row in teachers:
        problem, matched = found.get(row["row"], (None, "none"))
        standard = standards[row["row"]] or row["standard"]
        rows.append(
            {
                "problem": problem["problem"] if problem else None,
                "model": problem["source"] if problem else None,
                "row": row["row"],
                "standard": standard,
                "grade": tree.grade(standard),
                "verdict": row["verdict"],
                "explanation": row["explanation"],
                "matched": matched,
            }
        )
    return rows


def _bare(text: str) -> str:
    return "".join(text.split())


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, _bare(one)[:4000], _bare(other)[:4000], autojunk=False).ratio()


def judging_prompt(text: str, elements: str, description: str, most: int = 0) -> str:
    """The prompt that asks a model for a verdict of a problem and a standard."""
    shown = prompts.shown_text(text, json.loads(elements), most)
    return prompts.filled(prompts.JUDGE, {"problem_activity": shown, "standard_description": description})


def read_verdict(reply: str) -> tuple[str | None, str]:
    """The verdict that a reply states, and why it states none.

    It is the JSON field `answer`, the line `Answer: ...`, or the first word of the reply. A reply that states several
    is malformed.

    Example:
        >>> read_verdict("Partial: it counts only to 10."), read_verdict("It is full of numbers.")[1]
        (('partial', ''), 'it states no verdict')
    """
    stated = stated_answers(reply)
    if isinstance(stated, str):
        return None, stated
    found = {_verdict(each) for each in stated}
    if len(found) > 1:
        return None, "it states several answers"
    verdict = found.pop() if found else None
    if verdict == "several":
        return None, "it states several answers"
    return (verdict, "") if verdict else (None, "it states no verdict")


def _verdict(stated: Any) -> str | None:
    if not isinstance(stated, str):
        return None
    text = stated.strip().lower().replace("not math", "not_math").replace("not a math", "not_math")
    first = re.match(r"[^a-z]{0,3}(full|partial|none|not_math)(?![a-z_])", text)
    if not first:
        return None
    if re.match(r"\s*(?:/|\bor\b|\band\b|,)\s*(full|partial|none|not_math)(?![a-z_])", text[first.end() :]):
        return "several"
    return first[1]
