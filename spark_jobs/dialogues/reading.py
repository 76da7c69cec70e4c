"""How replies are read: lists, goals, plans, messages, verdicts and critiques, or the reason why there is none."""

from __future__ import annotations

import re
from collections.abc import Iterable

from spark_jobs.dialogues.prompts import AGENT, DONE, USER

MOST_CHARACTERS = 20_000
"""Characters of a reply that are read; a model that repeats itself can write more."""

_BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d{1,3}[.):]|[a-z]\))\s*")
_LABEL = re.compile(rf"^\s*\**\s*(?:{USER}|{AGENT}|user|agent|assistant)\s*\**\s*:\s*\**\s*", re.IGNORECASE)
_NEXT_LABEL = re.compile(rf"\n\s*\**\s*(?:{USER}|{AGENT})\s*\**\s*:")
_DONE = re.compile(rf"\b{DONE}\b")
_YES_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_VIOLATED = re.compile(r"VIOLATED[^:\n]{0,40}:(.{0,2000})", re.IGNORECASE | re.DOTALL)
_CRITIQUE = re.compile(r"^\W*CRITIQUE\W*:\s*", re.IGNORECASE)


def lines_of(reply: str, most: int) -> list[str]:
    """Return the distinct items of a list, without bullets and numbers."""
    found: dict[str, str] = {}
    for line in reply[:MOST_CHARACTERS].splitlines():
        item = _BULLET.sub("", line).strip().strip("*\"'`.").strip()
        if 2 < len(item) <= 80 and not item.endswith(":"):
            found.setdefault(item.casefold(), item)
    return list(found.values())[:most]


def first_paragraph(reply: str) -> str:
    """Return the first paragraph that is not empty, on one line."""
    paragraphs = re.split(r"\n\s*\n", reply[:MOST_CHARACTERS].strip())
    return " ".join(paragraphs[0].split()) if paragraphs else ""


def plan_of(reply: str) -> str:
    """Return a plan up to its end mark."""
    text = reply[:MOST_CHARACTERS].strip()
    ended = _DONE.search(text)
    return text[: ended.start()].strip() if ended else text


def steps_of(plan: str) -> list[str]:
    """Return the steps of a plan: its lines, without numbers and labels."""
    bare = (_LABEL.sub("", _BULLET.sub("", line)).strip() for line in plan.splitlines())
    return [line for line in bare if len(line) > 2]


def message_of(reply: str) -> tuple[str, bool]:
    """Return a message without the labels of its side, and whether it says that the conversation is done.

    What a model says for the other side is cut away here; `forms` counts that it did.
    """
    text = reply[:MOST_CHARACTERS].strip()
    done = _DONE.search(text) is not None
    text = _DONE.sub("", text)
    text = _LABEL.sub("", text, count=1).strip()
    other = _NEXT_LABEL.search(text)
    return (text[: other.start()] if other else text).strip(), done


def speaks_for_both(reply: str) -> bool:
    """Whether a reply continues with a message of the other side."""
    return _NEXT_LABEL.search(_LABEL.sub("", reply[:MOST_CHARACTERS].strip(), count=1)) is not None


def verdict_of(reply: str) -> bool | None:
    """Return the first yes or no of a reply as a truth value; None if it has neither."""
    found = _YES_NO.search(reply[:MOST_CHARACTERS])
    return None if found is None else found[1].lower() == "yes"


def critique_of(reply: str, known: Iterable[str]) -> tuple[str, list[str]]:
    """Return a critique and the known ids that it names as violated, in the order in which they are named."""
    text = reply[:MOST_CHARACTERS].strip()
    named = _VIOLATED.search(text)
    body = text[: named.start()] if named else plan_of(text)
    found = {each: re.search(rf"(?<![\w-]){re.escape(each)}(?![\w-])", named[1]) for each in known} if named else {}
    places = {each: match.start() for each, match in found.items() if match}
    violated = sorted(places, key=lambda each: places[each])
    return _CRITIQUE.sub("", body).strip(), violated
