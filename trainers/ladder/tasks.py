"""The ladder's tasks: which columns of a published run measure them, and the accuracy of guessing.

All are 5-shot ranked classification; the split, MMLU's weights and the metric are those of Bhagia et al.
(arXiv 2412.04403, section 2) and its code (allenai/OLMo-ladder, src/scaling/utils.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trainers.names import close, find
from trainers.process.errors import TrainerError

BITS_PER_BYTE, SOFT_LOG, VALIDATION = "bits_per_byte", "soft_log", "validation"
INTERMEDIATES = (BITS_PER_BYTE, SOFT_LOG, VALIDATION)
"""What may stand between step 1 and step 2: bits per byte of the correct answer; minus the log of the normalised
probability of the correct answer; cross-entropy on the C4 validation set."""
VALIDATION_COLUMN = "eval/c4_en-validation/CrossEntropyLoss"


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task as its runs log it."""

    name: str
    parts: tuple[tuple[str, float], ...]
    """Column stems with their weights: ("hellaswag_val", 1.0)."""
    chance: float = 0.25
    """Accuracy of guessing."""
    metric: str = "len_norm"
    """Accuracy column: length-normalised, or plain `acc`."""

    def columns(self, kind: str) -> tuple[tuple[str, float], ...]:
        """Weighted columns of `accuracy` or of an intermediate."""
        if kind == VALIDATION:
            return ((VALIDATION_COLUMN, 1.0),)
        folder, ending = {
            BITS_PER_BYTE: ("downstream_bpb", "bpb"),
            SOFT_LOG: ("downstream_soft_log", "soft_log"),
            "accuracy": ("downstream", self.metric),
        }[kind]
        return tuple((f"eval/{folder}/{stem}_rc_5shot_{ending}", weight) for stem, weight in self.parts)


def _one(name: str, split: str, chance: float = 0.25, metric: str = "len_norm") -> Task:
    return Task(name=name, parts=((f"{name}_{split}", 1.0),), chance=chance, metric=metric)


MMLU_WEIGHTS = (("stem", 0.215), ("humanities", 0.335), ("social_sciences", 0.219), ("other", 0.231))
"""Questions of each group over all."""

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(name="mmlu", parts=tuple((f"mmlu_{group}_test", weight) for group, weight in MMLU_WEIGHTS)),
        _one("hellaswag", "val"),
        _one("piqa", "val", 0.5),
        _one("socialiqa", "val", 1 / 3),
        _one("arc_challenge", "test"),
        _one("arc_easy", "test"),
        _one("csqa", "val", 0.2),
        _one("openbookqa", "test"),
        _one("boolq", "val", 0.5, "acc"),
        _one("winogrande", "val", 0.5),
    )
}


def chosen(names: Iterable[str], known: Iterable[str] = TASKS) -> tuple[str, ...]:
    """The named tasks, in the ladder's own order; all of them where none is named.

    Raises:
        TrainerError: a name that is not a task of this ladder.
    """
    there, wanted = list(known), []
    for name in names:
        found = find(name, there)
        if found is None:
            raise TrainerError(f"the ladder has no task {name!r}{close(name, there)}", f"tasks: {', '.join(there)}")
        wanted.append(found)
    return tuple(name for name in there if not wanted or name in wanted)
