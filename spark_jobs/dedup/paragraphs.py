"""Removes paragraphs and documents that repeat earlier text, as DCLM-Baseline did (bff, `old-both`).

Facts: arXiv 2406.11794, appendix on deduplication; mlfoundations/dclm, dedup/bff/src/main.rs, process_line_oldboth.

- Tokens are the segments between Unicode word bounds, without white space. An n-gram is `max_ngram` tokens within a
  paragraph. A shorter paragraph of at least `min_ngram` tokens is one n-gram. A paragraph with fewer is always kept.
- A paragraph is removed if MORE than `threshold` of its n-grams were seen before. The n-grams of a paragraph that stays
  are remembered, even if its document is dropped.
- A document is dropped if more than `threshold` of the n-grams of all its paragraphs were seen before.

The result depends on the order of documents, so pass them in a fixed order, such as archive and offset.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

from catalog.errors import WatershedError
from spark_jobs.dedup.bloom_filter import BloomFilter

ROWS = 8192
"""Documents that are worked on at once."""
FALSE_POSITIVE_RATE = 0.01
"""Of the Bloom filter, unless a recipe sets another."""


class Remove(StrEnum):
    """What is removed."""

    PARAGRAPH = "paragraph"
    """Paragraphs that were mostly seen before."""
    OLD_BOTH = "old-both"
    """These, and documents whose n-grams were mostly seen before: DCLM-Baseline's choice."""
    DOCUMENT = "document"
    """Documents only: n-grams span paragraphs, and those of a dropped document are not remembered."""


@dataclass(frozen=True, kw_only=True)
class ParagraphOptions:
    """What counts as repeated. The defaults are those of DCLM-Baseline."""

    min_ngram: int = 13
    """Tokens that a paragraph must have to be compared at all."""
    max_ngram: int = 13
    """Tokens of an n-gram."""
    threshold: float = 0.8
    """A paragraph or document is removed if more than this share of its n-grams was seen before."""
    remove: Remove = Remove.OLD_BOTH
    update: bool = True
    """Whether to remember the n-grams of text that stays; if not, texts are compared only with the given filter."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_ngram <= self.max_ngram:
            raise WatershedError(
                f"n-grams of {self.min_ngram} to {self.max_ngram} tokens", "set 1 <= min_ngram <= max_ngram"
            )


EXACT_PARAGRAPHS = ParagraphOptions(min_ngram=1, max_ngram=2**31 - 1, remove=Remove.PARAGRAPH)
"""Removes paragraphs that occurred before, token for token: all tokens of a paragraph are one n-gram. A filter for as
many n-grams as there are paragraphs, at a rate of 1e-6, takes about five bytes for each."""


def estimate_ngrams(
    batches: Iterable[pa.RecordBatch], options: ParagraphOptions | None = None, *, every: int = 1
) -> int:
    """The number of n-grams of texts, to size a filter: an upper bound of what it will hold.

    Args:
        batches: a column `text`.
        options: n-gram sizes.
        every: count only one batch in this many, and extrapolate.
    """
    from spark_jobs.kernels.bloom import count_ngrams

    options = options or ParagraphOptions()
    counted = seen = total = 0
    for place, batch in enumerate(batches):
        total += batch.num_rows
        if place % every == 0:
            whole = options.remove is Remove.DOCUMENT
            ngrams = count_ngrams(batch["text"], least=options.min_ngram, width=options.max_ngram, whole=whole)
            counted += int(ngrams.sum())
            seen += batch.num_rows
    return -(-counted * total // seen) if seen else 0


def deduplicate_paragraphs(
    batches: Iterable[pa.RecordBatch],
    filter_: BloomFilter,
    options: ParagraphOptions | None = None,
    *,
    expected_ngrams: int = 0,
) -> Iterator[pa.RecordBatch]:
    """Remove what `filter_` has seen, and remember what stays; a batch for each batch, in order.

    Args:
        batches: columns `id` and `text`; null texts stay null.
        filter_: what was seen before; changed in place.
        options: by default those of DCLM-Baseline.
        expected_ngrams: of all batches, if known, to fail before the start.

    Returns:
        id; text: what is left; removed_spans: UTF-8 bytes (start, stop) of the removed paragraphs in the original text;
        contained_ngrams and total_ngrams; kept: whether text is left.

    Raises:
        WatershedError: the filter cannot keep its false-positive rate; the message names a sufficient size.
    """
    filter_.require(expected_ngrams)
    return _deduplicate(batches, filter_, options or ParagraphOptions())


def _deduplicate(
    batches: Iterable[pa.RecordBatch], filter_: BloomFilter, options: ParagraphOptions
) -> Iterator[pa.RecordBatch]:
    from spark_jobs.kernels.bloom import DOCUMENTS, OLD_BOTH, PARAGRAPHS, remove_met

    mode = {Remove.PARAGRAPH: PARAGRAPHS, Remove.OLD_BOTH: OLD_BOTH, Remove.DOCUMENT: DOCUMENTS}[options.remove]
    documents = 0
    for batch in _short(batches):
        found = remove_met(
            batch["text"],
            filter_.bits,
            filter_.tally,
            probes=filter_.size.probes,
            most_bits=filter_.most_bits,
            least=options.min_ngram,
            width=options.max_ngram,
            threshold=options.threshold,
            remove=mode,
            update=options.update,
        )
        documents += found.done
        if found.done < batch.num_rows:
            raise filter_.full(documents)
        left = pc.call_function("utf8_trim_whitespace", [found.text])
        kept = pc.call_function("not_equal", [left, pa.scalar("", left.type)]).fill_null(False)
        yield pa.record_batch(
            {
                "id": batch["id"],
                "text": found.text,
                "removed_spans": found.spans,
                "contained_ngrams": pa.array(found.contained),
                "total_ngrams": pa.array(found.total),
                "kept": kept,
            }
        )


def _short(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield from (batch.slice(start, ROWS) for start in range(0, batch.num_rows, ROWS))
