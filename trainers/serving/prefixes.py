"""Keys and values of texts that have ended, for requests that begin with the same tokens (prefix caching).

A turn of a dialogue begins with all turns before it, and a judge's prompts with the same rubric. What they have in
common is copied instead of read again. Texts are kept in the memory that live rows leave, and the least recently used
one is dropped first.

Shape suffixes: L layers, T tokens of the text; G and K as in trainers/models/dense.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

LEAST = 16
"""Tokens in common below which nothing is copied."""


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens two texts have in common at their beginnings.

    Example:
        >>> common([5, 7, 11], [5, 7, 12, 13])
        2
    """
    low, high = 0, min(len(one), len(other))
    # Slices are compared in C: a search by halves is faster than a loop over tokens.
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


@dataclass(frozen=True, eq=False)
class Kept:
    """A text that has ended."""

    tokens: list[int]
    keys_LGTK: Tensor
    values_LGTK: Tensor


class Prefixes:
    """Texts that have ended, the most recently used one last."""

    def __init__(self) -> None:
        self._kept: list[Kept] = []

    @property
    def tokens(self) -> int:
        """Tokens of all texts."""
        return sum(len(each.tokens) for each in self._kept)

    def keep(self, text: Kept, room: int) -> None:
        """Keep a text if `room` tokens are enough for it, and drop those that it goes on from, or that do not fit."""
        if len(text.tokens) > room:
            return
        whole = [each for each in self._kept if common(each.tokens, text.tokens) < len(each.tokens)]
        self._kept = [*whole, text]
        self.shrink(room)

    def shrink(self, room: int) -> None:
        """Drop texts until the others have at most `room` tokens."""
        while self._kept and self.tokens > room:
            self._kept.pop(0)

    def longest(self, tokens: Sequence[int]) -> tuple[int, Kept | None]:
        """Return how many of the tokens the most similar text begins with, and that text."""
        found, best = 0, None
        for each in self._kept:
            if (size := common(each.tokens, tokens)) > found:
                found, best = size, each
        if best is not None:
            self._kept.remove(best)
            self._kept.append(best)
        return found, best
