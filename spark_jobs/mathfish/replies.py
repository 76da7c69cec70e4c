"""What a reply to a prompt of MathFish chooses. One that states nothing, or two things, is malformed and never guessed.

A tagging reply names options by letters, A to Z and AA to ZZ, or says `none`. It is read, in this order, from the JSON
field `answer` (text, list or null), from the line `Answer: ...`, or from the beginning of the reply. What the published
parser (allenai/mathfish, tagging_evaluator.py) reads otherwise: `A,B` without a space is two options and not none,
`A, A` is one, `I think A` is malformed and not option I, and JSON that holds a list or null does not crash it.

A verification reply says yes or no: in the JSON field `answer`, on the line `Answer: ...`, as its first word or as its
last. The published parser finds no answer in `Yes it does`.
"""

from __future__ import annotations

import json
import re
import string
from dataclasses import dataclass
from typing import Any, Literal

LETTERS = [*string.ascii_uppercase, *(a + b for a in string.ascii_uppercase for b in string.ascii_uppercase)]
PLACE = {letter: index for index, letter in enumerate(LETTERS)}
LONGEST = 20_000
"""Characters of a reply. A longer one is malformed."""
LIST = r"\(?[A-Z]{1,2}\)?(?:\s{0,3}(?:,\s{0,3}and|,|;|&|\band\b)\s{0,3}\(?[A-Z]{1,2}\)?(?![a-z]))*"
WHOLE = re.compile(rf"{LIST}\.?")
ENDS = r"(?:\s*[.:)]\s|\s*\n|\s+[-–—]\s)"
"""What stands between the options and an explanation."""
MORE = rf"\s*(?:{LIST}(?:[.:)]?\s*$|\s*[.:)]\s|\s*\n)|(?:or|to|is|are|was|does|do|can|could|may|might|would|seems?)\b)"
"""What is no explanation of the options before it: other options, or the rest of a sentence about them."""
BEGINS = re.compile(rf"({LIST})(?={ENDS}(?!{MORE}))")
LINE = re.compile(r"(?:[-*•]\s{0,3}|\d{1,3}[.)]\s{0,3})?\(?([A-Z]{1,2})(?:[).:]\)?(?:\s.*)?|)")
NONE = re.compile(
    r"none(?: of (?:the|these|those)?\s?(?:above|options?|standards?|them|these|choices|apply)?[^.\n]{0,30})?\.?", re.I
)
ANSWER = re.compile(r"^\s*(?:final\s+)?answer\s*:\s*(.*)$", re.I | re.M)
FENCE = re.compile(r"^```(?:json)?\s*|\s*```$", re.I)


@dataclass(frozen=True)
class Tags:
    """The options of a tagging reply, by their places from 0; `malformed` says why there is no answer."""

    chosen: tuple[int, ...] = ()
    malformed: str = ""


@dataclass(frozen=True)
class YesNo:
    """The answer of a verification reply."""

    answer: Literal["yes", "no"] | None
    malformed: str = ""


def read_tags(reply: str, options: int) -> Tags:
    """The options that a reply chooses, in order, each once.

    Example:
        >>> read_tags("A,C", 4).chosen, read_tags("None.", 4).chosen, read_tags("I think A", 4).malformed
        ((0, 2), (), 'it states no options')
    """
    stated = stated_answers(reply)
    if isinstance(stated, str):
        return Tags(malformed=stated)
    found = {_tags(each) for each in stated}
    if None in found or not found:
        return Tags(malformed="it states no options")
    if len(found) > 1:
        return Tags(malformed="it states several answers")
    chosen = found.pop()
    assert chosen is not None
    if beyond := [index for index in chosen if index >= options]:
        return Tags(malformed=f"there is no option {LETTERS[beyond[0]]}")
    return Tags(chosen)


def stated_answers(reply: str) -> list[Any] | str:
    """The answers that a reply states, as text or values of JSON; or why it states none."""
    text = reply.strip().replace("**", "").replace("__", "").replace("`", "" if "```" not in reply else "`").strip()
    if not text:
        return "it is empty"
    if len(text) > LONGEST:
        return f"it has more than {LONGEST:,} characters"
    bare = FENCE.sub("", text).strip()
    if bare.startswith(("{", "[")):
        try:
            value = json.loads(bare)
        except (ValueError, RecursionError):
            # A list in brackets without quotes is text.
            return [bare] if re.fullmatch(r"\[[^\[\]{}\"]*\]", bare) else "its JSON cannot be read"
        if isinstance(value, dict):
            return [value["answer"]] if "answer" in value else "its JSON has no answer"
        return [value]
    answers = [each.strip() for each in ANSWER.findall(text)]
    return answers or [text]


def _tags(stated: Any) -> tuple[int, ...] | None:
    if stated is None:
        return ()
    if isinstance(stated, list):
        pieces = [_tags(each) for each in stated]
        return None if None in pieces else tuple(sorted({index for piece in pieces if piece for index in piece}))
    return _tags_of_text(stated) if isinstance(stated, str) else None


def _tags_of_text(stated: str) -> tuple[int, ...] | None:
    text = stated.strip().strip("[]").strip()
    if NONE.fullmatch(text) or NONE.fullmatch(text.split("\n", 1)[0].strip()):
        return ()
    if WHOLE.fullmatch(text):
        return _places(text)
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    each = [LINE.fullmatch(line) for line in lines]
    if len(lines) > 1 and all(each):
        return _places(" ".join(line[1] for line in each if line))
    begins = BEGINS.match(text)
    return _places(begins[1]) if begins else None


def _places(text: str) -> tuple[int, ...]:
    return tuple(sorted({PLACE[letters] for letters in re.findall(r"\b[A-Z]{1,2}\b", text)}))


def read_yes_no(reply: str) -> YesNo:
    """Whether a reply says yes or no.

    Example:
        >>> read_yes_no("Yes it does").answer, read_yes_no("Perhaps.").malformed
        ('yes', 'it says neither yes nor no')
    """
    stated = stated_answers(reply)
    if isinstance(stated, str):
        return YesNo(None, stated)
    found = {_yes_no(each) for each in stated}
    if found == {None} or not found:
        return YesNo(None, "it says neither yes nor no")
    if len(found) > 1 or "both" in found:
        return YesNo(None, "it states several answers")
    return YesNo(found.pop())  # ty: ignore[invalid-argument-type]


def _yes_no(stated: Any) -> str | None:
    if isinstance(stated, bool):
        return "yes" if stated else "no"
    if not isinstance(stated, str):
        return None
    words = re.findall(r"[^\W\d_]+", stated.lower())
    ends = {word for word in (words[:1] + words[-1:]) if word in ("yes", "no")}
    if len(ends) > 1 or re.match(r"\W*yes\s*(?:/|or)\s*no\b", stated, re.I):
        return "both"
    return ends.pop() if ends else None
