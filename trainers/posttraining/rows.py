"""The messages of rows as they come from others, checked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

MOST_MESSAGES = 1000
ROLES = ("system", "developer", "user", "assistant", "tool")
REPLY = "assistant"

Message = Mapping[str, Any]


class UnusableRow(Exception):
    """A row that is not trained on; the text says why. Such rows are counted and listed, and stop no run."""


def messages_of(row: Mapping[str, Any], field: str = "messages") -> list[Message]:
    """The messages of a row, whose roles and texts are checked.

    A message has a role, and a text `content` (null beside tool calls), a list of parts of type "text", or both
    `tool_calls` and `reasoning_content` or `thinking` beside it, as transformers' chat templates read them.

    Raises:
        UnusableRow: they are missing, empty, too many, or one of them is not what it should be.
    """
    found = row.get(field)
    if not isinstance(found, list) or not found:
        raise UnusableRow(f"it has no {field}")
    if len(found) > MOST_MESSAGES:
        raise UnusableRow(f"it has more than {MOST_MESSAGES:,} {field}")
    return [_message(each) for each in found]


def _message(value: Any) -> Message:
    if not isinstance(value, dict) or value.get("role") not in ROLES:
        role = value.get("role") if isinstance(value, dict) else None
        raise UnusableRow(f"a message has the role {str(role)[:40]!r}")
    content, calls = value.get("content"), value.get("tool_calls")
    if isinstance(content, list):
        content = "".join(_part(part) for part in content)
    if calls is not None and not (isinstance(calls, list) and all(isinstance(call, dict) for call in calls)):
        raise UnusableRow("tool_calls is not a list of calls")
    if not isinstance(content, str) and not (content is None and calls):
        raise UnusableRow("a message has no text")
    for name in ("reasoning_content", "thinking"):
        if value.get(name) is not None and not isinstance(value[name], str):
            raise UnusableRow(f"{name} is not a string")
    # A field that is null is absent, as files of one schema write it.
    found = {name: each for name, each in value.items() if each is not None} | {"content": content or ""}
    # Most templates read reasoning_content, and GPT-OSS's reads thinking: a row that has one has both.
    reasoning = found.get("reasoning_content", found.get("thinking"))
    return found if reasoning is None else {"reasoning_content": reasoning, "thinking": reasoning, **found}


def _part(value: Any) -> str:
    text = value.get("text") if isinstance(value, dict) and value.get("type") == "text" else None
    if not isinstance(text, str):
        raise UnusableRow("a message has a part that is not text")
    return text


def both_chats(row: Mapping[str, Any]) -> tuple[list[Message], list[Message]]:
    """The two chats of a row: whole ones, or a `prompt` and two replies as texts or lists of messages.

    Raises:
        UnusableRow: one is missing, or both are the same.
    """
    found: list[list[Message]] = []
    for name in ("chosen", "rejected"):
        value, prompt = row.get(name), row.get("prompt")
        if isinstance(value, str):
            value = [{"role": "assistant", "content": value}]
        if prompt is not None and isinstance(value, list):
            value = ([{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)) + value
        found.append(messages_of({name: value}, name))
    if found[0] == found[1]:
        raise UnusableRow("chosen and rejected are the same")
    return found[0], found[1]


def tools_of(row: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The descriptions of tools in a row: a list of objects, or the same as JSON text.

    Raises:
        UnusableRow: they are something else.
    """
    tools = row.get("tools")
    if isinstance(tools, str):
        try:
            tools = json.loads(tools)
        except (ValueError, RecursionError):
            raise UnusableRow("tools is not JSON") from None
    if tools is None or tools == []:
        return None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise UnusableRow("tools is not a list of descriptions")
    return tools


def texts_in(value: Any) -> Iterator[str]:
    """Every text in nested lists and objects, keys with them."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, Mapping):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, list):
            waiting += each
