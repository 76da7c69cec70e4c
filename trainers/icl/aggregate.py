"""CORE, EXTENDED and MMLU from the accuracies of tasks (DCLM, arXiv 2406.11794; its eval/aggregated_metrics.py).

An aggregate has no value when one of its tasks is missing: a mean over the others would look the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainers.icl.tasks import Task, checked_version, dclm_tasks

MMLU = "mmlu_fewshot"


@dataclass(frozen=True)
class Aggregate:
    """A number, or which tasks it lacks."""

    value: float | None
    missing: tuple[str, ...] = ()

    @property
    def reason(self) -> str | None:
        """Why the value is missing, or None."""
        return f"N/A: lacks {', '.join(self.missing)}" if self.missing else None


def centred(accuracy: float, baseline: float) -> float:
    """(a - b) / (1 - b), both 0..1: 0 for a guess, 1 when all is right."""
    return (accuracy - baseline) / (1 - baseline)


def centred_scores(scores: Mapping[str, float | None], version: str) -> dict[str, float]:
    """Centred accuracies of the tasks of DCLM that `scores` has; others in it are passed by.

    Raises:
        TrainerError: the version is unknown.
    """
    chosen = checked_version(version)
    return {
        task.name: centred(score, task.baseline[chosen])
        for task in dclm_tasks()
        if (score := scores.get(task.name)) is not None
    }


def aggregates(scores: Mapping[str, float | None], version: str = "v2") -> dict[str, Aggregate]:
    """ "core", "extended", "mmlu" from accuracies (0..1) by DCLM's names of tasks; None counts as missing.

    core: the mean centred accuracy of 22 tasks. extended: of all 53. mmlu: the accuracy, not centred, of mmlu_fewshot.

    Raises:
        TrainerError: the version is unknown.
    """
    found = centred_scores(scores, version)
    tasks = dclm_tasks()
    mmlu = scores.get(MMLU)
    return {
        "core": _mean(found, [task for task in tasks if task.core]),
        "extended": _mean(found, tasks),
        "mmlu": Aggregate(mmlu) if mmlu is not None else Aggregate(None, (MMLU,)),
    }


def categories(scores: Mapping[str, float | None], version: str = "v2") -> dict[str, Aggregate]:
    """The mean centred accuracy of each of DCLM's six categories."""
    found = centred_scores(scores, version)
    names = dict.fromkeys(task.category for task in dclm_tasks())
    return {name: _mean(found, [task for task in dclm_tasks() if task.category == name]) for name in names}


def _mean(found: Mapping[str, float], tasks: Sequence[Task]) -> Aggregate:
    missing = tuple(task.name for task in tasks if task.name not in found)
    return Aggregate(None, missing) if missing else Aggregate(sum(found[task.name] for task in tasks) / len(tasks))
