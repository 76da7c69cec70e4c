"""Faults of form: what makes a dialogue unfit for training, whatever it says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from spark_jobs.dialogues.prompts import AGENT, USER

ROLES = ("user", "assistant")

LONGEST = 20_000
"""Characters of a message above which it is a fault."""

_LABEL = re.compile(rf"(?m)^\s*\**\s*(?:{USER}|{AGENT})\s*\**\s*:")
_BROKEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]")
_LEAK = re.compile(r"\b(?:the plan|my role is|as the (?:user|agent)\b|numbered steps|system prompt)", re.IGNORECASE)


def faults_of(
    messages: Sequence[Mapping[str, Any]], *, failed: bool = False, spoke_for_both: bool = False
) -> list[str]:
    """Return the faults of a dialogue, sorted; none for a well-formed one.

    Args:
        messages: messages with `role` and `content`, the user's first.
        failed: whether a request of the dialogue failed.
        spoke_for_both: whether a reply went on with a message of the other side.
    """
    roles = [message.get("role") for message in messages]
    texts = [str(message.get("content") or "") for message in messages]
    bare = [" ".join(text.split()).casefold() for text in texts]
    found = {
        "failed_request": failed,
        "no_agent_turn": "assistant" not in roles,
        "role_order": any(role != ROLES[place % 2] for place, role in enumerate(roles)),
        "empty_message": any(not text.strip() for text in texts),
        "long_message": any(len(text) > LONGEST for text in texts),
        "label_in_text": any(_LABEL.search(text) for text in texts),
        "spoke_for_both": spoke_for_both,
        "broken_characters": any(_BROKEN.search(text) for text in texts),
        "plan_leaked": any(_LEAK.search(text) for text in texts),
        "repeated_message": len(set(bare)) < len(bare),
    }
    return sorted(name for name, is_so in found.items() if is_so)


def last_agent_turn(messages: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the place of the last message of the agent; None if it has none."""
    places = [place for place, message in enumerate(messages) if message.get("role") == "assistant"]
    return places[-1] if places else None


def transcript(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return a dialogue as it is shown to a critic, up to the last message of the agent."""
    last = last_agent_turn(messages)
    names = {"user": USER, "assistant": AGENT}
    shown = messages[: last + 1] if last is not None else messages
    return "\n".join(f"{names.get(str(each.get('role')), USER)}: {each.get('content') or ''}" for each in shown)
