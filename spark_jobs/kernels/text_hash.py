"""Hashes of whole texts, to find exact duplicates. Equal bytes have the same hash on every machine.

The hash is that of the unchanged UTF-8 bytes: nothing is stripped or lower-cased. The probability that two different
texts among n have the same 64-bit hash is about n^2 / 2^65, or one in forty for a billion texts. Code that finds
duplicates therefore also compares lengths. Accidental collisions are improbable, but an adversary can construct them.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import numpy as np
import pyarrow as pa

from spark_jobs.kernels.compiled import entry
from spark_jobs.kernels.hashing import hash_bytes
from spark_jobs.kernels.text_buffers import TextArray, TextBuffers, text_buffers

SEED = 1
_MASK = (1 << 64) - 1


def text_hash(text: TextArray, *, seed: int = SEED) -> pa.Int64Array:
    """The 64-bit hash of each text, as int64; null for a null text."""
    buffers = text_buffers(text)
    return pa.array(_hashes(buffers, seed).view(np.int64), mask=~buffers.valid)


def _hashes(buffers: TextBuffers, seed: int) -> np.ndarray:
    hashes = np.zeros(len(buffers), np.uint64)
    for data, offsets, first, last in buffers.parts():
        _text_hash(data, offsets, first, last, np.uint64(seed & _MASK), hashes)
    return hashes


@entry
def _text_hash(data, offsets, first, last, seed, hashes):
    for document in range(first, last):
        hashes[document] = hash_bytes(data, offsets[document], offsets[document + 1], seed)
