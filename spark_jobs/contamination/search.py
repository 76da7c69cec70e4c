"""Searches documents for the texts of evaluation examples."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_jobs.contamination.index import Index
from spark_jobs.contamination.report import ContaminationReport
from spark_jobs.contamination.rules import Measure
from spark_jobs.contamination.weights import word_weights

if TYPE_CHECKING:
    from spark_jobs.kernels.overlap import Matches
    from spark_jobs.kernels.text_buffers import TextArray

MATCH = pa.struct(
    [
        ("evaluation", pa.string()),
        ("example_id", pa.string()),
        ("field", pa.string()),
        ("share", pa.float64()),
        ("matched", pa.int32()),
        ("ngrams", pa.int32()),
        ("before", pa.string()),
        ("found", pa.string()),
        ("after", pa.string()),
    ]
)
"""An example of which a document holds a part: the part, its share, how many of its distinct n-grams that count the
document has, and the longest run of them with the text around it, as the document has it, shortened."""
AROUND, LONGEST = 80, 300
"""Characters of the text before and after what is found, and of what is found itself."""
COVERED = 1e-6
"""A word's part of shared n-grams above which it is in one; below, it is an error of rounding."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class _Match:
    """A part of an example in a document."""

    document: int
    text: int
    share: float
    hit: bool
    numbers: npt.NDArray[np.int64]
    """The n-grams that they share."""


def find_contamination(
    batches: Iterable[pa.RecordBatch], index: Index, report: ContaminationReport | None = None
) -> Iterator[pa.RecordBatch]:
    """Find for each document whether it is contaminated, and by which examples.

    Args:
        batches: id and text.
        index: the examples to search for, and the rule.
        report: counts what is found.

    Returns:
        a batch for each batch: id; contaminated; matches, a list of MATCH with one for each example, ordered by
        evaluation and example.
    """
    from spark_jobs.kernels.folding import folded
    from spark_jobs.kernels.overlap import Matches, find_ngrams

    report = ContaminationReport(index) if report is None else report
    folding = index.options.folding
    for batch in batches:
        text = folded(batch["text"]) if folding else batch["text"]
        found = find_ngrams(text, index.table, folding=folding)
        contaminated = np.zeros(batch.num_rows, np.bool_)
        rows: list[list[dict[str, Any]]] = [[] for _ in range(batch.num_rows)]
        for document, matches in itertools.groupby(_matches(text, found, index), lambda match: match.document):
            some = list(matches)
            data = text[document].as_py().encode()
            own = slice(*np.searchsorted(found.document, [document, document + 1]))
            occurrences = Matches(*(column[own] for column in found))
            made = [_row(match, index, data, occurrences) for match in some]
            hits = [(int(index.example[match.text]), match.hit) for match in some]
            contaminated[document] = report.add(str(batch["id"][document].as_py()), hits, made)
            rows[document] = sorted(made, key=lambda row: (row["evaluation"], row["example_id"]))
        columns = {"id": batch["id"], "contaminated": contaminated, "matches": pa.array(rows, pa.list_(MATCH))}
        yield pa.record_batch(columns)


def _matches(text: TextArray, found: Matches, index: Index) -> Iterator[_Match]:
    """What is reported of each document, in order: the part of each example that the document holds most of."""
    numbers = max(len(index.hashes), 1)
    held = np.unique(found.document.astype(np.int64) * numbers + found.number)
    documents, texts, positions = _candidates(held, numbers, index)
    if index.options.measure is Measure.WORDS:
        # An n-gram contains at most so many words, none of which weighs more than 1.
        possible = positions * index.widths[texts] >= index.options.listed * index.totals[texts]
        documents, texts = documents[possible], texts[possible]
    shares, complete = _shares(documents, texts, held, numbers, index)
    short = np.flatnonzero(index.wholes[texts])
    shares[short] = 0
    whole = short[complete[short]]
    shares[whole] = _held_whole(documents[whole], texts[whole], text, index)
    hits = shares > index.options.share if index.options.strict else shares >= index.options.share
    example = index.example[texts]
    # The best part of each example comes first, and of equal ones the first.
    order = np.lexsort((texts, -shares, example, documents))[: len(texts)]
    order = order[shares[order] >= index.options.listed]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = (documents[order][1:] != documents[order][:-1]) | (example[order][1:] != example[order][:-1])
    for place in order[fresh].tolist():
        document, text = int(documents[place]), int(texts[place])
        own = held[slice(*np.searchsorted(held, [document * numbers, (document + 1) * numbers]))] - document * numbers
        grams = index.grams[index.starts[text] : index.starts[text + 1]]
        yield _Match(
            document=document,
            text=text,
            share=float(shares[place]),
            hit=bool(hits[place]),
            numbers=np.intersect1d(grams, own),
        )


def _candidates(held: Ints, numbers: int, index: Index) -> tuple[Ints, Ints, Ints]:
    """Documents and texts that share n-grams, and the number of positions of the text at which they do.

    Args:
        held: document * numbers + n-gram, ascending.
        numbers: the number of all n-grams.
        index: the texts.
    """
    documents, grams = np.divmod(held, numbers)
    first, counts = index.owner_starts[grams], np.diff(index.owner_starts)[grams]
    owners = index.owners[_places(first, counts)]
    texts = max(len(index.example), 1)
    pairs, positions = np.unique(np.repeat(documents, counts) * texts + owners, return_counts=True)
    return pairs // texts, pairs % texts, positions


def _shares(
    documents: Ints, texts: Ints, held: Ints, numbers: int, index: Index
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """The share of each text in a document by the rule's measure, and whether all n-grams that count are there."""
    counts = index.starts[texts + 1] - index.starts[texts]
    places = _places(index.starts[texts], counts)
    grams = index.grams[places]
    keys = np.repeat(documents * numbers, counts) + grams
    shared = (grams >= 0) & (held[np.minimum(np.searchsorted(held, keys), len(held) - 1)] == keys)
    pair = np.repeat(np.arange(len(texts)), counts)
    complete = np.bincount(pair, (grams >= 0) & ~shared, len(texts)) == 0
    if index.options.measure is Measure.NGRAMS:
        distinct = np.unique(pair[shared] * numbers + grams[shared]) // numbers
        return np.bincount(distinct, minlength=len(texts)) / index.totals[texts], complete
    words = counts + index.widths[texts] - 1
    ends, word_ends = (np.concatenate([[0], np.cumsum(sizes)]) for sizes in (counts, words))
    weights = word_weights(index.weights[places], ends, word_ends, index.options.n)
    covered = word_weights(shared.astype(np.float32), ends, word_ends, index.options.n) > COVERED
    owner = np.repeat(np.arange(len(texts)), words)
    return np.round(np.bincount(owner, weights * covered, len(texts)) / index.totals[texts], 6), complete


def _held_whole(documents: Ints, texts: Ints, text: TextArray, index: Index) -> npt.NDArray[np.bool_]:
    """For each document and text, ordered by document, whether the document has all words of the text in a row."""
    from spark_jobs.kernels.overlap import ngrams_of, words_of

    sizes = np.diff(index.starts)[texts] + index.widths[texts] - 1
    held = np.zeros(len(texts), np.bool_)
    for document in np.unique(documents).tolist():
        words = words_of(text.slice(document, 1), folding=index.options.folding)
        own = np.flatnonzero(documents == document)
        for size in np.unique(sizes[own]).tolist():
            some = own[sizes[own] == size]
            held[some] = np.isin(index.wholes[texts[some]], ngrams_of(words, size)[1])
    return held


def _places(first: Ints, counts: Ints) -> Ints:
    """The indices of ranges that begin at `first` and have so many members, one after the other."""
    return np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())


def _row(match: _Match, index: Index, data: bytes, occurrences: Matches) -> dict[str, Any]:
    """A MATCH, with the longest run of the shared n-grams among all that occur in the document."""
    own = np.flatnonzero(np.isin(occurrences.number, match.numbers))
    starts, stops = occurrences.start, occurrences.stop
    order = own[np.argsort(starts[own], kind="stable")]
    begins, ends = starts[order], np.maximum.accumulate(stops[order])
    breaks = np.flatnonzero(begins[1:] > ends[:-1]) + 1
    firsts, lasts = np.append(0, breaks), np.append(breaks, len(order)) - 1
    longest = int(np.argmax(ends[lasts] - begins[firsts]))
    start, stop = int(begins[firsts[longest]]), int(ends[lasts[longest]])
    found = data[start:stop].decode()
    if len(found) > LONGEST:
        found = f"{found[: LONGEST // 2]} … {found[-LONGEST // 2 :]}"
    grams = index.grams[index.starts[match.text] : index.starts[match.text + 1]]
    example = int(index.example[match.text])
    return {
        "evaluation": index.evaluations[index.evaluation[example]],
        "example_id": index.ids[example],
        "field": index.fields[match.text][:AROUND],
        "share": match.share,
        "matched": len(match.numbers),
        "ngrams": len(np.unique(grams[grams >= 0])),
        # Four bytes are the longest character, and a character that is cut in two is left out.
        "before": data[max(0, start - 4 * AROUND) : start].decode(errors="ignore")[-AROUND:],
        "found": found,
        "after": data[stop : stop + 4 * AROUND].decode(errors="ignore")[:AROUND],
    }
