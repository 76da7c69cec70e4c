"""A request: a prompt and the settings of its reply. Its digest is what the ledger knows it by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

JSONText = str

MESSAGE_TOKENS = 16
"""Tokens that a chat template adds to a message, at most; for bounds of costs."""


def canonical(value: Any) -> JSONText:
    """Return `value` as JSON without spaces, with sorted keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a reply is sampled; every entry is sent."""

    max_tokens: int = 512
    """Most tokens of the reply."""
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    """Seed of the server, where it has one."""
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    """Whether log-probabilities of the reply's tokens are asked for, and kept."""
    extra: tuple[tuple[str, Any], ...] = ()
    """More fields of the body, for what one server alone understands."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A prompt, its settings, and the number of the sample.

    Attributes:
        messages: the messages of a chat, as (role, content); empty if `prompt` is continued.
        prompt: text or token ids to continue, for /completions.
        settings: how the reply is sampled.
        schema: a JSON schema for the reply.
        sample: the number of the sample: the same prompt with another number is another request.

    Example:
        >>> from spark_jobs.language_models.request import Request, Sampling
        >>> request = Request.chat("Name a river.", system="Answer in one word.", settings=Sampling(max_tokens=8))
        >>> request.body("smollm2")["messages"][1]
        {'role': 'user', 'content': 'Name a river.'}
        >>> request.identity("smollm2", "") == replace(request, sample=1).identity("smollm2", "")
        False
    """

    messages: tuple[tuple[str, str], ...] = ()
    prompt: str | tuple[int, ...] = ""
    settings: Sampling = field(default_factory=Sampling)
    schema: JSONText | None = None
    sample: int = 0

    @classmethod
    def chat(
        cls,
        text: str,
        *,
        system: str = "",
        history: Sequence[tuple[str, str]] = (),
        settings: Sampling | None = None,
        sample: int = 0,
    ) -> Request:
        """Return a request with one message of the user, after a system message and a history if they are given."""
        first = (("system", system),) if system else ()
        messages = (*first, *history, ("user", text))
        return cls(messages=messages, settings=settings or Sampling(), sample=sample)

    def with_schema(self, schema: Mapping[str, Any]) -> Request:
        """Return the request with a JSON schema for its reply."""
        return replace(self, schema=canonical(schema))

    @property
    def is_chat(self) -> bool:
        """Whether the request is a chat, rather than a text to continue."""
        return bool(self.messages)

    @cached_property
    def prompt_json(self) -> JSONText:
        """The prompt as JSON: a list of messages, a text, or a list of token ids."""
        return canonical([{"role": r, "content": c} for r, c in self.messages] if self.is_chat else self.prompt)

    @cached_property
    def prompt_digest(self) -> str:
        """SHA-256 of `prompt_json`, as 64 hex digits."""
        return hashlib.sha256(self.prompt_json.encode()).hexdigest()

    @cached_property
    def settings_json(self) -> JSONText:
        """The settings and the schema as JSON."""
        schema = {} if self.schema is None else {"schema": json.loads(self.schema)}
        return canonical(asdict(self.settings) | schema)

    @property
    def prompt_token_bound(self) -> int:
        """The most tokens that the prompt can have: one for each byte, and those of the chat template."""
        if not self.is_chat:
            return len(self.prompt.encode()) + 1 if isinstance(self.prompt, str) else len(self.prompt)
        return sum(len(role) + len(content.encode()) + MESSAGE_TOKENS for role, content in self.messages)

    def identity(self, model: str, revision: str) -> str:
        """Return 32 hex digits: the request as the ledger knows it, whichever endpoint serves the model."""
        parts = (model, revision, self.prompt_json, self.settings_json, self.sample)
        return hashlib.sha256(canonical(parts).encode()).hexdigest()[:32]

    def body(self, model: str, *, with_schema: bool = False) -> dict[str, Any]:
        """Return the body of the HTTP request."""
        body: dict[str, Any] = {"model": model, "max_tokens": self.settings.max_tokens}
        body |= {"temperature": self.settings.temperature, "top_p": self.settings.top_p}
        if self.is_chat:
            body["messages"] = [{"role": role, "content": content} for role, content in self.messages]
        else:
            body["prompt"] = self.prompt if isinstance(self.prompt, str) else list(self.prompt)
        if self.settings.seed is not None:
            body["seed"] = self.settings.seed
        if self.settings.stop:
            body["stop"] = list(self.settings.stop)
        if self.settings.logprobs:
            body["logprobs"] = True if self.is_chat else 1
        if with_schema and self.schema is not None:
            schema = {"name": "reply", "schema": json.loads(self.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body | dict(self.settings.extra)
