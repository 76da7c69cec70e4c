"""Several sources by weight: which source each place of the data order is of, as a function of the place alone.

Sequence j of source i stands at time (j + 1/2) / weight_i, and the order is that of time. So any stretch of it holds
each source within a sequence or so of its weight, no list is kept, and the state of a loader is its number of samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np

from trainers.data.loader import Ints, Places, S, ShuffledLoader, in_order, share_of
from trainers.data.shards import Split
from trainers.data.tokenizer_digest import check_same_tokenizer
from trainers.process.errors import TrainerError
from trainers.process.files import sha256_text


def interleaved(weights: Sequence[float], start: int, count: int) -> tuple[Ints, Ints]:
    """Source, and number within the source over all its epochs, of places start .. start + count - 1.

    Args:
        weights: positive, adding up to one.
    """
    margin = len(weights)
    began, ended = max(0, start - margin), start + count + margin
    first = [_first_at(weight, began) for weight in weights]
    numbers = [np.arange(first[i], _first_at(weight, ended)) for i, weight in enumerate(weights)]
    source = np.repeat(np.arange(len(weights)), [len(n) for n in numbers])
    number = np.concatenate(numbers)
    time = (number + 0.5) / np.array(weights)[source]
    order = np.lexsort((source, time))[start - sum(first) :][:count]
    return source[order], number[order]


def _first_at(weight: float, time: int) -> int:
    """The first number of a source of this weight that stands at `time` or later."""
    number = max(0, math.ceil(weight * time - 0.5) - 1)
    while (number + 0.5) / weight < time:
        number += 1
    return number


def seed_of(seed: int, source: int) -> int:
    """The seed by which a source is shuffled: `seed` itself for the first, another one for each further."""
    return seed if source == 0 else int(sha256_text(f"{seed} {source}")[:16], 16)


class MixedLoader(Generic[S]):
    """Batches drawn from several sources by weight; each is shuffled on its own, anew each time it is used up.

    Args:
        weights: positive, one a source; only their ratios count.
    """

    def __init__(self, sources: Sequence[S], weights: Sequence[float], seed: int, consumed: int = 0) -> None:
        total = math.fsum(weights)
        self.weights = tuple(weight / total for weight in weights)
        self.loaders = tuple(ShuffledLoader(source, seed_of(seed, i)) for i, source in enumerate(sources))
        self.sources = tuple(sources)
        self.seed, self.consumed = seed, consumed

    @classmethod
    def of_one_seed(cls, sources: Sequence[S], weights: Sequence[float], seed: int) -> MixedLoader[S]:
        """Every source shuffled by `seed` itself, as earlier versions did: equal sources come in the same order."""
        found = cls(sources, weights, seed)
        found.loaders = tuple(ShuffledLoader(source, seed) for source in sources)
        return found

    def state(self) -> dict[str, int]:
        """Seed, and samples consumed."""
        return {"seed": self.seed, "consumed": self.consumed}

    def epochs(self, samples: int) -> tuple[float, ...]:
        """As `Loader.epochs`."""
        shares = zip(self.weights, self.sources, strict=True)
        return tuple(weight * samples / len(source) for weight, source in shares)

    def places(self, start: int, count: int) -> tuple[Ints, Ints]:
        """(count,) twice: the source, and the sample of that source, at places start .. start + count - 1."""
        source, number = interleaved(self.weights, start, count)
        item = np.empty(count, dtype=np.int64)
        for i, loader in enumerate(self.loaders):
            here = np.flatnonzero(source == i)
            if len(here):
                # The numbers of one source within a stretch follow each other.
                item[here] = loader.items(int(number[here[0]]), len(here))
        return source, item

    def next_batch(self, count: int, rank: int = 0, ranks: int = 1) -> Any:
        """As `Loader.next_batch`."""
        first, last = share_of(self.consumed, count, rank, ranks)
        self.consumed += count
        source, item = self.places(first, last - first)
        places = [(int(i), np.flatnonzero(source == i)) for i in np.unique(source)]
        return in_order(len(item), [(here, self.sources[i][item[here]]) for i, here in places])


@dataclass(frozen=True)
class Sourced:
    """Samples of a batch with the source of each; a slice of it is one too."""

    samples: Any
    source_B: Ints

    def __len__(self) -> int:
        return len(self.source_B)

    def __getitem__(self, part: slice) -> Sourced:
        return Sourced(self.samples[part], self.source_B[part])


class SourcedLoader(Generic[S]):
    """A loader whose batches say the source of each sample."""

    def __init__(self, loader: Places[S]) -> None:
        self.loader = loader

    @property
    def consumed(self) -> int:
        """As `Loader.consumed`."""
        return self.loader.consumed

    @consumed.setter
    def consumed(self, samples: int) -> None:
        self.loader.consumed = samples

    def state(self) -> dict[str, int]:
        """As `Loader.state`."""
        return self.loader.state()

    def epochs(self, samples: int) -> tuple[float, ...]:
        """As `Loader.epochs`."""
        return self.loader.epochs(samples)

    def next_batch(self, count: int, rank: int = 0, ranks: int = 1) -> Sourced:
        """As `Loader.next_batch`."""
        first, last = share_of(self.consumed, count, rank, ranks)
        source_B, _ = self.loader.places(first, last - first)
        return Sourced(self.loader.next_batch(count, rank, ranks), source_B)


def check_alike(splits: Sequence[Split]) -> None:
    """Refuse shards that cannot be mixed.

    Raises:
        TrainerError: two splits differ in vocabulary, sequence length, end-of-text token or tokenizer.
    """
    first = splits[0]
    for split in splits[1:]:
        for what in ("sequence_length", "vocab_size", "eot"):
            if getattr(split, what) != getattr(first, what):
                raise TrainerError(
                    f"{split.folder} has {what} {getattr(split, what)}, {first.folder} {getattr(first, what)}",
                    "write all sources with one tokenizer and one sequence length",
                )
        check_same_tokenizer(split.tokenizer, first.tokenizer, ours=str(split.folder), theirs=str(first.folder))
