"""A tiny model that answers the prompts: trained for a minute on made problems with other numbers than those asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.files import write_whole
from catalog.settings import Settings

if TYPE_CHECKING:
    from spark_jobs.mathfish.curriculum import Curriculum
    from spark_jobs.mathfish.tasks import Task

SEQUENCE_LENGTH = 1024
"""Tokens of a prompt and its reply: a problem and the 34 clusters of the largest domain group."""
VOCABULARY = 2048
HELDOUT = 100
"""Texts that are held out."""
SEED = 1
"""Of the made problems that are read; those that are asked have seed 0."""
TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}→ {% endif %}{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}→{% endif %}"
)
"""The form of the texts, as a chat template. A sign that stands nowhere else begins a reply, because a model of this
size learns what follows a token long before it learns whose turn it is."""


def lessons(tree: Curriculum, count: int) -> Iterator[str]:
    """Yield prompts about made problems with their right replies.

    As many verifications are answered yes as no: five negatives for each positive would teach a model to say no. There
    are about as many prompts of tagging.
    """
    from spark_jobs.mathfish.labels import problem_and_label_rows
    from spark_jobs.mathfish.made import made_problems
    from spark_jobs.mathfish.tasks import TaskRecipe, tasks_of

    drawn = [
        {"problem": row["id"], "text": row["text"], "elements": "{}", "labels": row["standards"], "answer": None}
        for row in made_problems(count, SEED)
    ]
    rows, _ = problem_and_label_rows(tree, drawn)
    for task in tasks_of(tree, rows, TaskRecipe()):
        for _ in range({"positive": 5, "": 3}.get(task.strategy, 1)):
            yield f"{task.messages[0][1]}\n→ {right_reply(task)}\n"


def right_reply(task: Task) -> str:
    """Return the right reply to a verification or tagging prompt."""
    from spark_jobs.mathfish.tasks import letters

    return task.answer.capitalize() if task.kind == "verification" else ", ".join(letters(task.correct)) or "none"


def train_tiny_model(settings: Settings, tree: Curriculum, run: str, count: int) -> Path:
    """Train the tiny model, unless it has been trained; return the folder of its run, with its chat template.

    Args:
        settings: the settings of the project.
        tree: the curriculum.
        run: the preset of the model, such as 70k-0.5xC.
        count: made problems of each label that it reads about.

    Raises:
        WatershedError: the trainer failed.
    """
    from dagster_project.engine.trainer_process import run_trainer
    from spark_jobs.shards.texts import write_texts
    from spark_jobs.shards.tokenizer import train_tokenizer

    found = list(lessons(tree, count))
    digest = hashlib.sha256(json.dumps([found, run, SEQUENCE_LENGTH, VOCABULARY]).encode()).hexdigest()[:16]
    folder = settings.files_root / "mathfish" / "tiny" / digest
    out = folder / "run"
    if not (out / "result.json").exists():
        order = sorted(found, key=lambda text: hashlib.sha256(text.encode()).digest())
        write_texts(
            folder / "shards",
            train_tokenizer(sorted(set(found)), VOCABULARY),
            {"train": order[HELDOUT:], "heldout": order[:HELDOUT]},
            source="made",
            sequence_length=SEQUENCE_LENGTH,
            fingerprint=digest,
        )
        places = {"shards": str(folder / "shards"), "out": str(out), "device": settings.trainer.device}
        # A step reads one sequence: a long list of options that was read before, or a problem that is new. Their losses
        # differ by more than the leap that usually says that a run diverges.
        run_trainer("trainers.pretrain", {"preset": run, "spike": 0.0, **places}, "tiny model")
    write_whole(out / "chat_template.jinja", TEMPLATE.encode())
    return out
