"""Hashes of whole texts, to find exact duplicates: equal bytes, equal hash, on every machine.

A text is its UTF-8 as it stands: nothing is stripped or lower-cased. Among n texts some two different
ones share a 64-bit hash with probability of about n^2 / 2^65: one in forty at a billion, so what finds
copies by it compares the length too. The hash resists accidents, not adversaries.
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
    """A 64-bit hash of each text, as int64; null where the text is null."""
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
