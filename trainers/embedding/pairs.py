"""Pairs of a query and a document that answers it, with hard negatives, from JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from trainers.data.json_rows import read_rows
from trainers.data.loader import Ints
from trainers.process.errors import TrainerError
from trainers.process.files import canonical_json, sha256_text

MOST_CHARACTERS = 100_000
"""Characters of a text that are read."""
MOST_NEGATIVES = 1000


@dataclass(frozen=True)
class Pair:
    """A query, a document that answers it, and documents that do not."""

    query: str
    positive: str
    negatives: tuple[str, ...] = ()


class Pairs:
    """Pairs by number: a `Source` of the loader."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = list(pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, places: Ints) -> list[Pair]:
        return [self.pairs[place] for place in places.tolist()]

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 of all texts."""
        return sha256_text(canonical_json([asdict(pair) for pair in self.pairs]))

    @cached_property
    def answers(self) -> dict[str, frozenset[str]]:
        """All documents that answer each query."""
        found: dict[str, set[str]] = {}
        for pair in self.pairs:
            found.setdefault(pair.query, set()).add(pair.positive)
        return {query: frozenset(documents) for query, documents in found.items()}

    @cached_property
    def documents(self) -> list[str]:
        """Every document once, in the order of the pairs, positives first."""
        positives = (pair.positive for pair in self.pairs)
        negatives = (each for pair in self.pairs for each in pair.negatives)
        return list(dict.fromkeys([*positives, *negatives]))

    def with_negatives(self, found: Sequence[Sequence[str]]) -> Pairs:
        """The pairs with further negatives each, behind their own."""
        return Pairs([replace(p, negatives=(*p.negatives, *more)) for p, more in zip(self.pairs, found, strict=True)])


def read_pairs(files: Iterable[str], *, fewest: int = 1) -> Pairs:
    """Read pairs from files of JSON lines.

    Args:
        files: each line an object with the texts `query` and `positive`, and maybe a list `negatives`.
        fewest: pairs that are needed.

    Raises:
        TrainerError: a file cannot be read, a row is malformed, or there are too few.
    """
    names = list(files)
    found = [_pair(row, number) for number, row in read_rows([Path(name) for name in names])]
    if len(found) < fewest:
        raise TrainerError(f"{', '.join(names)}: {len(found)} pairs", f"give at least {fewest}")
    return Pairs(found)


def _pair(row: dict[str, Any], number: int) -> Pair:
    negatives = row.get("negatives") or []
    if not isinstance(negatives, list) or len(negatives) > MOST_NEGATIVES:
        raise TrainerError(f"row {number + 1}: negatives is not a list of at most {MOST_NEGATIVES} texts", FORM)
    texts = [_text(row.get(name), name, number) for name in ("query", "positive")]
    return Pair(*texts, tuple(_text(each, "negatives", number) for each in negatives))


def _text(value: Any, name: str, number: int) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TrainerError(f"row {number + 1}: {name} is not a string, or an empty one", FORM)
    # Half a surrogate is not a character, and no tokenizer reads it.
    return value[:MOST_CHARACTERS].encode("utf-8", "replace").decode()


FORM = 'write {"query": "...", "positive": "...", "negatives": ["..."]} in each line'
