"""The declared evaluations: suites, shots, chain of thought, metric and scorer of each task; and what is sealed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from spark_jobs.recipes.bounded_yaml import compose, construct

TASKS_FILE = Path(__file__).parent / "data" / "tasks.yaml"
SUITES = ("development", "unseen", "safety")
SEALED = "unseen"


@dataclass(frozen=True, kw_only=True)
class Task:
    """An evaluation as published; the fields are the columns of tulu.tasks."""

    task: str
    suite: str
    title: str
    shots: int
    chain_of_thought: bool
    multi_turn: bool
    metric: str
    scorer: str
    rule: str
    samples: tuple[int, ...]
    chat: bool
    dataset: str
    reference: str
    fields: tuple[str, ...]

    @property
    def sealed(self) -> bool:
        """Whether results must not be used to select models."""
        return self.suite == SEALED

    def row(self) -> dict[str, Any]:
        """The row of tulu.tasks."""
        return {**vars(self), "samples": [str(k) for k in self.samples], "fields": list(self.fields)} | {
            "sealed": self.sealed
        }


@cache
def tasks() -> dict[str, Task]:
    """The tasks by name, those of the development suite first.

    Example:
        >>> task = tasks()["gsm8k"]
        >>> task.shots, task.chain_of_thought, task.metric
        (8, True, 'exact match')
    """
    node = compose(TASKS_FILE.read_text(encoding="utf-8"))
    assert node is not None
    found = []
    for raw in construct(node):
        entries: dict[str, Any] = {**raw, "samples": tuple(raw["samples"]), "fields": tuple(raw["fields"])}
        found.append(Task(**entries))
    assert all(each.suite in SUITES for each in found)
    return {each.task: each for each in found}


def suite_of(evaluation: str) -> str:
    """The suite by which contamination is decided: development, unseen, or other for an evaluation of one's own."""
    task = tasks().get(evaluation)
    return "other" if task is None else SEALED if task.sealed else "development"


def search_fields(path: Path) -> tuple[str, ...]:
    """The fields that are searched for in the instances of a file; empty for an evaluation that is not declared."""
    task = tasks().get(path.stem)
    return task.fields if task else ()
