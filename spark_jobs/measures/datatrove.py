"""Statistics that datatrove's Gopher, C4 and FineWeb filters compare (huggingface/datatrove 0.10.1, pipeline/filters).

Where its definition differs from DCLM's, the statistic has the option `by: datatrove`: words are spaCy's for English,
the first copy of a repeated line or paragraph does not count, and characters are a share of the whole text's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from spark_jobs.measures.base import Pass, Statistic

if TYPE_CHECKING:
    from spark_jobs.kernels.peers.spacy_words import Words

BY = {"by": "datatrove"}


def _statistics(by: dict[str, str], about: dict[str, str]) -> tuple[Statistic, ...]:
    return tuple(Statistic(name=name, description=text, options=by) for name, text in about.items())


def table(text: pa.Array, statistics: Sequence[Statistic], values: Sequence[np.ndarray]) -> pa.RecordBatch:
    """A column a statistic, null where the text is or the value is not a number."""
    absent = text.is_null().to_numpy(zero_copy_only=False)
    arrays = [pa.array(value, mask=absent | np.isnan(value)) for value in values]
    return pa.RecordBatch.from_arrays(arrays, [statistic.column for statistic in statistics])


_QUALITY = _statistics(
    BY,
    {
        "words": "spaCy's words that are not symbols alone",
        "unique_stop_words": "how many of the, be, to, of, and, that, have, with occur, in lower case",
        "mean_word_length": "characters a word, of words that are not symbols alone",
        "hash_word_ratio": "hash signs a word",
        "ellipsis_word_ratio": "ellipses a word",
        "alphabetic_word_ratio": "share of words with a letter",
        "newline_word_ratio": "newlines a word",
        "bullet_line_ratio": "share of lines that begin with a bullet or a hyphen, blank lines counted",
        "ellipsis_line_ratio": "share of lines that end with an ellipsis, blank lines counted",
    },
)
_REPETITION = _statistics(
    BY,
    {
        "duplicate_paragraph_ratio": "share of paragraphs that occurred before",
        "duplicate_paragraph_character_ratio": "share of all characters in paragraphs that occurred before",
        "duplicate_line_ratio": "share of lines that occurred before",
        "duplicate_line_character_ratio": "share of all characters in lines that occurred before",
        **{f"top_{n}gram_character_ratio": f"share of all characters in the top {n}-gram" for n in range(2, 5)},
        **{
            f"duplicate_{n}gram_character_ratio": f"share of all characters in {n}-grams that occurred before"
            for n in range(5, 11)
        },
    },
)
_LINES = (
    Statistic(name="punctuated_line_ratio", description="share of lines that end a sentence, in whatever script"),
    Statistic(name="short_line_ratio", description="share of lines of at most 30 characters"),
    Statistic(
        name="duplicate_line_character_ratio",
        description="share of characters in lines that occurred before, newlines aside",
        options={"by": "fineweb"},
    ),
)
_SENTENCES = (Statistic(name="sentences", description="sentences of spaCy's sentencizer, line by line", options=BY),)
_MARKS = (
    Statistic(name="lorem_ipsum", description="how often `lorem ipsum` occurs"),
    Statistic(name="curly_brackets", description="how often `{` occurs"),
)


def _words(text: pa.Array) -> Words:
    from spark_jobs.kernels.peers.spacy_words import cut_words

    return cut_words(text)


def _quality(text: pa.Array, words: Words | None = None) -> pa.RecordBatch:
    from spark_jobs.kernels.peers.datatrove_words import word_quality

    counts, ratios = word_quality(text, words)
    return table(text, _QUALITY, [*counts, *ratios])


def _repetition(text: pa.Array, words: Words | None = None) -> pa.RecordBatch:
    from spark_jobs.kernels.peers.datatrove_words import word_repetition

    return table(text, _REPETITION, [*word_repetition(text, words)])


def _lines(text: pa.Array) -> pa.RecordBatch:
    from spark_jobs.kernels.peers.datatrove_lines import line_quality

    return table(text, _LINES, [*line_quality(text)])


def _sentences(text: pa.Array, words: Words | None = None) -> pa.RecordBatch:
    from spark_jobs.kernels.peers.datatrove_lines import sentences

    return table(text, _SENTENCES, [sentences(text, words)])


def _marks(text: pa.Array) -> pa.RecordBatch:
    from spark_jobs.kernels.peers.datatrove_lines import marks

    return table(text, _MARKS, [*marks(text)])


PASSES: tuple[Pass, ...] = (
    Pass(name="datatrove_quality", statistics=_QUALITY, compute=_quality, prepare=_words),
    Pass(name="datatrove_repetition", statistics=_REPETITION, compute=_repetition, prepare=_words),
    Pass(name="datatrove_lines", statistics=_LINES, compute=_lines),
    Pass(name="datatrove_sentences", statistics=_SENTENCES, compute=_sentences, prepare=_words),
    Pass(name="datatrove_marks", statistics=_MARKS, compute=_marks),
)
