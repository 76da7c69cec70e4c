"""ROUGE-L of an answer (Lin 2004), as the package rouge-score computes it: ScholarQABench's measure of QASA."""

from __future__ import annotations

import re
from collections.abc import Sequence

TOKEN = re.compile(r"[a-z0-9]+")
MOST_TOKENS = 20_000
"""Tokens of a text that are read, so that the time of a hostile one is bounded."""


def tokens(text: str) -> list[str]:
    """Runs of ASCII letters and digits in lower case.

    Example:
        >>> tokens("The cat's 2 mats.")
        ['the', 'cat', 's', '2', 'mats']
    """
    return TOKEN.findall(text.lower())[:MOST_TOKENS]


def rouge_l(answer: str, references: Sequence[str]) -> float:
    """F1 of the longest common subsequence of tokens, without stemming; the best of several references.

    Example:
        >>> rouge_l("the cat sat", ["the cat lay"]) == 2 / 3
        True
    """
    mine = tokens(answer)
    return max((_f1(mine, tokens(reference)) for reference in references), default=0.0)


def _f1(one: Sequence[str], other: Sequence[str]) -> float:
    common = longest_common_subsequence(one, other)
    return 2 * common / (len(one) + len(other)) if common else 0.0


def longest_common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Its length, by a row of bits for each token of `one` (Hyyrö 2004).

    Example:
        >>> longest_common_subsequence("abcde", "xbxdex")
        3
    """
    places: dict[str, int] = {}
    for index, token in enumerate(other):
        places[token] = places.get(token, 0) | 1 << index
    all_bits = (1 << len(other)) - 1
    row = all_bits
    for token in one:
        matches = row & places.get(token, 0)
        row = ((row + matches) | (row - matches)) & all_bits
    return len(other) - row.bit_count()
