"""One call of every kernel with the arguments of its callers: `warm` compiles by it, tests call it with odd arrays.

An exercise takes any Arrow array of strings, even an empty one, and calls each function of one module that runs machine
code. Its arguments have the types that the callers in `spark_jobs` use, because machine code is compiled for types.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

SAMPLE = ("One line, and another.\nA second paragraph.", "<html><body><p>Text</p></body></html>", None, "")
"""Texts that warm the kernels; any would do."""


def sample() -> pa.Array:
    """SAMPLE as an array."""
    return pa.array(SAMPLE, pa.string())


def _bloom(text: pa.Array) -> None:
    from spark_jobs.kernels import bloom

    bits, tally, hashes = np.zeros(64, np.uint64), np.zeros(2, np.int64), np.arange(3, dtype=np.uint64)
    bloom.insert(bits, tally, 3, hashes[: len(text)])
    bloom.contains(bits, 3, hashes[: len(text)])
    bloom.count_ngrams(text, least=1, width=3)
    bloom.remove_met(
        text, bits, tally, probes=3, most_bits=4096, least=1, width=3, threshold=0.8, remove=bloom.PARAGRAPHS,
        update=True,
    )  # fmt: skip


def _byte_pairs(text: pa.Array) -> None:
    from spark_jobs.kernels.byte_pairs import BytePairs, character_kinds

    merges = np.array([[97, 98, 256]], np.uint32)
    BytePairs(np.arange(256, dtype=np.uint32), merges[: len(text)], character_kinds()).encode(text)


def _c4_lines(text: pa.Array) -> None:
    from spark_jobs.kernels.peers.c4_lines import c4_lines

    c4_lines(text, max_word_length=1000, citations=True, terminal_punctuation=True, min_words=3)


def _candidates(text: pa.Array) -> None:
    from spark_jobs.kernels.candidates import lines_with, stretches_with
    from spark_jobs.kernels.text_buffers import text_buffers

    buffers = text_buffers(text)
    lines_with(buffers, [], False)
    lines_with(buffers, ["line"], False)
    stretches_with(buffers, "09", "0123456789.", 2)


def _cuts(text: pa.Array) -> None:
    from spark_jobs.kernels.cuts import stripped_without, without
    from spark_jobs.kernels.line_rules import without_blank_lines
    from spark_jobs.kernels.marks import with_newlines_in_a_row
    from spark_jobs.kernels.text_buffers import text_buffers

    without_blank_lines(text)
    with_newlines_in_a_row(text, 0)
    buffers = text_buffers(text)
    stripped_without(text, buffers, np.empty((0, 2), np.int64))
    # These spans cut nothing; without spans the text itself would be returned.
    places = buffers.offsets[:-1].copy()
    from spark_jobs.kernels.cuts import Spans

    without(text, buffers, Spans(places, places), b"")


def _datatrove_lines(text: pa.Array) -> None:
    from spark_jobs.kernels.peers.datatrove_lines import line_quality, marks, sentences

    line_quality(text)
    sentences(text)
    marks(text)


def _datatrove_words(text: pa.Array) -> None:
    from spark_jobs.kernels.peers.datatrove_words import word_quality, word_repetition

    word_quality(text)
    word_repetition(text)


def _dolma_page(text: pa.Array) -> None:
    from spark_jobs.kernels.peers.dolma_page import c4_page, gopher_page

    gopher_page(text)
    c4_page(text)


def _english_words(text: pa.Array) -> None:
    from spark_jobs.kernels.peers.spacy_words import cut_words, english_words

    cut_words(text)
    english_words(text.fill_null(""))


def _fasttext(text: pa.Array) -> None:
    for labels in (2, 3):
        model = tiny_model(labels)
        model.predict(text)
        model.predict(text, joined=True)


def tiny_model(labels: int) -> Any:
    """A fastText model of some words, untrained."""
    from spark_jobs.kernels.fasttext.format import SOFTMAX, DenseMatrix, StoredModel
    from spark_jobs.kernels.fasttext.predict import Model

    words = b"line\0another\0"
    return Model(
        StoredModel(
            word_ngrams=2, loss=SOFTMAX, bucket=8, shortest=2, longest=3, text=np.frombuffer(words, np.uint8),
            starts=np.array([0, 5]), stops=np.array([4, 12]), words=2, labels=[f"__label__{i}" for i in range(labels)],
            label_counts=np.ones(labels, np.int64), kept=None, input=DenseMatrix(np.ones((10, 4), np.float32)),
            output=np.arange(4 * labels, dtype=np.float32).reshape(labels, 4).copy(),
        )
    )  # fmt: skip


def _html(text: pa.Array) -> None:
    from spark_jobs.kernels.html.text import main_content

    for page in text.to_pylist() or [""]:
        main_content((page or "").encode())


def _lengths(text: pa.Array) -> None:
    from spark_jobs.kernels.lengths import lengths

    lengths(text)


def _line_rules(text: pa.Array) -> None:
    from spark_jobs.kernels import line_rules

    line_rules.without_uppercase_lines(text, 0.5)
    # A recipe may give a whole number, which must not compile the entry again.
    line_rules.without_numeric_lines(text, 1)
    line_rules.without_counter_lines(text)
    line_rules.without_lines_of_length(text, 2)
    line_rules.without_unpunctuated_lines(text, True)
    line_rules.without_blank_lines(text)


def _long_words(text: pa.Array) -> None:
    from spark_jobs.kernels.long_words import WORDS, without_lines_of_long_words

    for words in WORDS:
        without_lines_of_long_words(text, 5, words, True)


def _marks(text: pa.Array) -> None:
    from spark_jobs.kernels.marks import with_newlines_in_a_row, without_citations

    with_newlines_in_a_row(text, 2)
    without_citations(text)


def _minhash(text: pa.Array) -> None:
    from spark_jobs.kernels.minhash import bands, jaccard, minhash, shingles

    signatures = minhash(text)
    # Without a signature no key is computed.
    bands(signatures, 2, 3)
    bands(minhash(sample()), 2, 3)
    jaccard(signatures, signatures)
    shingles(text)


def _near_copies(text: pa.Array) -> None:
    from spark_jobs.kernels.near_copies import ESTIMATE, JACCARD, SAME, Marks, connect, lead, runs, similarities
    from spark_jobs.kernels.union_find import UnionFind

    rows = len(text)
    marks = Marks(np.zeros(2 * rows, np.uint32), np.arange(rows + 1, dtype=np.int64) * 2)
    for compare in (SAME, ESTIMATE, JACCARD):
        connect(runs(np.zeros(rows, np.int64)), marks, UnionFind(rows), compare=compare, threshold=0.5)
    all_rows, starts = np.arange(rows, dtype=np.int64), np.array([0, rows], np.int64)
    lead(starts, all_rows, all_rows, np.zeros(rows, np.bool_), marks, compare=JACCARD, threshold=0.5)
    similarities(all_rows, all_rows, marks, compare=JACCARD)


def _similar_sets(text: pa.Array) -> None:
    from spark_jobs.kernels.similar_sets import lead_large

    rows = np.arange(len(text), dtype=np.int64)
    sets = np.zeros(2 * len(text), np.uint32), np.arange(len(text) + 1, dtype=np.int64) * 2
    lead_large(rows, np.zeros(len(text), np.bool_), *sets, threshold=0.5, founding=True)


def _overlap(text: pa.Array) -> None:
    from spark_jobs.kernels.overlap import find_ngrams, ngram_table, word_ngrams

    grams = word_ngrams(text, 2)
    find_ngrams(text, ngram_table(np.unique(grams.values.to_numpy()), 2))


def _folding(text: pa.Array) -> None:
    from spark_jobs.kernels.folding import folded

    folded(text)


def _repeats(text: pa.Array) -> None:
    from spark_jobs.kernels.repeats import may_repeat
    from spark_jobs.kernels.text_buffers import text_buffers

    may_repeat(text_buffers(text), False)
    may_repeat(text_buffers(text), True)


def _statistics(text: pa.Array) -> None:
    from spark_jobs.kernels.statistics import statistics

    statistics(text)


def _substrings(text: pa.Array) -> None:
    from spark_jobs.kernels import substrings
    from spark_jobs.kernels.text_buffers import text_buffers

    buffers = text_buffers(text)
    covered = np.zeros(int(buffers.offsets[-1] - buffers.offsets[0]), np.uint8)
    hashes = substrings.repeated(substrings.window_hashes(text, 4, 0, 1))
    substrings.RepeatedWindows(hashes).mark(text, 4, 0, 1, covered, first=True)
    substrings.spans(text, covered)


def _text_hash(text: pa.Array) -> None:
    from spark_jobs.kernels.text_hash import text_hash

    text_hash(text)


def _union_find(text: pa.Array) -> None:
    from spark_jobs.kernels.union_find import connected_components

    rows = np.arange(len(text))
    connected_components(rows, rows, len(text))


def _urls(text: pa.Array) -> None:
    from spark_jobs.kernels import urls

    domains = urls.domains_of(("com", "xn--p1ai", "рф"))
    urls.without_urls(text, domains)
    urls.without_urls_where_begun(text, domains)
    urls.without_ipv4(text)
    urls.begins_with_domain(text, domains)


EXERCISES: dict[str, Callable[[pa.Array], None]] = {
    "html": _html,
    "english_words": _english_words,
    "statistics": _statistics,
    "fasttext": _fasttext,
    "minhash": _minhash,
    "bloom": _bloom,
    "datatrove_words": _datatrove_words,
    "datatrove_lines": _datatrove_lines,
    "dolma_page": _dolma_page,
    "byte_pairs": _byte_pairs,
    "line_rules": _line_rules,
    "urls": _urls,
    "overlap": _overlap,
    "folding": _folding,
    "long_words": _long_words,
    "lengths": _lengths,
    "c4_lines": _c4_lines,
    "candidates": _candidates,
    "cuts": _cuts,
    "substrings": _substrings,
    "marks": _marks,
    "repeats": _repeats,
    "near_copies": _near_copies,
    "similar_sets": _similar_sets,
    "text_hash": _text_hash,
    "union_find": _union_find,
}
"""The exercise of each module, by its name in this package; what takes longest to compile comes first."""
LAKE = (
    *("statistics", "minhash", "fasttext", "text_hash"),
    *("line_rules", "urls", "marks", "long_words", "candidates", "cuts", "repeats", "lengths"),
    *("near_copies", "similar_sets", "union_find", "bloom", "byte_pairs"),
)
"""The modules that the tables of the lake are computed with, in the order in which they are needed. `html` is compiled
when enough pages have been read (`archives/extract.py`)."""
