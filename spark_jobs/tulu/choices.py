"""Log-probabilities of the choices of a question, which TruthfulQA's MC2 compares (arXiv 2109.07958, section 3.2).

A server is asked for the log-probabilities of a prompt's own tokens (`echo` of OpenAI's completions). `watershed serve`
and vLLM give them; hosted chat models do not. Question and choices are plain text, without a chat template.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from catalog.errors import WatershedError
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.language_models.replies import MalformedReply, bounded_json
from spark_jobs.language_models.wire import Wire
from spark_jobs.tulu.suites import Task

Raw = Mapping[str, Any]
Row = dict[str, Any]


def read_question(task: Task, raw: Raw) -> tuple[str, list[str], list[bool]]:
    """The question of an instance, its choices, and which of them are true.

    Raises:
        WatershedError: it is not a row of the data set's configuration `multiple_choice`.

    Example:
        >>> from spark_jobs.tulu.suites import tasks
        >>> raw = {"question": "Is it?", "mc2_targets": {"choices": ["Yes", "No"], "labels": [1, 0]}}
        >>> read_question(tasks()["truthfulqa"], raw)
        ('Is it?', ['Yes', 'No'], [True, False])
    """
    try:
        targets = raw["mc2_targets"]
        choices, labels = [str(each) for each in targets["choices"]], [bool(each) for each in targets["labels"]]
        question = str(raw["question"])
    except (KeyError, TypeError) as error:
        raise WatershedError(
            f"an instance is not one of {task.dataset}: {type(error).__name__} {str(error)[:80]}",
            f"give rows of the configuration multiple_choice of {task.dataset}",
        ) from None
    if len(choices) != len(labels) or not any(labels):
        raise WatershedError(f"an instance of {task.task} has no true choice", f"give rows of {task.dataset}")
    return question, choices, labels


def prompt_of(task: Task, question: str, examples: Sequence[Raw]) -> str:
    """The text before a choice: the examples with their first true choice, and the question.

    Raises:
        WatershedError: there are fewer examples than the task declares.
    """
    if len(examples) < task.shots:
        raise WatershedError(
            f"{task.task} has {task.shots} examples in its prompt, and {len(examples)} are given",
            f"give a file of {task.shots} instances that are not among those that are asked",
        )
    shown = []
    for raw in examples[: task.shots]:
        asked, choices, labels = read_question(task, raw)
        shown.append(f"Q: {asked}\nA: {choices[labels.index(True)]}\n\n")
    return f"{''.join(shown)}Q: {question}\nA:"


def choice_rows(endpoint: Endpoint, task: Task, instances: Sequence[Raw], examples: Sequence[Raw] = ()) -> list[Row]:
    """Rows with the log-probability of each choice, as `[tulu] results` holds them for MC2.

    Raises:
        WatershedError: a row is not one of the data set, or the server gives no log-probabilities of a prompt.
    """
    read = [read_question(task, raw) for raw in instances]
    texts = [(prompt_of(task, question, examples), f" {choice}") for question, choices, _ in read for choice in choices]
    found = iter(asyncio.run(_logprobs(endpoint, texts)))
    return [
        {
            "id": str(raw.get("id", number)),
            "sample": 0,
            "choice_logprobs": [next(found) for _ in choices],
            "true": labels,
        }
        for number, (raw, (_, choices, labels)) in enumerate(zip(instances, read, strict=True))
    ]


async def _logprobs(endpoint: Endpoint, texts: Sequence[tuple[str, str]]) -> list[float]:
    limit = asyncio.Semaphore(endpoint.settings.concurrency)
    async with Wire(endpoint) as wire:

        async def one(before: str, choice: str) -> float:
            async with limit:
                return await _logprob(wire, before, choice)

        return list(await asyncio.gather(*(one(*each) for each in texts)))


def sum_at_end(tokens: Sequence[str], logprobs: Sequence[float | None], size: int) -> float:
    """The sum over the last tokens, as many as have `size` bytes; one that begins before them counts whole.

    Args:
        tokens: as OpenAI spells them, bytes that are not a whole character as `bytes:\\xe2\\x82`.

    Raises:
        ValueError: the tokens have fewer bytes, or one of them has no log-probability.

    Example:
        >>> sum_at_end(["A:", " no", "ne"], [None, -1.5, -0.5], 5)
        -2.0
    """
    total, left = 0.0, size
    for token, logprob in zip(reversed(tokens), reversed(logprobs), strict=True):
        if left <= 0:
            return total
        if logprob is None:
            break
        total += float(logprob)
        left -= token.count("\\x") if token.startswith("bytes:") else len(token.encode())
    if left > 0:
        raise ValueError("fewer bytes than the choice")
    return total


async def _logprob(wire: Wire, before: str, choice: str) -> float:
    """The sum of the log-probabilities of the tokens of `choice` after `before`."""
    from openai import OpenAIError

    name = wire.endpoint.name
    try:
        response = await wire.openai.completions.with_raw_response.create(
            model=wire.endpoint.model, prompt=before + choice, max_tokens=0, echo=True, logprobs=0, temperature=0
        )
        logprobs = bounded_json(response.content)["choices"][0]["logprobs"]
        total = sum_at_end(logprobs["tokens"], logprobs["token_logprobs"], len(choice.encode()))
    except OpenAIError as error:
        raise WatershedError(
            f"[models.{name}] gives no log-probabilities of a prompt: {wire.scrub(str(error))[:200]}",
            "serve the model by `watershed serve` or vLLM, and give its url",
        ) from None
    except (MalformedReply, KeyError, IndexError, TypeError, ValueError):
        raise WatershedError(
            f"[models.{name}] gives no log-probabilities of a prompt",
            "serve the model by `watershed serve` or vLLM, and give its url",
        ) from None
    return total
