"""Scratch memory for the words of one document. It is allocated once per call, because kernels allocate nothing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Scratch(NamedTuple):
    """Arrays that a kernel writes to, with space for every word of the longest document.

    They are sized for the worst case, a text whose words are single letters, because memory pages that are never
    touched cost nothing.
    """

    starts: np.ndarray
    """int32, first byte of each word, relative to the first byte of the document."""
    stops: np.ndarray
    """int32, the byte after each word."""
    lengths: np.ndarray
    """int32, number of characters of each word."""
    hashes: np.ndarray
    """uint64, hash of each word."""
    positions: np.ndarray
    """int32, word at which each n-gram begins."""
    grams: np.ndarray
    """uint64, hash of each n-gram."""
    slots: np.ndarray
    """int32, slot of each n-gram in the hash table."""
    keys: np.ndarray
    """uint64, hash table: the n-gram."""
    tallies: np.ndarray
    """int32, hash table: the number of its occurrences, 0 in an empty slot."""
    marks: np.ndarray
    """uint8, a mark that one or several n-grams share: 0 if none has been seen, 1 after one, larger after more."""
    runs: np.ndarray
    """uint64, a cache of runs of characters that have been split into words: the hash of the run in each slot, all of
    its bits inverted if some of the words can be joined."""
    cuts: np.ndarray
    """uint64, the size in bytes of each word of the run, the first in the lowest byte; 0 in an empty slot."""


_RUNS = 1 << 14
"""Number of runs in the cache: 256 KB, which fit in the processor's second-level cache."""


def scratch(longest: int) -> Scratch:
    """Allocate scratch memory for a document of `longest` bytes.

    Two ASCII words are never adjacent, and every other character takes at least two bytes, so each word accounts for at
    least two bytes. The same holds for lines.
    """
    # The 16 spare words are for loops that write a candidate before they test it, or that fill up a block.
    words = longest // 2 + 16
    # Kernels use the smallest power of two that is at least 4 (keys) or 8 (marks) times the number of words.
    table = 1 << (4 * words).bit_length()
    return Scratch(
        starts=np.empty(words, np.int32),
        stops=np.empty(words, np.int32),
        lengths=np.empty(words, np.int32),
        hashes=np.empty(words, np.uint64),
        positions=np.empty(words, np.int32),
        grams=np.empty(words, np.uint64),
        slots=np.empty(words, np.int32),
        keys=np.empty(table, np.uint64),
        tallies=np.empty(table, np.int32),
        marks=np.empty(2 * table + 64, np.uint8),
        runs=np.zeros(_RUNS, np.uint64),
        cuts=np.zeros(_RUNS, np.uint64),
    )
