"""Multiple-choice questions as token arrays: questions.npz with questions.json beside it.

questions.json holds "tasks", "question_ids" and, if a task is not normalised by bytes, "normalisation" by task.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from trainers.icl.choice import NORMALISATIONS, Normalisation
from trainers.process.errors import TrainerError

ARRAYS = ("tokens", "offsets", "context_tokens", "context_offsets", "options_start", "option_bytes", "gold", "task")

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Questions:
    """Q questions with O options in all."""

    ids: list[str]
    tasks: list[str]
    """Names; `task` numbers into them."""
    normalisation: dict[str, Normalisation]
    """By task."""
    task: Ints
    """(Q,)"""
    gold: Ints
    """(Q,): the right option, counted from the question's first."""
    options_start: Ints
    """(Q + 1,): options of question q are options_start[q] .. options_start[q + 1] - 1."""
    option_bytes: Ints
    """(O,): UTF-8 bytes of each option's text."""
    contexts: list[Ints]
    """Q token lists."""
    options: list[Ints]
    """O token lists, none empty."""

    def question_of_option(self) -> Ints:
        """(O,): the question each option belongs to."""
        return np.repeat(np.arange(len(self.ids)), np.diff(self.options_start))


def read_questions(path: Path, normalisation: str = "") -> Questions:
    """Read and check questions; TrainerError names what does not fit.

    `normalisation` goes before what the file says; "" leaves it.
    """
    mend = "write the questions again (evals.examples)"
    names_path = path.with_suffix(".json")
    for needed in (path, names_path):
        if not needed.is_file():
            raise TrainerError(f"{needed} does not exist", mend)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name].astype(np.int64) for name in ARRAYS}
        names = json.loads(names_path.read_text(encoding="utf-8"))
        ids, tasks = list(names["question_ids"]), list(names["tasks"])
        declared = dict(names.get("normalisation", {}))
    except (KeyError, ValueError, EOFError, BadZipFile) as error:
        raise TrainerError(f"{path} is not a questions file: {' '.join(str(error).split())}", mend) from None
    questions = Questions(
        ids=ids,
        tasks=tasks,
        normalisation={task: normalisation or declared.get(task, "bytes") for task in tasks},  # ty: ignore
        task=arrays["task"],
        gold=arrays["gold"],
        options_start=arrays["options_start"],
        option_bytes=arrays["option_bytes"],
        contexts=np.split(arrays["context_tokens"], arrays["context_offsets"][1:-1]),
        options=np.split(arrays["tokens"], arrays["offsets"][1:-1]),
    )
    problem = _problem(questions)
    if problem:
        raise TrainerError(f"{path}: {problem}", mend)
    return questions


def _problem(questions: Questions) -> str | None:
    """What contradicts itself in the questions, if anything."""
    q, counts = questions, np.diff(questions.options_start)
    if not 0 < len(q.ids) == len(counts) == len(q.gold) == len(q.task) == len(q.contexts):
        return "ids, contexts, options, gold and task differ in number, or there are none"
    if not len(q.options) == q.options_start[-1] == len(q.option_bytes):
        return "options, their starts and their bytes differ in number"
    for task, name in q.normalisation.items():
        if name not in NORMALISATIONS:
            return f"task {task} is normalised by {name!r}, not by one of {', '.join(NORMALISATIONS)}"
    wrong = {
        "a question has fewer than two options": counts < 2,
        "a gold option is not one of its question's": (q.gold < 0) | (q.gold >= counts),
        "a task number has no name": (q.task < 0) | (q.task >= len(q.tasks)),
        "an option has no byte": q.option_bytes <= 0,
        "an option has no token": np.array([len(option) == 0 for option in q.options]),
    }
    return next((problem for problem, found in wrong.items() if found.any()), None)
