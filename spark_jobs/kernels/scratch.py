"""Room for the words of one document, made once per call: kernels allocate nothing themselves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Scratch(NamedTuple):
    """Arrays that a kernel writes to, with room for every word of the longest document.

    Pages that are never touched cost no memory, so the room is for the worst case: a text of single
    letters, 44 bytes per word and up to 24 for its hash table.
    """

    starts: np.ndarray
    """int32, first byte of each word, from the document's first."""
    stops: np.ndarray
    """int32, the byte behind each word."""
    lengths: np.ndarray
    """int32, characters of each word."""
    hashes: np.ndarray
    """uint64, hash of each word."""
    positions: np.ndarray
    """int32, word at which each n-gram begins."""
    grams: np.ndarray
    """uint64, hash of each n-gram."""
    slots: np.ndarray
    """int32, place of each n-gram in the hash table."""
    keys: np.ndarray
    """uint64, hash table: the n-gram."""
    tallies: np.ndarray
    """int32, hash table: how often it occurs, 0 in an empty place."""
    marks: np.ndarray
    """uint8, one mark per n-gram or several: met never, once (1) or more often."""
    runs: np.ndarray
    """uint64, hashes of runs of characters that were cut into words before, a place for each hash."""
    cuts: np.ndarray
    """uint64, the bytes of each of a run's words, the first in the lowest byte; 0 in an empty place."""


_RUNS = 1 << 14
"""Runs that are remembered: 256 KB, which stay in the processor's second cache."""


def scratch(longest: int) -> Scratch:
    """Room for a document of `longest` bytes.

    Two words of ASCII never touch and all other characters take two bytes, so a word takes two at least;
    lines likewise.
    """
    # Some to spare: loops write a candidate before they know whether it counts, or fill up a block.
    words = longest // 2 + 16
    # Kernels take the least power of two that is 4 (keys) or 8 (marks) times the words.
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
