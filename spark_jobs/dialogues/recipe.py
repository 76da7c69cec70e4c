"""The choices of a model's dialogues, and the principles and domains that they are drawn from."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError

FOLDER = Path(__file__).parent / "data"
PRINCIPLES, DOMAINS = FOLDER / "principles.jsonl", FOLDER / "domains.jsonl"

LARGEST_FILE = 20_000_000


@dataclass(frozen=True)
class Principle:
    """A rule for the conduct of an agent, by a short id."""

    id: str
    text: str


@dataclass(frozen=True, kw_only=True)
class DialogueRecipe:
    """Everything that decides a model's dialogues.

    Attributes:
        model: the model, as its server knows it.
        revision: its revision.
        count: the number of dialogues.
        subtopics: subtopics that the model is asked for, for each domain.
        principles_each: principles that a dialogue puts to the test.
        most_turns: messages after which a dialogue ends.
        turn_tokens: most tokens of a message.
        text_tokens: most tokens of a goal, plan, critique or list of subtopics.
        temperature: temperature of everything but flags, which are decided greedily.
        seed: seed of the draws, and of the server.
        principles: the principles.
        domains: the domains.
    """

    model: str
    revision: str
    count: int
    subtopics: int = 20
    principles_each: int = 2
    most_turns: int = 12
    turn_tokens: int = 256
    text_tokens: int = 512
    temperature: float = 0.8
    seed: int = 0
    principles: tuple[Principle, ...] = field(default=(), repr=False)
    domains: tuple[str, ...] = field(default=(), repr=False)

    def draw(self, number: int) -> random.Random:
        """Return the random numbers of a dialogue; those of the first dialogues do not depend on the count."""
        return random.Random(f"{self.seed} {number}")

    def topic_of(self, number: int) -> tuple[str, int]:
        """Return the domain of a dialogue and the number of its subtopic: every domain once, then every one again."""
        order = sorted(self.domains, key=lambda name: hashlib.sha256(f"{self.seed} {name}".encode()).digest())
        return order[number % len(order)], (number // len(order)) % self.subtopics

    def drawn_principles(self, number: int) -> list[Principle]:
        """Return the principles of a dialogue."""
        return self.draw(number).sample(self.principles, min(self.principles_each, len(self.principles)))

    def identity(self, name: str, number: int) -> str:
        """Return the id of a dialogue of the entry `name`, as 16 hex digits."""
        return hashlib.sha256(json.dumps([name, self.seed, number]).encode()).hexdigest()[:16]


def read_principles(path: Path = PRINCIPLES) -> tuple[Principle, ...]:
    """Return the principles in a JSON-lines file, whose lines have `id` and `text`.

    Raises:
        WatershedError: the file cannot be read, a line is not a principle, or an id is used twice.
    """
    rows = _lines(path, ("id", "text"))
    ids = [row["id"] for row in rows]
    if twice := sorted({each for each in ids if ids.count(each) > 1}):
        raise WatershedError(f"{path} has the id {twice[0]!r} twice", "give every principle an id of its own")
    return tuple(Principle(row["id"], row["text"]) for row in rows)


def read_domains(path: Path = DOMAINS) -> tuple[str, ...]:
    """Return the domains in a JSON-lines file, whose lines have `domain`; a repeated one counts once.

    Raises:
        WatershedError: the file cannot be read, or a line is not a domain.
    """
    return tuple(dict.fromkeys(row["domain"] for row in _lines(path, ("domain",))))


def _lines(path: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    mend = f"write JSON lines with {' and '.join(names)}"
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise WatershedError(f"{path} has more than {LARGEST_FILE:,} bytes", mend)
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WatershedError(f"{path} cannot be read: {error}", mend) from error
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            row = {}
        if row is None:
            continue
        if not isinstance(row, dict) or not all(isinstance(row.get(name), str) and row[name].strip() for name in names):
            raise WatershedError(f"{path}, line {number} has no {' and '.join(names)}", mend)
        rows.append(row)
    if not rows:
        raise WatershedError(f"{path} is empty", mend)
    return rows
