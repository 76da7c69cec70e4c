"""Prompts as the token rows that a model reads.

Preamble, context and answer are tokenised apart, as llm-foundry does: a token never spans two of them, so what two
rows share as text they share as tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trainers.icl.files import Example
from trainers.icl.prompts import Prompt, solution
from trainers.icl.tasks import Task
from trainers.process.errors import TrainerError
from trainers.serving.tokenizers import Tokenizer

Ints = NDArray[np.int32]

TOKENISED_AT_A_TIME = 1024
THOUGHT_BUFFER = 10
"""Tokens that a model may write beyond the longest solution where it has to think (llm-foundry)."""


class TooLong(TrainerError):
    """An answer leaves no room for any context: the model cannot be asked this task."""


@dataclass(frozen=True)
class Row:
    """A context and what is scored after it."""

    tokens: Ints
    """(T,): the oldest of the context are cut off where the model, or the task, reads fewer."""
    scored: int
    """Tokens at the end that are scored; at least one token comes before them."""


@dataclass(frozen=True)
class Request:
    """What a model is asked for one example."""

    prompt: Prompt
    rows: tuple[Row, ...]
    """One a choice, or one a context."""
    answer_bytes: tuple[int, ...]
    """UTF-8 bytes of what each row scores, without the space before."""
    generate: Ints | None = None
    """The prompt to write on from."""

    @cached_property
    def shared(self) -> int:
        """Tokens that rows begin with which are read once: at most all but the last of each context.

        0 where there is but one row to read, because the others differ in a last token that is scored and not read.
        """
        if len({row.tokens[:-1].tobytes() for row in self.rows}) == 1:
            return 0
        first = self.rows[0].tokens[: min(len(row.tokens) - row.scored for row in self.rows) - 1]
        for row in self.rows[1:]:
            differ = np.flatnonzero(first != row.tokens[: len(first)])
            first = first[: differ[0]] if len(differ) else first
        return len(first)

    @cached_property
    def tails(self) -> list[bytes]:
        """What is read of each row after `shared`, as int32: all but the last token."""
        return [row.tokens[self.shared : -1].tobytes() for row in self.rows]


def needs_space(tokenizer: Tokenizer) -> bool:
    """Whether an answer is given a space before it: not where the tokenizer puts one there itself (SentencePiece)."""
    first, second = tokenizer.encode(["x", "a"], special=False)
    return " " not in tokenizer.decode(first + second).strip()


def most_written(task: Task, examples: Sequence[Example], tokenizer: Tokenizer) -> int:
    """Tokens that a model may write: as many as the longest answer, alias or solution of the file, and a buffer."""
    texts = {solution(task, example) for example in examples}
    texts |= {
        solution(task, example).removesuffix(example.answers[0]) + alias
        for example in examples
        for alias in example.answers[1:]
    }
    longest = max(len(tokens) for tokens in tokenizer.encode(sorted(texts), special=True))
    return max(1, longest + (THOUGHT_BUFFER if task.chain_of_thought_delimiter else 0))


def requests(
    task: Task, prompts: Sequence[Prompt], tokenizer: Tokenizer, most_read: int, most_new: int
) -> Iterator[Request]:
    """Token rows of each prompt.

    Args:
        most_read: tokens that the model reads at once; a task asks for no more than its `context_tokens`.
        most_new: of `most_written`, for a task that generates.

    Raises:
        TooLong: an answer leaves no room for any context.
    """
    limit = min(task.context_tokens, most_read)
    space = needs_space(tokenizer)
    for start in range(0, len(prompts), TOKENISED_AT_A_TIME):
        some = prompts[start : start + TOKENISED_AT_A_TIME]
        preambles = tokenizer.encode([prompt.preamble for prompt in some], special=True)
        contexts = iter(tokenizer.encode([text for prompt in some for text in prompt.contexts], special=False))
        answers = iter(
            tokenizer.encode([_spaced(text, space) for prompt in some for text in prompt.answers], special=False)
        )
        for prompt, preamble in zip(some, preambles, strict=True):
            ended = len(preamble) > 1 and preamble[-1] == tokenizer.eot
            before = preamble[:-1] if ended else preamble
            its_contexts = [before + next(contexts) for _ in prompt.contexts]
            its_answers = [next(answers) for _ in prompt.answers]
            pairs = [(context, answer) for context in its_contexts for answer in its_answers]
            yield Request(
                prompt=prompt,
                rows=tuple(_row(context, answer, limit, prompt) for context, answer in pairs),
                answer_bytes=tuple(len(text.strip().encode()) for _ in prompt.contexts for text in prompt.answers),
                generate=_cut(its_contexts[0], limit - most_new) if prompt.accepted else None,
            )


def _spaced(text: str, space: bool) -> str:
    return f" {text}" if space and not text.startswith(" ") else text


def _row(context: list[int], answer: list[int], limit: int, prompt: Prompt) -> Row:
    if len(answer) >= limit:
        raise TooLong(
            f"example {prompt.example} has an answer of {len(answer)} tokens, the model reads {limit}",
            "take a model with a longer context, or leave the task out",
        )
    return Row(np.concatenate((_cut(context, limit - len(answer)), np.array(answer, dtype=np.int32))), len(answer))


def _cut(context: list[int], room: int) -> Ints:
    return np.array(context[-room:], dtype=np.int32)
