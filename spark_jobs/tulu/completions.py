"""Replies of several models to each prompt (arXiv 2411.15124, section 5): those that are drawn, at temperature 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from catalog.lake import Lake
from spark_jobs.hash_order import hash_key
from spark_jobs.language_models.client import ask
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.language_models.request import Request, Sampling

Row = dict[str, Any]
Opened = Callable[[str], AbstractContextManager[Endpoint]]
"""From an entry of `[models]` to its endpoint, whose server runs for the block."""


@dataclass(frozen=True, kw_only=True)
class CompletionRecipe:
    """Which models reply, and how.

    Attributes:
        models: entries of `[models]` with the model and revision of each.
        replies: models that are drawn for a prompt, the one to be trained included.
        on_policy: the entry of the model to be trained, which replies to every prompt; empty for none.
    """

    models: tuple[tuple[str, str, str], ...]
    replies: int = 4
    on_policy: str = ""
    tokens: int = 2048
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0

    def drawn(self, prompt_id: str) -> list[str]:
        """The models that reply to a prompt."""
        names = [name for name, _, _ in self.models]
        others = sorted(
            (name for name in names if name != self.on_policy),
            key=lambda name: hash_key(self.seed, "generator", prompt_id, name),
        )
        first = [self.on_policy] if self.on_policy in names else []
        return (first + others)[: self.replies]


def completions(
    lake: Lake,
    opened: Opened,
    recipe: CompletionRecipe,
    prompts: Sequence[Mapping[str, Any]],
) -> list[Row]:
    """Rows of tulu.completions for prompts without a failure, model after model.

    Raises:
        WatershedError: see `client.ask`.
    """
    sound = [row for row in prompts if not row["failure"]]
    drawn = {row["prompt_id"]: recipe.drawn(row["prompt_id"]) for row in sound}
    found: list[Row] = []
    for name, _, _ in recipe.models:
        own = [row for row in sound if name in drawn[row["prompt_id"]]]
        if not own:
            continue
        asked = [_request(row["messages"], recipe) for row in own]
        with opened(name) as endpoint:
            replies = ask(lake, endpoint, asked, purpose="tulu.completions")
        for row, reply in zip(own, replies, strict=True):
            failure = reply.error if not reply.answered else None if reply.text.strip() else "empty_reply"
            found.append(
                {
                    "collection": row["collection"],
                    "model": name,
                    "prompt_id": row["prompt_id"],
                    "completion": "" if failure else reply.text,
                    "on_policy": name == recipe.on_policy,
                    "truncated": bool(reply.truncated),
                    "tokens": reply.reply_tokens,
                    "request": reply.request,
                    "failure": failure,
                }
            )
    return found


def _request(messages: Sequence[Mapping[str, Any]], recipe: CompletionRecipe) -> Request:
    settings = Sampling(max_tokens=recipe.tokens, temperature=recipe.temperature, top_p=recipe.top_p, seed=recipe.seed)
    return Request(messages=tuple((each["role"], each["content"]) for each in messages), settings=settings)
