"""What a model answered to each example, and what that makes a task's score."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from trainers.icl.aggregate import centred
from trainers.icl.choice import choose
from trainers.icl.programs import passes
from trainers.icl.score import Scored
from trainers.icl.tasks import Task, Version
from trainers.icl.tokens import Request

METRICS = ("accuracy", "accuracy_sum", "accuracy_bytes", "exact_match", "bits_per_byte")
"""Of a task, those that its kind has: means over examples, or over subjects of means over examples."""
ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation + "‘’´`", " "))

Row = dict[str, Any]


def answer_row(task: Task, request: Request, scored: Sequence[Scored], generated: str | None = None) -> Row:
    """One example as a line of the journal.

    `predicted` and `correct` follow DCLM: the choice of the lowest loss a token (llm-foundry's
    InContextLearningMultipleChoiceAccuracy); every token the likeliest (LMAccuracy); or what was written beginning
    with an accepted answer (GenerationAccuracy). `predicted_sum` and `predicted_bytes` rank by the log-likelihood as it
    is, and by UTF-8 byte (lm-evaluation-harness's acc and, but for its characters, acc_norm).
    """
    prompt = request.prompt
    logprobs = [entry.logprob for entry in scored]
    gold = prompt.gold if len(scored) > 1 else 0
    row: Row = {
        "example": prompt.example,
        "subject": prompt.subject,
        "gold": prompt.gold,
        "choice_logprobs": logprobs,
        "choice_tokens": [entry.tokens for entry in scored],
        "choice_bytes": list(request.answer_bytes),
        "bits_per_byte": -logprobs[gold] / math.log(2) / request.answer_bytes[gold],
        "prompt_digest": prompt.digest,
    }
    if len(scored) > 1:
        by_token = choose(logprobs, prompt.gold, lengths_C=row["choice_tokens"])
        row["predicted"] = by_token.predicted
        row["predicted_sum"] = choose(logprobs, prompt.gold).predicted
        row["predicted_bytes"] = choose(logprobs, prompt.gold, lengths_C=row["choice_bytes"]).predicted
        row["correct"] = by_token.correct
    elif generated is None:
        row["correct"] = scored[0].greedy
    else:
        answer, accepted = normalised(final_answer(task, generated)), {normalised(text) for text in prompt.accepted}
        row["generated"] = generated
        row["correct"] = any(answer.startswith(text) for text in accepted)
        row["exact_match"] = answer in accepted
    return row


def final_answer(task: Task, generated: str) -> str:
    """What follows the last end of a chain of thought, if the task has one."""
    delimiter = task.chain_of_thought_delimiter
    return generated.rsplit(delimiter, maxsplit=1)[-1] if delimiter else generated


def normalised(answer: str) -> str:
    """Lower case without punctuation, articles and surplus white space: TriviaQA's normalisation (arXiv 1705.03551)."""
    return " ".join(ARTICLES.sub(" ", answer.replace("_", " ").lower().translate(PUNCTUATION)).split())


def task_summary(task: Task, rows: Sequence[Row], version: Version, examples: int) -> dict[str, Any]:
    """A task's entry in summary.json, from an answer to each example that was asked."""
    baseline = task.baseline[version]
    summary: dict[str, Any] = {
        "task": task.name,
        "kind": task.kind,
        "category": task.category,
        "shots": task.shots,
        "examples": examples,
        "asked": len(rows),
        "baseline": baseline,
    }
    if task.kind == "code_generation":
        found = passes(rows)
        return summary | found | {"accuracy": found["pass_at_1"], "centred": centred(found["pass_at_1"], baseline)}
    summary |= {name: value for name in METRICS if (value := _mean(task, rows, name)) is not None}
    return summary | {"centred": centred(summary["accuracy"], baseline)}


def _mean(task: Task, rows: Sequence[Row], metric: str) -> float | None:
    subjects: dict[str, list[float]] = {}
    for row in rows:
        value = _value(row, metric)
        if value is None:
            return None
        subjects.setdefault(row["subject"] if task.by_subject else "", []).append(value)
    return float(np.mean([np.mean(values) for values in subjects.values()]))


def _value(row: Row, metric: str) -> float | None:
    if metric == "accuracy":
        return float(row["correct"])
    if metric in ("accuracy_sum", "accuracy_bytes"):
        predicted = row.get(metric.replace("accuracy", "predicted"))
        return None if predicted is None else float(predicted == row["gold"])
    return row.get(metric)
