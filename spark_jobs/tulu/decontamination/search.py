"""Which rows overlap which evaluation instances: exact, in batches, without a search server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_jobs.compute import pc
from spark_jobs.tulu.decontamination.index import SHARE, Index, Ints, N

if TYPE_CHECKING:
    from spark_jobs.kernels.text_buffers import TextArray

BREAK = "\n \u2029 zqxturnbreakxqz \u2029 \n"
"""What is put between turns: a word that no evaluation has, so that no n-gram spans two turns."""
BATCH = 4_096
"""Rows that are searched at a time."""
POSITIONS = 4_000_000
"""Positions of instances that are compared at a time, which bounds the memory of a batch with many candidates."""
ROUNDING = 1e-9
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Overlaps:
    """Pairs of a row and an instance that overlap by the strict rule, ordered by row and instance."""

    row: Ints
    """The number of the row, from 0 over all batches."""
    instance: Ints
    published: Floats
    strict: Floats
    by_published: Truths
    """Whether the published rule counts the pair too."""
    unrepeated: Truths
    """Whether it would if every position of a repeated n-gram counted."""


@dataclass(kw_only=True)
class Found:
    """What a search has found of each evaluation."""

    index: Index
    rows: int = 0
    overlaps: list[Overlaps] = field(default_factory=list)

    def joined(self) -> Overlaps:
        """All overlaps."""
        names = ("row", "instance", "published", "strict", "by_published", "unrepeated")
        empty = {"published": np.float64, "strict": np.float64, "by_published": np.bool_, "unrepeated": np.bool_}
        return Overlaps(
            **{
                name: np.concatenate(
                    [np.empty(0, empty.get(name, np.int64)), *(getattr(each, name) for each in self.overlaps)]
                )
                for name in names
            }
        )


def user_text(messages: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The text of the user's turns of each row, with BREAK between them.

    Args:
        messages: a list of structs with role and content for each row.
    """
    lists = messages.combine_chunks() if isinstance(messages, pa.ChunkedArray) else messages
    lists = lists.cast(pa.large_list(lists.type.value_type))
    inner = lists.flatten()
    is_user = pc.equal(inner.field("role"), "user").to_numpy(zero_copy_only=False)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    ends = np.concatenate([[0], np.cumsum(is_user)])[np.concatenate([[0], np.cumsum(lengths)])]
    content = pc.fill_null(inner.field("content"), "").filter(pa.array(is_user)).cast(pa.large_string())
    return pc.binary_join(pa.LargeListArray.from_arrays(pa.array(ends), content), pa.scalar(BREAK, pa.large_string()))


def search(texts: Iterable[TextArray], index: Index, workers: int = 1) -> Found:
    """Find the overlaps of rows with the instances of an index.

    Args:
        texts: the rows' prompts, in batches.
        index: the instances.
        workers: threads.
    """
    found = Found(index=index)
    _ = index.table
    batches = _numbered(texts)
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        while some := list(islice(batches, 2 * max(workers, 1))):
            found.rows = some[-1][0] + len(some[-1][1])
            for overlaps in pool.map(lambda batch: _overlaps(batch[1], index, batch[0]), some):
                if overlaps is not None and len(overlaps.row):
                    found.overlaps.append(overlaps)
    return found


def _numbered(texts: Iterable[TextArray]) -> Iterator[tuple[int, TextArray]]:
    first = 0
    for text in texts:
        for start in range(0, len(text), BATCH):
            part = text.slice(start, BATCH)
            yield first, part
            first += len(part)


def _overlaps(text: TextArray, index: Index, first: int) -> Overlaps | None:
    """The overlaps of a batch whose first row has the number `first`."""
    from spark_jobs.kernels.overlap import find_ngrams

    found = find_ngrams(text, index.table)
    if not len(found.document):
        return None
    grams = len(index.hashes)
    held = np.unique(found.document.astype(np.int64) * grams + found.number)
    documents, numbers = np.divmod(held, grams)
    counts = np.diff(index.probe_starts)[numbers]
    fields = index.probes[_places(index.probe_starts[numbers], counts)]
    instances = max(len(index.evaluation), 1)
    pairs = np.unique(np.repeat(documents, counts) * instances + index.instance[fields])
    document, instance = np.divmod(pairs, instances)
    sizes = index.starts[index.first_field[instance + 1]] - index.starts[index.first_field[instance]]
    parts = np.cumsum(sizes) // POSITIONS
    made = []
    for start, stop in _runs(parts):
        part = _scored(text, document[start:stop], instance[start:stop], held, index)
        if part is not None:
            made.append(part)
    if not made:
        return None
    columns = [np.concatenate(each) for each in zip(*made, strict=True)]
    return Overlaps(
        row=columns[0] + first,
        instance=columns[1],
        published=columns[2],
        strict=columns[3],
        by_published=columns[4],
        unrepeated=columns[5],
    )


def _runs(groups: Ints) -> Iterator[tuple[int, int]]:
    bounds = np.flatnonzero(np.diff(groups)) + 1
    edges = [0, *bounds.tolist(), len(groups)]
    return ((start, stop) for start, stop in pairwise(edges) if stop > start)


def _scored(
    text: TextArray, document: Ints, instance: Ints, held: Ints, index: Index
) -> tuple[Ints, Ints, Floats, Floats, Truths, Truths] | None:
    """Document, instance and scores of those candidates that overlap by the strict rule."""
    counts = index.first_field[instance + 1] - index.first_field[instance]
    fields = _places(index.first_field[instance], counts)
    pair = np.repeat(np.arange(len(instance)), counts)
    short = index.short_hash[fields] != 0
    matched = np.zeros(len(fields), np.int64)
    long = np.flatnonzero(~short)
    matched[long], latest = _matched(document[pair[long]], fields[long], held, index)
    words = index.words[fields]
    # What long fields alone, and all short ones, could add up to decides which texts must be read again.
    possible = np.bincount(pair, matched + np.where(short, words, 0), len(instance))
    total = np.bincount(pair, words, len(instance))
    wanted = np.flatnonzero(short & (2 * possible > total)[pair])
    matched[wanted] = words[wanted] * _held(text, document[pair[wanted]], fields[wanted], index)
    whole = np.bincount(pair, matched, len(instance))
    best = np.zeros(len(instance), np.float64)
    np.maximum.at(best, pair[long], matched[long] / words[long])
    strict = np.maximum(best, whole / total)
    hit = np.zeros(len(instance), np.bool_)
    hit[pair[long[2 * matched[long] > words[long]]]] = True
    hit |= 2 * whole > total
    hit &= index.counted[instance]
    if not hit.any():
        return None
    shares, every = (
        np.bincount(pair[long], each / words[long], len(instance)) / np.maximum(index.fields[instance], 1)
        for each in (latest, matched[long])
    )
    complete = index.whole[instance]
    return (
        document[hit],
        instance[hit],
        np.where(complete, shares, 0.0)[hit],
        strict[hit],
        (complete & (shares > SHARE + ROUNDING))[hit],
        (complete & (every > SHARE + ROUNDING))[hit],
    )


def _matched(document: Ints, fields: Ints, held: Ints, index: Index) -> tuple[Ints, Ints]:
    """For each document and long field, the words in shared n-grams: by all positions, and by last ones alone."""
    counts = index.starts[fields + 1] - index.starts[fields]
    places = _places(index.starts[fields], counts)
    keys = np.repeat(document * len(index.hashes), counts) + index.grams[places]
    shared = held[np.minimum(np.searchsorted(held, keys), len(held) - 1)] == keys
    words = index.words[fields]
    ends = np.concatenate([[0], np.cumsum(words)])
    owner = np.repeat(np.arange(len(fields)), words)
    position = ends[:-1][np.repeat(np.arange(len(fields)), counts)] + _places(np.zeros_like(counts), counts)
    both = []
    for chosen in (shared, shared & index.last[places]):
        begins = position[chosen]
        edges = np.bincount(begins, minlength=int(ends[-1]) + 1) - np.bincount(begins + N, minlength=int(ends[-1]) + 1)
        both.append(np.bincount(owner[np.cumsum(edges)[:-1] > 0], minlength=len(fields)))
    return both[0], both[1]


def _held(text: TextArray, document: Ints, fields: Ints, index: Index) -> Truths:
    """For each document and short field, whether the document has all its words in a row."""
    from spark_jobs.kernels.overlap import ngrams_of, words_of

    held = np.zeros(len(fields), np.bool_)
    if not len(fields):
        return held
    documents, local = np.unique(document, return_inverse=True)
    words = words_of(text.take(pa.array(documents)))
    wanted = index.short_hash[fields] ^ (local.astype(np.uint64) * MULTIPLIER)
    sizes = index.words[fields]
    for width in np.unique(sizes).tolist():
        ends, hashes = ngrams_of(words, width)
        owner = np.repeat(np.arange(len(documents), dtype=np.uint64), np.diff(ends))
        own = sizes == width
        keys = hashes ^ (owner * MULTIPLIER)
        # The keys of a batch are many and those that are wanted few: these are sorted, and not `isin`'s both.
        known, which = np.unique(wanted[own], return_inverse=True)
        place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        found = np.zeros(len(known), np.bool_)
        found[place[known[place] == keys]] = True
        held[own] = found[which]
    return held


def _places(first: Ints, counts: Ints) -> Ints:
    """The indices of ranges that begin at `first` and have so many members, one after the other."""
    return np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
