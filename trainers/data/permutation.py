"""A shuffle that is a function: place i of an epoch holds item `permute(i)`, with nothing stored.

A balanced Feistel network (Luby and Rackoff, 1988) over the next power of four is a permutation whatever its round
function; places that land outside 0..n-1 are sent through again until they do not (cycle walking, Black and Rogaway,
2002). So a loader over a billion sequences needs no list, can start at any place, and every rank computes its own
places alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROUNDS = 6

IndexArray = NDArray[np.uint64]


def permute(places: NDArray[np.integer], n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Items, int64 of the same shape, at `places` (each in 0..n-1) of the shuffle named by (seed, epoch)."""
    bits = max(1, ((max(n, 2) - 1).bit_length() + 1) // 2)
    keys = _keys(seed, epoch)
    items = np.array(places, dtype=np.uint64)
    items = _feistel(items, bits, keys)
    outside = items >= n
    while outside.any():
        items[outside] = _feistel(items[outside], bits, keys)
        outside = items >= n
    return items.astype(np.int64)


def _keys(seed: int, epoch: int) -> IndexArray:
    start = _mix(np.array([seed % 2**64], dtype=np.uint64)) ^ np.uint64(epoch)
    return _mix(_mix(start) + np.arange(ROUNDS, dtype=np.uint64))


def _feistel(x: IndexArray, bits: int, keys: IndexArray) -> IndexArray:
    half, mask = np.uint64(bits), np.uint64((1 << bits) - 1)
    left, right = x >> half, x & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & mask)
    return (left << half) | right


def _mix(x: IndexArray) -> IndexArray:
    """splitmix64's finaliser: every input bit changes every output bit with probability near one half."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
