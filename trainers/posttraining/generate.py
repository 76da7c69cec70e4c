"""Replies of a policy to many prompts at once, by the engine that serves models: continuous batching, cached keys.

Every reply draws from its own generator: it depends on its prompt, its seed and the weights, and on the replies beside
it in the rounding of floats alone. For the same requests the engine takes the same steps, so its replies have the same
bits.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from trainers.models.dense import DenseDecoder
from trainers.process.errors import TrainerError
from trainers.serving.engine import Engine, Piece, Request
from trainers.serving.sampling import Sampling
from trainers.serving.steps import Cache, Steps
from trainers.serving.tokenizers import TextTokenizer

PART = 512
"""Tokens of a prompt that are read at a time."""


@dataclass
class Reply:
    """What a policy wrote."""

    tokens: list[int] = field(default_factory=list)
    """With the stop token, where it stopped."""
    logprobs: list[float] = field(default_factory=list)
    """Of each token, by the engine, at temperature 1."""
    stopped: bool = False
    """Whether it ended by itself."""


def replies(
    policy: DenseDecoder,
    tokenizer: TextTokenizer,
    prompts: Sequence[Sequence[int]],
    samplings: Sequence[Sampling],
    *,
    tokens: int,
    ends: frozenset[int],
    most_rows: int,
    cache_tokens: int,
) -> list[Reply]:
    """A reply to each prompt.

    Args:
        tokens: of a reply at most.
        ends: tokens that end one.
        most_rows: replies that are written at the same time.
        cache_tokens: whose keys and values are kept, over all of them.

    Raises:
        TrainerError: a prompt leaves no room for a reply, or the model failed.
    """
    length = policy.config.sequence_length
    found = [Reply() for _ in prompts]
    if not prompts:
        return found
    left, done, failed = [len(prompts)], threading.Event(), [""]

    def take(number: int, piece: Piece) -> None:
        reply = found[number]
        reply.tokens += piece.tokens
        reply.logprobs += [each.logprob for each in piece.likelihoods]
        if piece.finish is None:
            return
        reply.stopped = piece.finish == "stop"
        failed[0] = piece.cause or failed[0]
        left[0] -= 1
        if not left[0]:
            done.set()

    requests = []
    for prompt, sampling in zip(prompts, samplings, strict=True):
        if len(prompt) >= length:
            raise TrainerError(f"a prompt has {len(prompt)} tokens, the model reads {length}", "leave that row out")
        most = min(tokens, length - len(prompt))
        requests.append(Request(prompt=tuple(prompt), most=most, sampling=sampling, ends=ends, top=0))
    budget = max(cache_tokens, length)
    steps = Steps(policy, Cache(policy, budget, length))
    engine = Engine(steps, tokenizer, most_rows=most_rows, queue=len(requests), part=PART)
    # All are queued before the engine begins: it takes the same steps each time.
    engine.submit(requests, take)
    engine.start()
    try:
        done.wait()
    finally:
        engine.close()
        engine.join(60.0)
    if failed[0]:
        raise TrainerError(f"the policy cannot write: {failed[0]}", "go on from an earlier checkpoint")
    return found
