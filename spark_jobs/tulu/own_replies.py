"""A policy's own verified replies as training data: rejection sampling, and pairs for online preference optimisation.

The paper tried both and kept neither (arXiv 2411.15124, section 7.3). A policy replies several times to each prompt
(`trainers.answer_problems` with `samples`), and a verifier judges the replies. Rejection sampling trains on a verified
reply; a round of online preference optimisation trains on a verified and a refuted one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from catalog.errors import WatershedError
from spark_jobs.hash_order import hash_key

Row = dict[str, Any]
Use = Literal["best", "pairs"]


def drawn(
    answers: Iterable[Mapping[str, Any]], data: Sequence[Mapping[str, Any]], use: Use, seed: int = 0
) -> tuple[list[Row], dict[str, int]]:
    """Rows that `trainers.sft` (best) or `trainers.dpo` (pairs) reads, in the order of the data; and what was left out.

    Args:
        answers: rows of answers.jsonl: `row`, `text` and `score` of each reply.
        data: the prompts that were answered, with `messages`; row i of the answers is row i of these.
        use: "best": a verified reply to each prompt. "pairs": a verified and a refuted reply to each prompt.
        seed: of the choice among replies of the same verdict. The same replies give the same rows, in any order.

    Returns:
        The rows, and how many prompts have `no verified reply`, `no refuted reply` or `no reply`.

    Raises:
        WatershedError: an answer names a row that the data does not have, or lacks a field.

    Example:
        >>> prompts = [{"id": "p", "messages": [{"role": "user", "content": "1 + 1?"}]}]
        >>> replies = [{"row": 0, "text": "3", "score": 0.0}, {"row": 0, "text": "2", "score": 1.0}]
        >>> drawn(replies, prompts, "pairs")[0][0]["chosen"]
        '2'
    """
    by_row: dict[int, dict[bool, set[str]]] = defaultdict(lambda: {True: set(), False: set()})
    for number, answer in enumerate(answers):
        try:
            row, text, passed = int(answer["row"]), str(answer["text"]), float(answer["score"]) >= 1
            _ = data[row]["messages"] if row >= 0 else data[len(data)]
        except (KeyError, IndexError, TypeError, ValueError):
            raise WatershedError(
                f"answer {number} has no row of the data, text and score",
                "give answers.jsonl of trainers.answer_problems, and the file that it answered",
            ) from None
        if text.strip():
            by_row[row][passed].add(text)
    found: list[Row] = []
    left_out = {"no reply": 0, "no verified reply": 0, "no refuted reply": 0}
    for number, prompt in enumerate(data):
        replies = by_row.get(number, {True: set(), False: set()})
        right, wrong = (
            sorted(replies[passed], key=lambda t: hash_key(seed, "own reply", number, t)) for passed in (True, False)
        )
        if not right:
            left_out["no verified reply" if wrong else "no reply"] += 1
        elif use == "pairs" and not wrong:
            left_out["no refuted reply"] += 1
        else:
            found.append(_row(prompt, right[0], wrong[0] if use == "pairs" else None, number))
    return found, {reason: count for reason, count in left_out.items() if count}


def _ordered(texts: Iterable[str], seed: int, number: int) -> list[str]:
    return sorted(texts, key=lambda text: hash_key(seed, "own reply", number, text))


def _row(prompt: Mapping[str, Any], chosen: str, rejected: str | None, number: int) -> Row:
    messages = list(prompt["messages"])
    shared: Row = {"id": str(prompt.get("id", number)), "source": str(prompt.get("source", "")), "on_policy": True}
    if rejected is None:
        return {**shared, "messages": [*messages, {"role": "assistant", "content": chosen}]}
    return {**shared, "prompt": messages, "chosen": chosen, "rejected": rejected}
