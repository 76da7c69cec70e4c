"""Filters of a mixture's sources, by name, with the thresholds of OLMoE as defaults.

OLMoE (Muennighoff et al. 2024, arXiv 2409.02060, section 2): "we apply a filter that removes all documents with a
sequence of 32 or more repeated n-grams, where an n-gram is any span of 1 to 13 tokens. For the StarCoder subset, we
also remove any document that is either from a repository with fewer than 2 stars on GitHub, or whose most frequent word
constitutes over 30% of the document, or whose top-2 most frequent words constitute over 50% of the document." Tokens
are those of the model. What a word is the paper does not say: here it is what white space separates.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from catalog.errors import WatershedError
from catalog.names import close
from catalog.projects.mixture_file import FilterEntry

Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Read:
    """A batch of documents that filters judge."""

    texts: pa.Array
    ids: NDArray[np.uint32]
    """The tokens of all documents, one after another."""
    ends: NDArray[np.int64]
    """(documents + 1,): where the tokens of each begin, and where the last end."""
    columns: Mapping[str, pa.Array]
    """The columns that filters asked for."""

    def __len__(self) -> int:
        return len(self.texts)


class Filter(Protocol):
    """Says which documents are dropped."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the source that it reads beside the text."""
        ...

    def drops(self, read: Read) -> Bools:
        """(documents,): whether each is dropped."""
        ...


@dataclass(frozen=True, kw_only=True)
class RepeatedNgrams:
    """Drops documents in which an n-gram of tokens follows itself at least so many times.

    Example:
        >>> import numpy as np
        >>> from spark_jobs.mixtures.filters import RepeatedNgrams
        >>> rule = RepeatedNgrams(repeats=3, longest=2)
        >>> ids = np.array([7, 1, 2, 1, 2, 1, 2, 9, 5, 5, 8], np.uint32)
        >>> rule.repeated(ids, np.array([0, 8, 11])).tolist()  # 1 2 three times; 5 twice
        [True, False]
    """

    repeats: int = 32
    """Occurrences of the n-gram, one directly after another."""
    longest: int = 13
    """Tokens of the longest n-gram; the shortest has one."""

    def __post_init__(self) -> None:
        if self.repeats < 2 or self.longest < 1:
            raise WatershedError(
                f"repeated_ngrams: repeats = {self.repeats}, longest = {self.longest}",
                "give at least 2 repeats, and n-grams of at least one token",
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """None."""
        return ()

    def drops(self, read: Read) -> Bools:
        """As `Filter.drops`."""
        return self.repeated(read.ids, read.ends)

    def repeated(self, ids: NDArray[np.uint32], ends: NDArray[np.int64]) -> Bools:
        """(documents,): whether the tokens of each hold such a sequence.

        An n-gram occurs m times in a row exactly where (m - 1) n tokens in a row equal those n places further on.
        """
        owner = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
        found = np.zeros(len(ends) - 1, np.bool_)
        for n in range(1, self.longest + 1):
            wanted = (self.repeats - 1) * n
            if len(ids) < wanted + n:
                break
            equal = (ids[n:] == ids[:-n]) & (owner[n:] == owner[:-n])
            # The last place before each at which tokens differ: a run of equal ones ends `wanted` places after it.
            places = np.arange(len(equal))
            broken = np.maximum.accumulate(np.where(equal, -1, places))
            found[owner[:-n][places - broken >= wanted]] = True
        return found


@dataclass(frozen=True, kw_only=True)
class Stars:
    """Drops documents of repositories with fewer stars; a missing number counts as none."""

    column: str = "max_stars_count"
    """The column of the number, as starcoderdata calls it."""
    least: int = 2

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of stars."""
        return (self.column,)

    def drops(self, read: Read) -> Bools:
        """As `Filter.drops`.

        Raises:
            WatershedError: the column holds no numbers.
        """
        values = read.columns[self.column]
        try:
            stars = values.cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise WatershedError(
                f"stars: the column {self.column} holds no numbers: {error}", "name the column of the stars"
            ) from error
        return stars < self.least


@dataclass(frozen=True, kw_only=True)
class WordShares:
    """Drops documents of which the most frequent word, or the two most frequent ones, are more than a share."""

    first: float = 0.3
    """Largest share of the words that the most frequent one may be."""
    two: float = 0.5
    """Largest share that the two most frequent ones may be together."""

    @property
    def columns(self) -> tuple[str, ...]:
        """None."""
        return ()

    def drops(self, read: Read) -> Bools:
        """As `Filter.drops`."""
        return np.array([self.exceeds(text) for text in read.texts.to_pylist()], np.bool_)

    def exceeds(self, text: str) -> bool:
        """Whether a text has such words."""
        counts = Counter(text.split())
        words = counts.total()
        most = [count for _, count in counts.most_common(2)]
        return bool(most) and (most[0] > self.first * words or sum(most) > self.two * words)


FILTERS: Mapping[str, type[Any]] = {"repeated_ngrams": RepeatedNgrams, "stars": Stars, "word_shares": WordShares}
"""The filters by the names that recipes give."""


def filters_of(entries: Sequence[FilterEntry], where: str) -> dict[str, Filter]:
    """The filters of a source, by name.

    Args:
        entries: what the recipe says.
        where: the recipe and source, for errors.

    Raises:
        WatershedError: a filter is unknown, given twice, or has an unknown or wrong option.
    """
    found: dict[str, Filter] = {}
    for entry in entries:
        kind = FILTERS.get(entry.name)
        if kind is None or entry.name in found:
            fault = "is given twice" if kind else f"is not known{close(entry.name, FILTERS)}"
            raise WatershedError(f"{where}: the filter {entry.name!r} {fault}", f"use {', '.join(FILTERS)}, each once")
        defaults = {each.name: each.default for each in dataclasses.fields(kind)}
        for name, value in entry.options:
            wanted = type(defaults.get(name))
            fits = isinstance(value, wanted) or (wanted is float and isinstance(value, int))
            if name not in defaults or isinstance(value, bool) or not fits:
                raise WatershedError(
                    f"{where}: the filter {entry.name} has no option {name} = {value!r}",
                    f"use {', '.join(f'{each} = {default!r}' for each, default in defaults.items())}",
                )
        found[entry.name] = kind(**dict(entry.options))
    return found
