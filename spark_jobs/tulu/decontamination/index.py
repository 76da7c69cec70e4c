"""The index of evaluation instances: n-grams of their fields, by hash, and the n-grams that are probed for.

A row can only overlap an instance if one of a few n-grams of the instance occurs in it. Of a field of at least n words,
more than half must match, so any set of positions that covers at most half of its words may be left out: those of the
n-grams that most other fields share. Of short fields the longest are probes, until what is left is at most half of
their words. Everything else of an instance is compared only in the rows that hold a probe, so that common phrases
("which of the following") cost nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.errors import WatershedError
from spark_jobs.tulu.decontamination.instances import Evaluation

if TYPE_CHECKING:
    from spark_jobs.kernels.overlap import NgramTable

N = 8
"""Words of an n-gram."""
SHARE = 0.5
"""The share of words that must be exceeded."""
LEAST_WORDS = 3
"""Words of an instance below which the strict rule does not search for it."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Index:
    """Instances of several evaluations. A field that is null or has no word is left out of `instance`."""

    names: tuple[str, ...]
    """Evaluations."""
    evaluation: Ints
    """For each instance its evaluation."""
    number: Ints
    """For each instance its number in its evaluation."""
    whole: npt.NDArray[np.bool_]
    """For each instance whether it has all its fields, so that the published rule counts it."""
    fields: Ints
    """For each instance the number of its fields, null ones included."""
    counted: npt.NDArray[np.bool_]
    """For each instance whether the strict rule searches for it."""
    instance: Ints
    """For each field its instance; the fields of an instance follow each other."""
    first_field: Ints
    """The fields of instance i are `first_field[i] : first_field[i + 1]`."""
    words: Ints
    """For each field its words."""
    starts: Ints
    """The n-grams of field i are `grams[starts[i] : starts[i + 1]]`, one for each position; one for a short field."""
    grams: Ints
    """The number of each n-gram."""
    last: npt.NDArray[np.bool_]
    """For each position, whether its n-gram occurs at no later position of the field."""
    short_hash: npt.NDArray[np.uint64]
    """For each short field the n-gram of all its words; 0 for the others."""
    hashes: npt.NDArray[np.uint64]
    """The distinct n-grams, by number. Those of short fields are only there as probes."""
    widths: npt.NDArray[np.int32]
    probe_starts: Ints
    """N-gram i is a probe of the fields `probes[probe_starts[i] : probe_starts[i + 1]]`."""
    probes: Ints

    @functools.cached_property
    def table(self) -> NgramTable:
        """The n-grams as a hash table for kernels."""
        from spark_jobs.kernels.overlap import ngram_table

        return ngram_table(self.hashes, self.widths)

    @functools.cached_property
    def findable(self) -> npt.NDArray[np.bool_]:
        """For each instance, whether the published rule can find it: it has all fields, and enough words in them."""
        long = np.zeros(len(self.evaluation))
        np.add.at(long, self.instance, (self.words >= N).astype(np.float64))
        return self.whole & (long > SHARE * np.maximum(self.fields, 1))


def build_index(evaluations: Sequence[Evaluation]) -> Index:
    """Index the instances of evaluations.

    Raises:
        WatershedError: two evaluations have the same name, or none has an instance that can be found.
    """
    from spark_jobs.kernels.overlap import ngrams_of, words_of

    names = tuple(each.name for each in evaluations)
    if len(set(names)) < len(names):
        raise WatershedError("two evaluations have the same name", "rename a file")
    instances = [(e, i, fields) for e, each in enumerate(evaluations) for i, fields in enumerate(each.instances)]
    texts, owner = [], []
    for number, (_, _, fields) in enumerate(instances):
        for text in fields:
            if text is not None:
                texts.append(text)
                owner.append(number)
    words = words_of(pa.array(texts, pa.large_string()))
    sizes = np.diff(words.ends)
    ends, hashes = ngrams_of(words, N, whole=True)
    kept = sizes > 0
    counts = np.diff(ends)
    instance, sizes = np.array(owner, np.int64)[kept], sizes[kept]
    hashes, counts = hashes[np.repeat(kept, counts)], counts[kept]
    starts = np.concatenate([[0], np.cumsum(counts)])
    short = sizes < N
    total = np.zeros(len(instances), np.int64)
    np.add.at(total, instance, sizes)
    counted = total >= LEAST_WORDS
    if not counted.any():
        raise WatershedError(f"no instance has {LEAST_WORDS} words", "give evaluations with whole questions")
    distinct, grams, owners = np.unique(hashes, return_inverse=True, return_counts=True)
    place = np.repeat(np.arange(len(counts)), counts)
    probe = _probes(place, grams, owners[grams], sizes, counts) & counted[instance[place]]
    anchors = _anchors(instance, sizes, short)
    probe = np.where(short[place], anchors[place] & counted[instance[place]], probe)
    width = np.full(len(distinct), N, np.int32)
    width[grams[short[place]]] = sizes[place[short[place]]]
    order = np.flatnonzero(probe)
    order = order[np.argsort(grams[order], kind="stable")]
    probe_counts = np.bincount(grams[order], minlength=len(distinct))
    # An n-gram of a short field that is not a probe would be looked for in vain.
    needed = (width == N) | (probe_counts > 0)
    renumbered = np.cumsum(needed) - 1
    renumbered[~needed] = -1
    first = np.searchsorted(instance, np.arange(len(instances) + 1))
    return Index(
        names=names,
        evaluation=np.array([each for each, _, _ in instances], np.int64),
        number=np.array([each for _, each, _ in instances], np.int64),
        whole=np.array([all(text is not None for text in fields) for _, _, fields in instances], np.bool_),
        fields=np.array([len(fields) for _, _, fields in instances], np.int64),
        counted=counted,
        instance=instance,
        first_field=first,
        words=sizes,
        starts=starts,
        grams=renumbered[grams],
        last=_last(place, grams),
        short_hash=np.where(short, hashes[starts[:-1]], np.uint64(0)),
        hashes=distinct[needed],
        widths=width[needed],
        probe_starts=np.concatenate([[0], np.cumsum(probe_counts[needed])]),
        probes=place[order],
    )


def _last(place: Ints, grams: Ints) -> npt.NDArray[np.bool_]:
    """For each position, whether its n-gram occurs at no later position of its field."""
    order = np.lexsort((np.arange(len(grams)), grams, place))
    last = np.ones(len(grams), np.bool_)
    again = (grams[order][1:] == grams[order][:-1]) & (place[order][1:] == place[order][:-1])
    last[order[:-1][again]] = False
    return last


def _probes(place: Ints, grams: Ints, owners: Ints, sizes: Ints, counts: Ints) -> npt.NDArray[np.bool_]:
    """For each position whether it is a probe: all but the most common ones, which cover half of the field's words."""
    probe = np.ones(len(place), np.bool_)
    starts = np.concatenate([[0], np.cumsum(counts)])
    common = np.zeros(len(counts), np.bool_)
    common[place[owners > 1]] = True
    for number in np.flatnonzero(common & (sizes >= N)).tolist():
        start, most = int(starts[number]), int(sizes[number]) // 2
        own = owners[start : start + int(counts[number])]
        covered = 0
        for position in np.lexsort((grams[start : start + len(own)], -own)).tolist():
            if own[position] == 1:
                break
            wider = covered | ((1 << N) - 1) << position
            if wider.bit_count() <= most:
                covered = wider
                probe[start + position] = False
    return probe


def _anchors(instance: Ints, sizes: Ints, short: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which short fields must be probed: the longest of an instance, until at most half of their words are left."""
    order = np.lexsort((np.arange(len(sizes)), -sizes, instance))
    order = order[short[order]]
    own, words = instance[order], sizes[order]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = own[1:] != own[:-1]
    group = np.cumsum(fresh) - 1
    before = np.cumsum(words) - words
    before -= before[fresh][group] if len(order) else 0
    total = np.bincount(group, words)[group] if len(order) else words
    anchors = np.zeros(len(sizes), np.bool_)
    # A field is needed while more than half of the words are in it and in those after it.
    anchors[order] = 2 * (total - before) > total
    return anchors
