"""An index of the texts of evaluation examples by their n-grams of words."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.errors import WatershedError
from spark_jobs.compute import pc
from spark_jobs.contamination.fields import PASSAGE, QUESTION
from spark_jobs.contamination.rules import Decontamination, Measure
from spark_jobs.contamination.weights import distinct_words, speaking_words, without_frame, word_weights

if TYPE_CHECKING:
    from spark_jobs.kernels.overlap import NgramTable, Words

LEAST_WEIGHT = 1e-4
"""A text that weighs no more is not searched for; sums are exact to this."""

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Index:
    """Texts of evaluation examples and their n-grams, small enough to be sent to workers."""

    options: Decontamination
    evaluations: list[str]
    """Names, in order."""
    evaluation: npt.NDArray[np.int32]
    """For each example its evaluation."""
    ids: list[str]
    """For each example its id."""
    example: npt.NDArray[np.int32]
    """For each text its example. Texts that cannot be found are left out."""
    fields: list[str]
    """For each text its field."""
    widths: npt.NDArray[np.int32]
    """For each text the number of words of its n-grams: n, or all words of a shorter text."""
    totals: Floats
    """For each text the weight of all its words, or the number of its distinct n-grams."""
    wholes: npt.NDArray[np.uint64]
    """For each text that must be held as a whole, the n-gram of all its words; 0 for the others."""
    starts: Ints
    """The n-grams of text i are `grams[starts[i] : starts[i + 1]]`, one for each position."""
    grams: npt.NDArray[np.int32]
    """The number of each n-gram, or -1 if it does not count."""
    weights: Floats
    """The weight of each n-gram in its evaluation, from 0 to 1, in the order of `grams`."""
    hashes: npt.NDArray[np.uint64]
    """The distinct n-grams that count, by number."""
    owner_starts: Ints
    """N-gram i is in the texts `owners[owner_starts[i] : owner_starts[i + 1]]`, once for each position."""
    owners: npt.NDArray[np.int32]

    @functools.cached_property
    def table(self) -> NgramTable:
        """The n-grams as a hash table for kernels."""
        from spark_jobs.kernels.overlap import ngram_table

        return ngram_table(self.hashes, self.widths[self.owners[self.owner_starts[:-1]]])

    @functools.cached_property
    def found(self) -> npt.NDArray[np.bool_]:
        """For each example, whether any of its texts can be found."""
        found = np.zeros(len(self.ids), np.bool_)
        found[self.example] = True
        return found

    def __getstate__(self) -> dict[str, object]:
        """What a worker is sent: what can be computed again is left out."""
        return {name: value for name, value in self.__dict__.items() if name in self.__dataclass_fields__}

    def cannot_be_found(self) -> list[str]:
        """A line for each evaluation that has examples that cannot be found."""
        lines = []
        for number, name in enumerate(self.evaluations):
            found = self.found[self.evaluation == number]
            if silent := int((~found).sum()):
                lines.append(
                    f"{silent:,} of {len(found):,} examples of {name} cannot be found, because none of their texts "
                    + _wanting(self.options)
                )
        return lines


def build_index(batches: Iterable[pa.RecordBatch], options: Decontamination | None = None) -> Index:
    """Index the texts of evaluation examples.

    Args:
        batches: evaluation, example_id and text. If there is a column `field`, an example may have several rows, which
            follow each other.
        options: the rule.

    Raises:
        WatershedError: no example can be found.
    """
    options = options or Decontamination()
    evaluations = _by_evaluation(batches)
    read, ids, evaluation = [], [], []
    for number, name in enumerate(sorted(evaluations)):
        texts, own = _read(evaluations[name], len(ids), options)
        read.append(texts)
        ids += own
        evaluation += [number] * len(own)
    if not any(len(each.fields) for each in read):
        raise WatershedError(
            f"not one of {len(ids):,} evaluation examples {_wanting(options)}, so nothing would ever be found",
            "pass whole examples, question and answer, or make n smaller",
        )
    return _joined(
        read, options=options, evaluations=sorted(evaluations), evaluation=np.array(evaluation, np.int32), ids=ids
    )


@dataclass(frozen=True, kw_only=True)
class _Texts:
    """The texts of one evaluation that can be found."""

    example: Ints
    fields: list[str]
    widths: Ints
    totals: Floats
    wholes: npt.NDArray[np.uint64]
    counts: Ints
    """N-grams of each text."""
    grams: npt.NDArray[np.uint64]
    weights: Floats


def _by_evaluation(batches: Iterable[pa.RecordBatch]) -> dict[str, pa.Table]:
    tables: dict[str, list[pa.RecordBatch]] = {}
    for batch in batches:
        for name in dict.fromkeys(batch["evaluation"].to_pylist()):
            tables.setdefault(name, []).append(batch.filter(pc.equal(batch["evaluation"], name)))
    return {name: pa.Table.from_batches(some) for name, some in tables.items()}


def _read(table: pa.Table, before: int, options: Decontamination) -> tuple[_Texts, list[str]]:
    """The texts of an evaluation whose first example has the number `before`, and the ids of its examples."""
    from spark_jobs.kernels.folding import folded
    from spark_jobs.kernels.overlap import ngrams_of, words_of

    ids, fresh = (
        np.array([str(each) for each in table["example_id"].to_pylist()], object),
        np.ones(len(table), np.bool_),
    )
    fields = [""] * len(table)
    if "field" in table.column_names:
        fields = table["field"].to_pylist()
        fresh[1:] = ids[1:] != ids[:-1]
    example = np.cumsum(fresh) - 1
    text = pc.fill_null(table["text"], "")
    words = words_of(folded(text) if options.folding else text, folding=options.folding)
    weights = None
    if options.weighted:
        words, weights = without_frame(words, _groups(example, fields, text), options.n)
    ends, grams = ngrams_of(words, options.n, whole=options.short)
    weights = np.ones(len(grams), np.float32) if weights is None else weights
    counts, widths = np.diff(ends), np.minimum(np.diff(words.ends), options.n)
    totals = _totals(words, ends, grams, weights, options)
    kept = (counts > 0) & (totals > max(options.least_words, 0) - LEAST_WEIGHT) & (totals > LEAST_WEIGHT)
    if options.least_words:
        kept &= distinct_words(words, speaking_words(words)) >= options.least_words
    if not options.passages:
        kept &= np.array(fields, object) != PASSAGE
    # A question that is shorter than an n-gram says too little if it can be found with its answer.
    alone = (widths < options.n) & (np.array(fields, object) == QUESTION)
    answered = np.zeros(example[-1] + 1, np.bool_)
    answered[example[kept & ~alone]] = True
    kept &= ~(alone & answered[example])
    chosen = np.repeat(kept, counts)
    texts = _Texts(
        example=example[kept] + before,
        fields=[field for field, keep in zip(fields, kept.tolist(), strict=True) if keep],
        widths=widths[kept],
        totals=totals[kept],
        wholes=_wholes(words, kept & (totals < options.whole))[kept],
        counts=counts[kept],
        grams=grams[chosen],
        weights=weights[chosen],
    )
    return texts, ids[fresh].tolist()


def _groups(example: Ints, fields: list[str], text: pa.ChunkedArray) -> Ints:
    """For each text its example; for a passage, the first example that has it, because it is one text in all."""
    groups = example.copy()
    passages = np.flatnonzero(np.array(fields, object) == PASSAGE)
    first: dict[str, int] = {}
    for row, passage in zip(passages.tolist(), text.take(pa.array(passages)).to_pylist(), strict=True):
        groups[row] = first.setdefault(passage, groups[row])
    return groups


def _totals(
    words: Words,
    ends: Ints,
    grams: npt.NDArray[np.uint64],
    weights: Floats,
    options: Decontamination,
) -> Floats:
    """The weight of the words of each text, or the number of its distinct n-grams."""
    sizes = np.diff(ends)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    if options.measure is Measure.NGRAMS:
        order = np.lexsort((grams, owner))
        fresh = np.ones(len(order), np.bool_)
        fresh[1:] = (grams[order][1:] != grams[order][:-1]) | (owner[order][1:] != owner[order][:-1])
        return np.bincount(owner[order], fresh, len(sizes)).astype(np.float32)
    of_words = word_weights(weights, ends, words.ends, options.n)
    owner = np.repeat(np.arange(len(sizes)), np.diff(words.ends))
    return np.bincount(owner, of_words, len(sizes)).astype(np.float32)


def _wholes(words: Words, wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """For each text that is wanted, the n-gram of all its words; 0 for the others."""
    from spark_jobs.kernels.overlap import Words, ngrams_of

    sizes = np.diff(words.ends)
    inside = np.repeat(wanted, sizes)
    chosen = Words(np.concatenate([[0], np.cumsum(sizes[wanted])]), words.hashes[inside], words.bare[inside])
    wholes = np.zeros(len(sizes), np.uint64)
    wholes[wanted] = ngrams_of(chosen, int(sizes.max(initial=1)), whole=True)[1]
    return wholes


def _joined(read: list[_Texts], **columns: Any) -> Index:
    counts = np.concatenate([each.counts for each in read])
    grams = np.concatenate([each.grams for each in read])
    weights = np.concatenate([each.weights for each in read])
    owner = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    counting = np.flatnonzero(weights > 0)
    order = counting[np.argsort(grams[counting])]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = grams[order][1:] != grams[order][:-1]
    numbers = np.full(len(grams), -1, np.int32)
    numbers[order] = np.cumsum(fresh) - 1
    return Index(
        example=np.concatenate([each.example for each in read]).astype(np.int32),
        fields=[field for each in read for field in each.fields],
        widths=np.concatenate([each.widths for each in read]).astype(np.int32),
        totals=np.concatenate([each.totals for each in read]),
        wholes=np.concatenate([each.wholes for each in read]),
        starts=np.concatenate([[0], np.cumsum(counts)]),
        grams=numbers,
        weights=weights,
        hashes=grams[order][fresh],
        owner_starts=np.append(np.flatnonzero(fresh), len(order)),
        owners=owner[order],
        **columns,
    )


def _wanting(options: Decontamination) -> str:
    if options.least_words:
        rest = "numbers, stop words and what all examples share"
        return f"has {options.least_words} different words besides {rest}"
    return f"has {options.n} words"
