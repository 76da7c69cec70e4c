"""A Bloom filter that keeps a promised false-positive rate, and is stored with a digest that is checked on reading."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from catalog.errors import WatershedError
from catalog.files import whole_file

BLOCK_BITS = 512
"""Bits of a block, as in kernels/bloom.py: all bits of an n-gram are in one block."""
MEMORY_LIMIT = 1 << 30
"""Default limit of a filter's bytes."""

_MAGIC = b"WSBLOOM1"
_MOST_PROBES = 24
_SPREAD = 12
"""Standard deviations of the number of n-grams in a block that the computation covers."""


@dataclass(frozen=True, kw_only=True)
class FilterSize:
    """Bits and hashes of a filter for `capacity` distinct n-grams at a given false-positive rate."""

    capacity: int
    """Most distinct n-grams at which the filter keeps its rate."""
    false_positive_rate: float
    """Largest share of unseen n-grams that a full filter reports as seen."""
    blocks: int
    """Blocks of 64 bytes."""
    probes: int
    """Bits of an n-gram. DCLM's bff uses ceil(bits / capacity x ln 2), the best number for an unblocked filter; this is
    the best number for blocks, which is at most as large."""

    @property
    def bytes(self) -> int:
        """Memory of the filter, in bytes."""
        return self.blocks * BLOCK_BITS // 8


def false_positive_rate(ngrams: float, blocks: int, probes: int) -> float:
    """Expected false-positive rate of a blocked filter that holds `ngrams` distinct n-grams.

    The number of n-grams in a block is Poisson distributed. The bits that j of them set are an occupancy problem, whose
    mean and variance are exact here.
    """
    if ngrams <= 0:
        return 0.0
    mean = ngrams / blocks
    spread = _SPREAD * math.sqrt(mean) + _SPREAD
    inside = np.arange(max(0, math.floor(mean - spread)), math.ceil(mean + spread) + 1, dtype=np.float64)
    weights = np.exp(inside * math.log(mean) - mean - np.array([math.lgamma(count + 1) for count in inside]))
    throws = probes * inside
    unset = (1 - 1 / BLOCK_BITS) ** throws
    both_unset = (1 - 2 / BLOCK_BITS) ** throws
    variance = unset / BLOCK_BITS + (1 - 1 / BLOCK_BITS) * both_unset - unset**2
    share = 1 - unset
    bend = probes * (probes - 1) / 2 * share ** max(probes - 2, 0) * np.maximum(variance, 0)
    return float((weights * (share**probes + bend)).sum())


def filter_size(capacity: int, false_positive_rate_: float) -> FilterSize:
    """The smallest filter that holds `capacity` distinct n-grams at a false-positive rate.

    Raises:
        WatershedError: either is out of range.
    """
    if capacity < 1 or not 0 < false_positive_rate_ < 1:
        raise WatershedError(
            f"no Bloom filter holds {capacity} n-grams at a false-positive rate of {false_positive_rate_}",
            "give at least one n-gram and a rate between 0 and 1, e.g. 0.01",
        )

    def best(blocks: int) -> tuple[float, int]:
        even = min(math.ceil(blocks * BLOCK_BITS / capacity * math.log(2)), _MOST_PROBES)
        choices = range(max(1, even // 2), even + 1)
        return min((false_positive_rate(capacity, blocks, probes), probes) for probes in choices)

    low, high = 0, max(1, capacity // BLOCK_BITS)
    while best(high)[0] > false_positive_rate_:
        low, high = high, high * 2
    while high - low > max(1, high >> 12):
        middle = (low + high) // 2
        low, high = (middle, high) if best(middle)[0] > false_positive_rate_ else (low, middle)
    return FilterSize(capacity=capacity, false_positive_rate=false_positive_rate_, blocks=high, probes=best(high)[1])


class BloomFilter:
    """The n-grams seen so far. The filter keeps its false-positive rate, or raises an error when it no longer can.

    `bits` is uint64, eight words a block, aligned to lines of memory; `tally` is int64: bits set, new n-grams added.
    """

    def __init__(self, size: FilterSize, *, memory_limit: int = MEMORY_LIMIT) -> None:
        """An empty filter.

        Raises:
            WatershedError: it would take more than `memory_limit` bytes; the message names the needed size.
        """
        self.check(size, memory_limit)
        self.size = size
        self.tally = np.zeros(2, np.int64)
        words = size.bytes // 8
        room = np.zeros(words + 8, np.uint64)
        first = -room.ctypes.data % 64 // 8
        self.bits = room[first : first + words]

    @staticmethod
    def check(size: FilterSize, memory_limit: int) -> None:
        """Check that a filter fits into memory.

        Raises:
            WatershedError: it would take more than `memory_limit` bytes; the message names the needed size.
        """
        if size.bytes > memory_limit:
            raise WatershedError(
                f"a Bloom filter for {size.capacity:,} n-grams at a false-positive rate of "
                f"{size.false_positive_rate:g} needs {size.bytes:,} bytes, and {memory_limit:,} are allowed",
                "raise the memory limit, or deduplicate in more shards with a filter each",
            )

    @property
    def fill(self) -> float:
        """Share of bits set."""
        return int(self.tally[0]) / (self.size.blocks * BLOCK_BITS)

    @property
    def most_bits(self) -> int:
        """Bits that are set when the filter holds `capacity` distinct n-grams; with more, its rate is too high."""
        size = self.size
        share = -math.expm1(size.probes * size.capacity / size.blocks * math.log1p(-1 / BLOCK_BITS) * _poisson(size))
        bits = size.blocks * BLOCK_BITS
        # Allow for random variation.
        return math.floor(share * bits + 3 * math.sqrt(bits))

    def require(self, ngrams: int) -> None:
        """Check that the filter can take `ngrams` more n-grams.

        Raises:
            WatershedError: it cannot; the message names a sufficient size.
        """
        wanted = int(self.tally[1]) + ngrams
        if wanted > self.size.capacity:
            raise self._too_small(f"{wanted:,} n-grams are expected in", wanted)

    def full(self, documents: int) -> WatershedError:
        """The error for a filter that became full after `documents` documents."""
        return self._too_small(
            f"after {documents:,} documents {self.fill:.1%} of all bits are set in", 2 * int(self.tally[1])
        )

    def _too_small(self, how: str, wanted: int) -> WatershedError:
        size, better = self.size, filter_size(wanted, self.size.false_positive_rate)
        return WatershedError(
            f"{how} a Bloom filter for {size.capacity:,} ({size.bytes:,} bytes): its false-positive rate would not "
            f"stay within {size.false_positive_rate:g}",
            f"size it for at least {wanted:,} n-grams ({better.bytes:,} bytes), see estimate_ngrams",
        )

    def save(self, path: Path) -> str:
        """Write the filter to a file, whole or not at all; returns the SHA-256 of its bits."""
        digest = hashlib.sha256(self.bits.data).hexdigest()
        size = self.size
        head = {
            "capacity": size.capacity,
            "false_positive_rate": size.false_positive_rate,
            "blocks": size.blocks,
            "probes": size.probes,
            "tally": self.tally.tolist(),
            "sha256": digest,
        }
        header = json.dumps(head).encode()
        with whole_file(path) as fresh, fresh.open("wb") as file:
            file.write(_MAGIC + len(header).to_bytes(8, "little") + header)
            file.write(self.bits.data)
        return digest

    @classmethod
    def load(cls, path: Path, *, memory_limit: int = MEMORY_LIMIT) -> BloomFilter:
        """Read a filter that `save` wrote.

        Raises:
            WatershedError: the file is missing or damaged, or the filter takes more than `memory_limit` bytes.
        """
        again = "make the filter again, or name the right file"
        try:
            with path.open("rb") as file:
                if file.read(len(_MAGIC)) != _MAGIC:
                    raise WatershedError(f"{path} is not a Bloom filter", again)
                head = json.loads(file.read(int.from_bytes(file.read(8), "little")))
                tally, digest = head.pop("tally"), head.pop("sha256")
                loaded = cls(FilterSize(**head), memory_limit=memory_limit)
                read = file.readinto(loaded.bits.data.cast("B"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WatershedError(f"{path} cannot be read as a Bloom filter: {error}", again) from error
        if read != loaded.size.bytes or hashlib.sha256(loaded.bits.data).hexdigest() != digest:
            raise WatershedError(f"{path} is not the Bloom filter that was written: its digest differs", again)
        loaded.tally[:] = tally
        return loaded


def _poisson(size: FilterSize) -> float:
    """The factor of the exponent by which uneven blocks reduce the bits set.

    The share of unset bits is the mean of q^j over Poisson j with q = (1 - 1/512)^probes, which is exp(-mean (1 - q)).
    With an even spread it would be q^mean.
    """
    log_q = size.probes * math.log1p(-1 / BLOCK_BITS)
    return -math.expm1(log_q) / -log_q
