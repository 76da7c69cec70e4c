"""What a host allows: robots.txt (RFC 9309) and the header X-Robots-Tag.

robots.txt: the group of the most specific product name that is ours, else of `*`; the longest matching rule decides,
and `Allow` wins a tie; `*` and a final `$` are wildcards. A host without the file (4xx) allows everything; one that
cannot give it (5xx, no connection) allows nothing.

X-Robots-Tag: `noai` and `noimageai` forbid training, for everyone or after the name of an agent (`bot: noai`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

LARGEST = 512_000
"""Bytes of robots.txt that are read; RFC 9309 asks for at least 500 kibibytes."""
MOST_RULES = 20_000
FORBIDDING = {"noai", "noimageai"}
WITH_VALUES = {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
"""Directives that have a value after a colon, and so look like the name of an agent."""


@dataclass(frozen=True)
class Rule:
    """An Allow or Disallow line."""

    allow: bool
    path: str

    def matches(self, path: str) -> bool:
        """Whether the rule speaks of a path. Takes time in proportion to both lengths, whatever the wildcards."""
        pattern, anchored = (self.path[:-1], True) if self.path.endswith("$") else (self.path, False)
        pieces = pattern.split("*")
        if not path.startswith(pieces[0]):
            return False
        at = len(pieces[0])
        for piece in pieces[1:-1]:
            found = path.find(piece, at)
            if found < 0:
                return False
            at = found + len(piece)
        last = pieces[-1] if len(pieces) > 1 else ""
        if anchored:
            return path == pieces[0] if len(pieces) == 1 else len(path) - len(last) >= at and path.endswith(last)
        return path.find(last, at) >= 0


@dataclass(frozen=True)
class Robots:
    """The rules of a host for us."""

    rules: tuple[Rule, ...] = ()
    reason: str = "robots.txt disallows it"
    """Why a path is refused."""

    def allows(self, url: str) -> bool:
        """Whether the address may be asked.

        Example:
            >>> Robots((Rule(False, "/private/"),)).allows("https://example.org/private/a.jpg")
            False
        """
        parts = urlsplit(url)
        path = _normal(parts.path or "/") + (f"?{_normal(parts.query)}" if parts.query else "")
        matching = [rule for rule in self.rules if rule.matches(path)]
        best = max(matching, key=lambda rule: (len(rule.path), rule.allow), default=Rule(True, ""))
        return best.allow


EVERYTHING = Robots()


def nothing(reason: str) -> Robots:
    """The rules of a host that cannot give its robots.txt."""
    return Robots((Rule(False, "/"),), reason)


def _normal(path: str) -> str:
    """A path with its escapes written in one way, so that `/a%62` and `/ab` are equal."""
    return quote(unquote(path), safe="/?=&*$:@!+,;()'~-._%")


def read_robots(text: str, agent: str) -> Robots:
    """The rules of a robots.txt for the product name `agent`.

    Example:
        >>> read_robots("User-agent: *\\nDisallow: /a\\nAllow: /a/b", "us").rules
        (Rule(allow=False, path='/a'), Rule(allow=True, path='/a/b'))
    """
    groups: list[tuple[list[str], list[Rule]]] = []
    fresh = False
    for line in text[:LARGEST].splitlines():
        name, colon, value = line.split("#", 1)[0].partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon:
            continue
        if name == "user-agent":
            if not fresh:
                groups.append(([], []))
            groups[-1][0].append(re.split(r"[/\s]", value.lower())[0])
            fresh = True
        elif name in ("allow", "disallow"):
            fresh = False
            if groups and value and len(groups[-1][1]) < MOST_RULES:
                groups[-1][1].append(Rule(name == "allow", _normal(value)))
    ours = agent.lower()
    named = max((len(name) for names, _ in groups for name in names if name and ours.startswith(name)), default=0)
    chosen = [
        rules
        for names, rules in groups
        if any((name and len(name) == named and ours.startswith(name)) or (not named and name == "*") for name in names)
    ]
    return Robots(tuple(rule for rules in chosen for rule in rules))


def forbids_training(headers: Iterable[str], agent: str) -> bool:
    """Whether values of X-Robots-Tag forbid that we train on what comes with them.

    Example:
        >>> forbids_training(["noindex, NoAI"], "us"), forbids_training(["otherbot: noai"], "us")
        (True, False)
    """
    for header in headers:
        ours = True
        for part in header.split(","):
            name, colon, directive = part.partition(":")
            if colon and name.strip().lower() not in WITH_VALUES:
                # The name of an agent holds for what follows it.
                ours = name.strip().lower() in (agent.lower(), "*")
            if ours and (directive if colon else part).strip().lower() in FORBIDDING:
                return True
    return False
