"""Samples in an order that is a function of (seed, place), whatever a sample is.

A `Source` holds samples by number. A `Loader` deals them out in batches: a training loop needs no more than that, so
token sequences, dialogues, preference pairs and pictures share one loop. What a loader gives depends on its seed and
on how many samples it has given, and on nothing else: its state is two numbers, it can start at any place, and any
number of ranks reads the same samples in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from trainers.data.permutation import permute

Ints = NDArray[np.int64]


class Source(Protocol):
    """Samples by number, such as the token sequences of a split."""

    def __len__(self) -> int:
        """The number of samples."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the samples, wherever they lie: a run's identity names it."""
        ...

    def __getitem__(self, places: Ints) -> Any:
        """The samples numbered `places` (each in 0 .. len - 1), in that order: an array, or a list."""
        ...


class Loader(Protocol):
    """Batches of samples, from the place where the run stands."""

    consumed: int
    """Samples given so far, over all ranks."""

    def state(self) -> dict[str, int]:
        """What a checkpoint keeps: `seed` and `consumed`."""
        ...

    def epochs(self, samples: int) -> tuple[float, ...]:
        """How often each source is read through by the first `samples` samples."""
        ...

    def next_batch(self, count: int, rank: int = 0, ranks: int = 1) -> Any:
        """Of the next `count` samples those of this rank, in order: an array, or a list.

        The ranks' parts, one after the other, are the batch of a single rank.
        """
        ...


S = TypeVar("S", bound=Source)
S_co = TypeVar("S_co", bound=Source, covariant=True)


class Places(Loader, Protocol[S_co]):
    """A loader of numbered samples, each of one of its sources."""

    seed: int

    @property
    def sources(self) -> tuple[S_co, ...]:
        """The sources, as `places` numbers them."""
        ...

    def places(self, start: int, count: int) -> tuple[Ints, Ints]:
        """(count,) twice: the source, and the sample of that source, at places start .. start + count - 1."""
        ...


class ShuffledLoader(Generic[S]):
    """Batches of one source, shuffled anew each epoch.

    An epoch gives every sample exactly once, and a batch may reach into the next epoch.
    """

    def __init__(self, source: S, seed: int, consumed: int = 0) -> None:
        self.source = source
        self.sources = (source,)
        self.seed = seed
        self.consumed = consumed

    def state(self) -> dict[str, int]:
        """Seed, and samples consumed."""
        return {"seed": self.seed, "consumed": self.consumed}

    def epochs(self, samples: int) -> tuple[float, ...]:
        """As `Loader.epochs`: of the one source."""
        return (samples / len(self.source),)

    def items(self, start: int, count: int) -> Ints:
        """(count,): numbers of the samples at places start .. start + count - 1, counted over all epochs."""
        n = len(self.source)
        places = np.arange(start, start + count, dtype=np.int64)
        items = np.empty(count, dtype=np.int64)
        for epoch in np.unique(places // n):
            here = places // n == epoch
            items[here] = permute(places[here] % n, n, self.seed, int(epoch))
        return items

    def places(self, start: int, count: int) -> tuple[Ints, Ints]:
        """(count,) twice: the source, always 0, and the sample at places start .. start + count - 1."""
        items = self.items(start, count)
        return np.zeros_like(items), items

    def next_batch(self, count: int, rank: int = 0, ranks: int = 1) -> Any:
        """As `Loader.next_batch`: about count / ranks samples. Each rank reads its own alone."""
        first, last = share_of(self.consumed, count, rank, ranks)
        self.consumed += count
        return self.source[self.items(first, last - first)]


def whole_number(number: int, skipped: Sequence[int]) -> int:
    """The number, among all batches from 1, of batch `number` among those that are not `skipped` (sorted)."""
    for each in skipped:
        if each > number:
            break
        number += 1
    return number


class SkippingLoader(Generic[S]):
    """A loader without some of its batches; those after them move up.

    Args:
        loader: the loader with all batches.
        batch: samples a batch.
        skipped: numbers of the batches left out, from 1: in a run without this, the steps that read them.
    """

    def __init__(self, loader: Places[S], batch: int, skipped: Sequence[int]) -> None:
        self.loader, self.batch, self.skipped = loader, batch, sorted(set(skipped))
        self.sources, self.seed, self.consumed = loader.sources, loader.seed, loader.consumed

    def state(self) -> dict[str, int]:
        """Seed, and samples given, without those left out."""
        return {"seed": self.seed, "consumed": self.consumed}

    def epochs(self, samples: int) -> tuple[float, ...]:
        """As `Loader.epochs`."""
        return self.loader.epochs(samples)

    def _whole_place(self, place: int) -> int:
        """The place of the order with all batches where the sample at `place` of this one stands."""
        number = whole_number(place // self.batch + 1, self.skipped)
        return (number - 1) * self.batch + place % self.batch

    def places(self, start: int, count: int) -> tuple[Ints, Ints]:
        """(count,) twice: source and sample at places start .. start + count - 1."""
        found, place = [], start
        while place < start + count:
            # As far as the next batch, where samples may be left out.
            some = min(self.batch - place % self.batch, start + count - place)
            found.append(self.loader.places(self._whole_place(place), some))
            place += some
        sources, items = zip(*found, strict=True)
        return np.concatenate(sources), np.concatenate(items)

    def next_batch(self, count: int, rank: int = 0, ranks: int = 1) -> Any:
        """As `Loader.next_batch`; `count` reaches at most to the end of a batch."""
        self.loader.consumed = self._whole_place(self.consumed)
        self.consumed += count
        return self.loader.next_batch(count, rank, ranks)


def share_of(start: int, count: int, rank: int, ranks: int) -> tuple[int, int]:
    """First place and end of this rank's share of `count` places from `start` on; shares differ by one at most."""
    return start + count * rank // ranks, start + count * (rank + 1) // ranks


def in_order(count: int, parts: Sequence[tuple[Ints, Any]]) -> Any:
    """One batch of `count` samples from (places in it, samples) of several sources: an array where these are arrays."""
    first = parts[0][1] if parts else []
    if isinstance(first, np.ndarray):
        batch = np.empty((count, *first.shape[1:]), dtype=first.dtype)
        for places, samples in parts:
            batch[places] = samples
        return batch
    mixed: list[Any] = [None] * count
    for places, samples in parts:
        for place, sample in zip(places.tolist(), samples, strict=True):
            mixed[place] = sample
    return mixed
