"""Passages: blocks of words of a longer text, with their offsets in it.

OpenScholar (arXiv 2411.14199, section 2.1) cuts papers into blocks of 250 words, which white space separates. A stride
that is shorter than the block makes neighbours overlap.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from catalog.errors import WatershedError

LONGEST_WORD = 200
"""Characters after which a run without white space is cut, so that no passage is longer than its words allow."""
WORD = re.compile(rf"\S{{1,{LONGEST_WORD}}}")


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How texts are cut.

    Raises:
        WatershedError: a block without words, or a stride that leaves words out.
    """

    words: int = 250
    """Words of a block; the last block of a text may be shorter."""
    stride: int = 0
    """Words from the begin of a block to that of the next one; 0 for blocks that do not overlap."""

    def __post_init__(self) -> None:
        if self.words < 1 or not 0 <= self.stride <= self.words:
            raise WatershedError(
                f"passages of {self.words} words with a stride of {self.stride} leave words out",
                "choose at least one word, and a stride from 0 to the number of words",
            )


def spans(text: str, cut: Cut) -> Iterator[tuple[int, int]]:
    """Yield the offsets (begin, end) of the blocks of a text, in characters: `text[begin:end]` is a passage.

    A block begins with its first word and ends with its last one. A text without words has none.

    Example:
        >>> [("a b c d e"[begin:end]) for begin, end in spans("a b c d e", Cut(words=2))]
        ['a b', 'c d', 'e']
        >>> [("a b c d e"[begin:end]) for begin, end in spans("a b c d e", Cut(words=3, stride=1))]
        ['a b c', 'b c d', 'c d e']
    """
    words = [match.span() for match in WORD.finditer(text)]
    stride = cut.stride or cut.words
    for first in range(0, len(words), stride):
        last = min(first + cut.words, len(words))
        yield words[first][0], words[last - 1][1]
        if last == len(words):
            return


def text_digest(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8, as 64 hex digits. Half surrogate pairs, which UTF-8 lacks, count as ?."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def passage_id(paper: str, version: str, begin: int, end: int) -> str:
    """Return the id of a passage, 32 hex digits: those characters of that version of that paper, and no others."""
    return hashlib.sha256(f"{paper}\n{version}\n{begin}\n{end}".encode("utf-8", "replace")).hexdigest()[:32]
