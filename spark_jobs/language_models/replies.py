"""Reading of replies. A server is a stranger: what it sends is bounded, checked field by field, and never trusted."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEEPEST = 64
"""Most brackets that may be open at a time in JSON of a server or a model."""

LARGEST_COUNT = 1_000_000_000
"""Most tokens that a server can claim."""

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)


class MalformedReply(Exception):
    """A reply that is not one of the protocol; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The reply of a server to one request."""

    text: str
    finish_reason: str | None = None
    details: str | None = None
    prompt_tokens: int | None = None
    reply_tokens: int | None = None


def bounded_json(text: str | bytes) -> Any:
    """Return the JSON value in `text`, which is not deeper than `DEEPEST`.

    Raises:
        MalformedReply: it is not JSON, or too deep.
    """
    try:
        text = text.decode() if isinstance(text, bytes) else text
        if depth(text) > DEEPEST:
            raise MalformedReply(f"JSON with more than {DEEPEST} brackets inside each other")
        return json.loads(text, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise MalformedReply("not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise MalformedReply(f"not JSON: {str(error)[:100]}") from error


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def depth(text: str) -> int:
    """Return how many brackets are open at a time, at most, outside of strings."""
    deepest = level = 0
    for bracket in re.findall(r"[\[{\]}]", _STRINGS.sub("", text)):
        level += 1 if bracket in "[{" else -1
        deepest = max(deepest, level)
    return deepest


def read_reply(body: bytes, *, chat: bool) -> Reply:
    """Return the reply in the body of a response with status 200.

    Raises:
        MalformedReply: it is not a reply of the protocol.
    """
    return reply_of(bounded_json(body), chat=chat)


def reply_of(value: Any, *, chat: bool) -> Reply:
    """Return the reply in the JSON value of a response.

    Raises:
        MalformedReply: it is not a reply of the protocol.
    """
    if isinstance(value, dict) and isinstance(value.get("error"), (dict, str)):
        raise MalformedReply(f"an error with status 200: {error_message(value)}")
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise MalformedReply("no choices")
    choice = choices[0]
    message = choice.get("message") if chat else choice
    content = message.get("content" if chat else "text") if isinstance(message, dict) else None
    if content is None and isinstance(message, dict) and isinstance(message.get("refusal"), str):
        content = message["refusal"]
    if not isinstance(content, str):
        raise MalformedReply("no text")
    reason = choice.get("finish_reason")
    usage = value.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Reply(
        text=sound_text(content),
        finish_reason=sound_text(reason)[:50] if isinstance(reason, str) else None,
        details=_details(choice, message),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        reply_tokens=_count(usage.get("completion_tokens")),
    )


def _details(*places: Mapping[str, Any]) -> str | None:
    found = {name: place[name] for place in places for name in ("logprobs", "token_ids") if place.get(name) is not None}
    return sound_text(json.dumps(found, separators=(",", ":"), sort_keys=True)) if found else None


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return int(value) if value == int(value) and 0 <= value <= LARGEST_COUNT else None


def sound_text(text: str) -> str:
    """Return `text` without halves of surrogate pairs, which JSON can hold and UTF-8 cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def error_message(value: Any) -> str:
    """Return what the JSON value of an error response says, or nothing."""
    error = value.get("error", value) if isinstance(value, dict) else value
    message = error.get("message") if isinstance(error, dict) else error
    return sound_text(message)[:500] if isinstance(message, str) else ""
