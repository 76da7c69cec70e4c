"""Several sources by weight: which source each place of the data order is of, as a function of the place alone.

Sequence j of source i stands at time (j + 1/2) / weight_i, and the order is that of time. So any stretch of it holds
each source within a sequence or so of its weight, no list is kept, and the state of a loader is how far it has come.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainers.data.shards import ShuffledLoader, Split, Tokens
from trainers.process.errors import TrainerError

Ints = NDArray[np.int64]


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


class MixedLoader:
    """Batches drawn from several splits by weight; each is shuffled on its own, anew each time it is used up."""

    def __init__(self, splits: Sequence[Split], weights: Sequence[float], seed: int, consumed: int = 0) -> None:
        _check_alike(splits)
        total = math.fsum(weights)
        self.weights = tuple(weight / total for weight in weights)
        self.loaders = tuple(ShuffledLoader(split, seed) for split in splits)
        self.splits = tuple(splits)
        self.seed, self.consumed = seed, consumed

    def state(self) -> dict[str, int]:
        return {"seed": self.seed, "consumed": self.consumed}

    def places(self, start: int, count: int) -> tuple[Ints, Ints]:
        """Source, and sequence of that source's split, at places start .. start + count - 1."""
        source, number = interleaved(self.weights, start, count)
        item = np.empty(count, dtype=np.int64)
        for i, loader in enumerate(self.loaders):
            here = np.flatnonzero(source == i)
            if len(here):
                # The numbers of one source within a stretch follow each other.
                item[here] = loader.items(int(number[here[0]]), len(here))
        return source, item

    def next_batch(self, count: int, rank: int = 0, ranks: int = 1) -> Tokens:
        """As ShuffledLoader.next_batch."""
        first, last = (self.consumed + count * r // ranks for r in (rank, rank + 1))
        self.consumed += count
        source, item = self.places(first, last - first)
        tokens = np.empty((len(item), self.splits[0].sequence_length + 1), dtype=np.int64)
        for i in np.unique(source):
            here = source == i
            tokens[here] = self.loaders[i].sequences[item[here]]
        return tokens


def _check_alike(splits: Sequence[Split]) -> None:
    first = splits[0]
    for split in splits[1:]:
        for what in ("sequence_length", "vocab_size", "eot"):
            if getattr(split, what) != getattr(first, what):
                raise TrainerError(
                    f"{split.folder} has {what} {getattr(split, what)}, {first.folder} {getattr(first, what)}",
                    "write all sources with one tokenizer and one sequence length",
                )
