"""Programs that a model writes to a task's examples, run against their tests in locked-down processes; pass@k."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from trainers.icl.files import Example
from trainers.icl.prompts import Prompt
from trainers.icl.score import drawn_texts, greedy_texts
from trainers.icl.tasks import Task
from trainers.process.errors import TrainerError
from trainers.serving.language_model import Opened
from trainers.verifiers.code.passes import mean_pass_at_k
from trainers.verifiers.code.score import score_code

KS = (1, 10, 100)
"""The k of pass@k that are reported, as far as there are samples."""
TOGETHER = 32
"""Samples that are written at a time."""
RUNNING = 4
"""Programs that run at a time."""


def program_row(  # noqa: PLR0917 - one example of one task
    task: Task, prompt: Prompt, example: Example, opened: Opened, samples: int, temperature: float, most_new: int
) -> dict[str, Any]:
    """One example as a line of the journal, its programs written and run.

    Args:
        task: with its stops.
        prompt: of the example.
        example: with tests, and the name of the function that is asked for if it has one.
        opened: the model.
        samples: programs to write.
        temperature: 0 takes the likeliest token each time, so that one program says all.
        most_new: tokens of a program.

    Raises:
        TrainerError: this machine cannot lock a process down.
    """
    context = prompt.contexts[0]
    (ids,) = opened.tokenizer.encode([context], special=True)
    tokens = np.array(ids[-max(1, opened.model.length - most_new) :], dtype=np.int32)
    written: list[str] = []
    while len(written) < samples:
        count = min(TOGETHER, samples - len(written))
        if temperature:
            seed = task.seed + 1_000_003 * prompt.example + len(written)
            written += drawn_texts(
                opened.model, opened.tokenizer, [tokens] * count, most_new, task.stops, temperature, seed
            )
        else:
            written += greedy_texts(opened.model, opened.tokenizer, [tokens], most_new, task.stops) * count
    with ThreadPoolExecutor(RUNNING) as pool:
        verdicts = list(
            pool.map(
                lambda text: score_code(text, tests=example.tests, entry_point=example.entry_point, prompt=context),
                written,
            )
        )
    passed = sum(verdict.passed for verdict in verdicts)
    first = next((text for text, verdict in zip(written, verdicts, strict=True) if verdict.passed), written[0])
    return {
        "example": prompt.example,
        "subject": prompt.subject,
        "gold": 0,
        "generated": first,
        "correct": verdicts[0].passed,
        "samples": samples,
        "passed": passed,
        "reason": verdicts[0].reason,
        "prompt_digest": prompt.digest,
    }


def check_samples(samples: int, temperature: float) -> None:
    """TrainerError where the samples of a problem would all be one, or there are none."""
    if samples < 1 or temperature < 0:
        raise TrainerError(f"{samples} samples at a temperature of {temperature:g}", "give at least one, at 0 or more")
    if samples > 1 and not temperature:
        raise TrainerError(
            f"{samples} samples at a temperature of 0 are one program", "give a --temperature such as 0.8"
        )


def passes(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """pass@1, pass@10 and pass@100 as "pass_at_1" and so on, as far as every problem has as many samples."""
    counts = [(row["samples"], row["passed"]) for row in rows]
    found = {f"pass_at_{k}": mean_pass_at_k(counts, k) for k in KS}
    return {name: value for name, value in found.items() if value is not None}
