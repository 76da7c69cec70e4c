"""Paragraphs and documents that repeat what came before, as DCLM-Baseline removed them (bff, `old-both`).

Facts: arXiv 2406.11794, appendix on deduplication; mlfoundations/dclm, dedup/bff/src/main.rs, process_line_oldboth.

- Tokens are what lies between Unicode word bounds, white space left out; an n-gram is `max_ngram` of them within a
  paragraph; a paragraph of fewer, but of at least `min_ngram`, is one n-gram; one of fewer still is always kept.
- A paragraph goes when MORE than `threshold` of its n-grams have been met; those of a paragraph that stays are
  remembered, also if the document goes.
- A document goes when more than `threshold` of the n-grams of all its paragraphs had been met.

The result depends on the order of documents: hand them over in one that is fixed, e.g. by archive and offset.
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
    """Paragraphs that were mostly met before."""
    OLD_BOTH = "old-both"
    """These, and documents whose n-grams were mostly met before: DCLM-Baseline's choice."""
    DOCUMENT = "document"
    """Documents only: n-grams reach over paragraphs, and those of a document that goes are not remembered."""


@dataclass(frozen=True, kw_only=True)
class ParagraphOptions:
    """What counts as met before. Defaults are those of DCLM-Baseline."""

    min_ngram: int = 13
    """Tokens that a paragraph must have to be compared at all."""
    max_ngram: int = 13
    """Tokens of an n-gram."""
    threshold: float = 0.8
    """Share of n-grams met before above which a paragraph or document goes."""
    remove: Remove = Remove.OLD_BOTH
    update: bool = True
    """Remember the n-grams of what stays; without it, texts are compared with what the filter holds only."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_ngram <= self.max_ngram:
            raise WatershedError(
                f"n-grams of {self.min_ngram} to {self.max_ngram} tokens", "set 1 <= min_ngram <= max_ngram"
            )


EXACT_PARAGRAPHS = ParagraphOptions(min_ngram=1, max_ngram=2**31 - 1, remove=Remove.PARAGRAPH)
"""Every paragraph that stood before, token for token: all its tokens are one n-gram. A filter for as many n-grams as
there are paragraphs, at a rate of 1e-6, takes about five bytes of each."""


def estimate_ngrams(
    batches: Iterable[pa.RecordBatch], options: ParagraphOptions | None = None, *, every: int = 1
) -> int:
    """How many n-grams texts have, to size a filter: as many as it can ever come to hold.

    Args:
        batches: a column `text`.
        options: n-gram sizes.
        every: look at one batch in so many, the first of them, and take the others to be alike.
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
    """Remove what `filter_` has met, and remember what stays; in the order of arrival, a batch for a batch.

    Args:
        batches: columns `id` and `text`; null texts stay null.
        filter_: what was met before; changed in place.
        options: DCLM-Baseline's if none are given.
        expected_ngrams: those of all batches, if known, to refuse at once.

    Returns:
        id; text: what is left; removed_spans: UTF-8 bytes (start, stop) of the paragraphs that went, in the text as it
        was; contained_ngrams and total_ngrams; kept: there is text left.

    Raises:
        WatershedError: the filter cannot take so many n-grams and keep its false-positive rate; names the size needed.
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
