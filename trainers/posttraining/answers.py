"""A policy's replies to problems, each with its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainers.models.dense import DenseDecoder
from trainers.posttraining.begin import Beginning
from trainers.posttraining.generate import Reply, replies
from trainers.posttraining.prompts import Prompt
from trainers.process.files import sha256_text
from trainers.serving.sampling import Sampling


def written_replies(
    policy: DenseDecoder,
    beginning: Beginning,
    prompts: Sequence[Prompt],
    samplings: Sequence[Sampling],
    *,
    tokens: int,
    most_rows: int,
    cache_tokens: int,
) -> list[Reply]:
    """A reply to each prompt, which ends at the run's stop tokens or after `tokens`."""
    assert beginning.stop is not None
    return replies(
        policy,
        beginning.format.tokenizer,
        [prompt.tokens for prompt in prompts],
        samplings,
        tokens=min(tokens, beginning.length - 1),
        ends=frozenset({beginning.stop, *beginning.format.stops}),
        most_rows=most_rows,
        cache_tokens=cache_tokens,
    )


def text_of(beginning: Beginning, reply: Reply) -> str:
    """The text of a reply, without its stop token."""
    return beginning.format.tokenizer.decode(reply.tokens[:-1] if reply.stopped else reply.tokens)


def answered(
    policy: DenseDecoder,
    beginning: Beginning,
    prompts: Sequence[Prompt],
    *,
    samples: int,
    temperature: float,
    tokens: int,
    most_rows: int,
    cache_tokens: int,
) -> list[dict[str, Any]]:
    """A row for each of `samples` replies to each prompt, with its verdict."""
    repeated = [(prompt, sample) for prompt in prompts for sample in range(samples)]
    seeds = [int(sha256_text(f"{beginning.config.seed} {p.id} {sample}")[:15], 16) for p, sample in repeated]
    written = written_replies(
        policy,
        beginning,
        [prompt for prompt, _ in repeated],
        [Sampling(temperature=temperature, seed=seed) for seed in seeds],
        tokens=tokens,
        most_rows=most_rows,
        cache_tokens=cache_tokens,
    )
    rows = []
    for (prompt, sample), reply in zip(repeated, written, strict=True):
        text = text_of(beginning, reply)
        verdict = prompt.judge(text)
        rows.append(
            {
                "row": prompt.row,
                "id": prompt.id,
                "source": prompt.source,
                "sample": sample,
                "prompt": beginning.format.tokenizer.decode(prompt.tokens),
                "text": text,
                "tokens": len(reply.tokens),
                "finish": "stop" if reply.stopped else "length",
                "verifier": prompt.verifier,
                "score": verdict.score,
                "reason": verdict.reason[:200],
            }
        )
    return rows
