"""Strings with special splits, such as `can't`, `a.m.` and `:-)`, in hash tables for kernels.

spaCy uses them twice: for a string that is left when its affixes are split off, and for neighbouring words of a whole
text (see `spacy_joins`).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from spark_jobs.kernels.compiled import inner
from spark_jobs.kernels.english_tables import exception_pieces
from spark_jobs.kernels.hashing import KEY_0, hash_bytes, load64
from spark_jobs.kernels.text_hash import text_hash

SEED = np.uint64(1)
"""Seed of the hashes of strings."""

_SIEVE_BITS = 1 << 15
_SPREAD, _SIEVE_SHIFT = KEY_0 | np.uint64(1), np.uint64(65 - _SIEVE_BITS.bit_length())
_ONE, _ALL = np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF)


class StringTable(NamedTuple):
    """Strings and their pieces, as a hash table with a sieve in front of it."""

    keys: np.ndarray
    """uint64, hash of the string; its slot is given by its lowest bits, or is the next free one."""
    pieces: np.ndarray
    """uint32, length in bytes of each piece, the first in the lowest eight bits; 0 in an empty slot."""
    sieve: np.ndarray
    """uint64, bits set by size and first eight bytes: hardly any other string hits one."""


@functools.cache
def special_strings() -> StringTable:
    """All strings with special splits."""
    pieces = exception_pieces()
    size = 1 << (2 * len(pieces)).bit_length()
    table = StringTable(np.zeros(size, "u8"), np.zeros(size, "u4"), np.zeros(_SIEVE_BITS // 64, "u8"))
    hashes = text_hash(pa.array(list(pieces)), seed=int(SEED)).to_numpy().view(np.uint64)
    for (text, parts), key in zip(pieces.items(), hashes, strict=True):
        slot = int(key) & (size - 1)
        while table.pieces[slot]:
            slot = (slot + 1) & (size - 1)
        table.keys[slot] = key
        table.pieces[slot] = packed_sizes(parts)
        encoded = text.encode()
        head = int.from_bytes(encoded[:8], "little") + len(encoded)
        bit = head * int(_SPREAD) % 2**64 >> int(_SIEVE_SHIFT)
        table.sieve[bit // 64] |= np.uint64(1 << bit % 64)
    return _read_only(table)


@functools.cache
def no_strings() -> StringTable:
    """A table without strings."""
    return _read_only(StringTable(np.zeros(1, "u8"), np.zeros(1, "u4"), np.zeros(_SIEVE_BITS // 64, "u8")))


def _read_only(table: StringTable) -> StringTable:
    for array in table:
        array.flags.writeable = False
    return table


def packed_sizes(pieces: tuple[str, ...]) -> int:
    """The sizes in bytes of at most four pieces, the first in the lowest eight bits."""
    return int.from_bytes(bytes(len(piece.encode()) for piece in pieces), "little")


@inner
def pieces_of(data, start, stop, table):
    """The sizes of the pieces of a string with a special split, one byte each; 0 for any other string."""
    size = np.uint64(stop - start)
    head = load64(data, start) & (_ALL >> np.uint64(64 - 8 * min(stop - start, 8)))
    bit = ((head + size) * _SPREAD) >> _SIEVE_SHIFT
    if size > 63 or not table.sieve[bit >> np.uint64(6)] >> (bit & np.uint64(63)) & _ONE:
        return np.uint32(0)
    mask = np.uint64(len(table.keys) - 1)
    key = hash_bytes(data, start, stop, SEED)
    slot = key & mask
    while table.pieces[slot] and table.keys[slot] != key:
        slot = (slot + _ONE) & mask
    return table.pieces[slot]
