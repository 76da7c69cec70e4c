"""Vectors with neighbours to find, ids for them, and their stamp."""

from __future__ import annotations

import hashlib

import numpy as np

from spark_jobs.retrieval.encoders import normalised
from spark_jobs.retrieval.stamps import Stamp

STAMP = Stamp(model="made", revision="1", library="numpy", dimensions=32, normalised=True)


def made_vectors(count: int, seed: int = 0) -> np.ndarray:
    """Return vectors (count, 32) in half precision, around one centre for every twenty of them."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(max(count // 20, 1), STAMP.dimensions))
    noise = random.normal(scale=0.5, size=(count, STAMP.dimensions))
    return normalised(centres[random.integers(len(centres), size=count)] + noise).astype(np.float16)


def made_ids(count: int, first: int = 0) -> list[str]:
    """Return ids of 32 hex digits, some of which end with zero bytes."""
    digests = (hashlib.sha256(str(number).encode()).hexdigest()[:28] for number in range(first, first + count))
    return [f"{digest}{'0000' if number % 3 else 'abcd'}" for number, digest in enumerate(digests)]
