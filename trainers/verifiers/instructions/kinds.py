"""Kinds of instructions: their arguments and their checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Check = Callable[..., str]
"""Takes the reply and the arguments by name; returns "" when the reply follows, else why it does not."""
Reader = Callable[[Any], Any]
"""Turns the JSON value of an argument into the one that the check takes; raises ValueError saying what is expected."""

RELATIONS = ("less than", "at least")


@dataclass(frozen=True)
class Kind:
    """A kind of instruction, such as `punctuation:no_comma`."""

    id: str
    about: str
    """The instruction in words, from the first line of the check's docstring."""
    arguments: Mapping[str, Reader]
    """All of them are required."""
    check: Check


@dataclass(frozen=True)
class Instruction:
    """A kind with its arguments: a pure function of a reply."""

    kind: Kind
    arguments: Mapping[str, Any]

    def fault(self, reply: str) -> str:
        """Why a reply does not follow, or ""."""
        if not reply.strip():
            return "the reply is empty"
        return self.kind.check(reply, **self.arguments)


KINDS: dict[str, Kind] = {}
"""Every kind by its id, filled by the modules `ifeval` and `iftrain`; `register.all_kinds` has all of them."""


def kind(id: str, **arguments: Reader) -> Callable[[Check], Check]:
    """Register a check as the kind `id`."""

    def register(check: Check) -> Check:
        about = (check.__doc__ or "").strip().splitlines()[0]
        KINDS[id] = Kind(id, about, arguments, check)
        return check

    return register


def text(value: Any) -> str:
    """Text with at least one visible character, without white space around it. A list of one text is that text."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text")
    return value.strip()


def raw_text(value: Any) -> str:
    """Text as it is."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text")
    return value


def texts(value: Any) -> tuple[str, ...]:
    """At least one text."""
    if not isinstance(value, list) or not value:
        raise ValueError("a list of texts")
    return tuple(text(each) for each in value)


def count(value: Any) -> int:
    """A whole number of at least 0; `3.0` is 3, as published files hold them."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1 or value < 0:
        raise ValueError("a whole number of at least 0")
    return int(value)


def positive(value: Any) -> int:
    """A whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1 or value < 1:
        raise ValueError("a whole number of at least 1")
    return int(value)


def relation(value: Any) -> str:
    """`less than` or `at least`."""
    if value not in RELATIONS:
        raise ValueError("one of: " + ", ".join(RELATIONS))
    return value


def letter(value: Any) -> str:
    """One character, in lower case."""
    if not isinstance(value, str) or len(value.strip()) != 1:
        raise ValueError("one letter")
    return value.strip().lower()


def language(value: Any) -> str:
    """The ISO 639 code of a language that lid.176 knows."""
    from trainers.verifiers.instructions.texts import known_languages

    if not isinstance(value, str) or value.lower() not in known_languages():
        raise ValueError("the code of a known language, such as en or de")
    return value.lower()


def compared(what: str, found: int, relation: str, wanted: int) -> str:
    """Why a number does not stand in a relation, or "".

    Example:
        >>> compared("word", 3, "at least", 5)
        '3 words, not at least 5'
    """
    holds = found < wanted if relation == "less than" else found >= wanted
    return "" if holds else f"{found} {what}{'' if found == 1 else 's'}, not {relation} {wanted}"
