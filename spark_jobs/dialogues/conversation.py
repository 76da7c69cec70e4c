"""Two instances of a model that talk to each other under a plan."""

from __future__ import annotations

from dataclasses import dataclass, field

from spark_jobs.dialogues import prompts
from spark_jobs.dialogues.prompts import AGENT, USER
from spark_jobs.dialogues.reading import message_of
from spark_jobs.dialogues.recipe import DialogueRecipe
from spark_jobs.language_models.client import Client
from spark_jobs.language_models.request import Request, Sampling

STOPS = (f"\n{USER}:", f"\n{AGENT}:")
ROLE = {USER: "user", AGENT: "assistant"}
MOST_TURNS = 1000
"""Seeds of a dialogue; a longer one would share seeds with the next."""


@dataclass
class Spoken:
    """A dialogue as it was spoken. The fields are columns of `dialogues.conversations`."""

    messages: list[dict[str, str]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    prompt_tokens: int | None = 0
    reply_tokens: int | None = 0
    ended: str = "turn_limit"
    failure: str | None = None


async def converse(client: Client, recipe: DialogueRecipe, number: int, plan: str) -> Spoken:
    """Let a user and an agent speak in turn, until the user is done, a request fails, or the limit of turns."""
    spoken = Spoken()
    for turn in range(recipe.most_turns):
        side = (USER, AGENT)[turn % 2]
        row = await client.reply(_request(spoken, recipe, number, plan, side))
        spoken.requests.append(row.request)
        if not row.answered:
            spoken.ended, spoken.failure = "failed", row.error
            return spoken
        spoken.prompt_tokens = _sum(spoken.prompt_tokens, row.prompt_tokens)
        spoken.reply_tokens = _sum(spoken.reply_tokens, row.reply_tokens)
        text, done = message_of(row.text)
        # "DONE" without a word of its own is not a message.
        if text or not done:
            if row.truncated:
                spoken.cut.append(len(spoken.messages))
            spoken.messages.append({"role": ROLE[side], "content": text})
        if done and turn > 0:
            spoken.ended = "done"
            return spoken
        # An empty message would be followed by empty ones.
        if not text:
            spoken.ended, spoken.failure = "failed", "empty_message"
            return spoken
    return spoken


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _request(spoken: Spoken, recipe: DialogueRecipe, number: int, plan: str, side: str) -> Request:
    """Return the request of a side, which sees its own messages as those of the assistant."""
    own = ROLE[side]
    seen = [("assistant" if each["role"] == own else "user", each["content"]) for each in spoken.messages]
    opening = [] if side == AGENT else [("user", prompts.OPENING)]
    settings = Sampling(
        max_tokens=recipe.turn_tokens,
        temperature=recipe.temperature,
        # A seed of its own for each turn: with the same numbers drawn, a side repeats the other one.
        seed=(recipe.seed * 1_000_003 + number) * MOST_TURNS + len(spoken.requests),
        stop=STOPS,
    )
    return Request(messages=(("system", prompts.speaker(side, plan)), *opening, *seen), settings=settings)
