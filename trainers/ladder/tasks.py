"""The ladder's tasks: which columns of a published run measure them, and the accuracy of guessing.

All are 5-shot ranked classification; the split, MMLU's weights and the metric are those of Bhagia et al.
(arXiv 2412.04403, section 2) and its code (allenai/OLMo-ladder, src/scaling/utils.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

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
    own: Mapping[str, str] = field(default_factory=dict)
    """Of a task that is not in `TASKS`: the column of `accuracy`, `bits_per_byte` and, if there is one, `soft_log`."""

    def columns(self, kind: str) -> tuple[tuple[str, float], ...]:
        """Weighted columns of `accuracy` or of an intermediate; none where an own task lacks the intermediate."""
        if kind == VALIDATION:
            return ((VALIDATION_COLUMN, 1.0),)
        if self.own:
            return ((self.own[kind], 1.0),) if kind in self.own else ()
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


OWN_CHANCE = 0.25
"""Of a task that is found by its columns; models.json may say another."""
LOSS_COLUMN = re.compile(r"(?P<folder>.*/)?downstream_bpb/(?P<stem>.+)_bpb|(?P<plain>[^/]+)_bpb")


def found_tasks(header: Iterable[str]) -> dict[str, Task]:
    """The tasks that a run's columns measure: those of `TASKS`, then any other pair of a loss and an accuracy.

    `eval/downstream_bpb/mine_rc_5shot_bpb` with `eval/downstream/mine_rc_5shot_len_norm` (or `_acc`) is the task
    `mine`, and so is `mine_bpb` with `mine_acc` (or `mine_len_norm`, `mine_accuracy`).
    """
    there = set(header)
    found = {
        name: task
        for name, task in TASKS.items()
        if there.issuperset(column for kind in ("accuracy", BITS_PER_BYTE) for column, _ in task.columns(kind))
    }
    taken = {column for task in TASKS.values() for column, _ in task.columns(BITS_PER_BYTE)}
    for column in header:
        match = LOSS_COLUMN.fullmatch(column)
        if match is None or column in taken:
            continue
        folder = f"{match['folder'] or ''}downstream" if match["stem"] else ""
        stem = match["stem"] or match["plain"]
        accuracies = [f"{folder}/{stem}_{ending}" if folder else f"{stem}_{ending}" for ending in ACCURACY_ENDINGS]
        accuracy = next((name for name in accuracies if name in there), None)
        if accuracy is None:
            continue
        own = {"accuracy": accuracy, BITS_PER_BYTE: column}
        soft = column.replace("downstream_bpb", "downstream_soft_log").removesuffix("bpb") + "soft_log"
        if soft in there:
            own[SOFT_LOG] = soft
        name = stem.removesuffix("_rc_5shot")
        found.setdefault(name, Task(name=name, parts=(), chance=OWN_CHANCE, own=own))
    return found


ACCURACY_ENDINGS = ("len_norm", "acc", "accuracy")


def declared_tasks(written: object, place: str) -> dict[str, Task]:
    """Own tasks as models.json names them: {"mine": {"accuracy": COLUMN, "bits_per_byte": COLUMN, "chance": 0.5}}.

    Raises:
        TrainerError: it is not of this form, or the chance is not from 0 to 1.
    """
    mend = 'write {"tasks": {"mine": {"accuracy": "COLUMN", "bits_per_byte": "COLUMN", "chance": 0.5}}}'
    if not isinstance(written, dict):
        raise TrainerError(f"{place}: `tasks` is not an object", mend)
    found = {}
    for name, fields in written.items():
        known = ("accuracy", BITS_PER_BYTE, SOFT_LOG)
        own = {kind: fields[kind] for kind in known if kind in fields} if isinstance(fields, dict) else {}
        chance = fields.get("chance", OWN_CHANCE) if isinstance(fields, dict) else OWN_CHANCE
        if not {"accuracy", BITS_PER_BYTE} <= own.keys() or not all(isinstance(column, str) for column in own.values()):
            raise TrainerError(f"{place}: task {name!r} lacks the columns of accuracy and bits_per_byte", mend)
        if isinstance(chance, bool) or not isinstance(chance, int | float) or not 0 <= chance < 1:
            raise TrainerError(f"{place}: the chance of task {name!r} is {chance!r}, not from 0 to 1", mend)
        found[str(name)] = Task(name=str(name), parts=(), chance=float(chance), own=own)
    return found


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
