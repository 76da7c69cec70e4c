"""Drops lines that are not sentences and cuts citations, as datatrove's C4 filter does.

huggingface/datatrove 0.10.1, pipeline/filters/c4_filters.py, after C4 (arXiv 1910.10683, section 2.2). The filter also
drops lines that name JavaScript or a policy (`drop_lines_with_phrases`) and pages by `lorem_ipsum`, `curly_brackets`
and `sentences`; its order is: lorem ipsum, lines of JavaScript, curly brackets, lines of policies, sentences.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from catalog.errors import WatershedError
from spark_jobs.edits.substrings import candidate_lines
from spark_jobs.measures.base import Edit, Option


def c4_lines(
    text: pa.Array,
    *,
    max_word_length: int = 1000,
    citations: bool = True,
    terminal_punctuation: bool = True,
    min_words: int = 3,
) -> pa.Array:
    """Keep lines that are sentences, joined by newlines; strip the text."""
    from spark_jobs.kernels.peers import c4_lines as kernel

    return kernel.c4_lines(
        text,
        max_word_length=max_word_length,
        citations=citations,
        terminal_punctuation=terminal_punctuation,
        min_words=min_words,
    )


def drop_lines_with_phrases(text: pa.Array, *, phrases: str | Sequence[str]) -> pa.Array:
    """Drop lines that contain a phrase in lower case; strip the text.

    The line in lower case is that of `str.lower`, by which the Kelvin sign is a `k`, but a dotted capital I is no `i`.
    `drop_substring_lines` looks for regular expressions instead and ignores case, as DCLM does.

    Args:
        text: documents.
        phrases: plain texts; their own case does not matter.

    Raises:
        WatershedError: there is no phrase, or an empty one.
    """
    from spark_jobs.kernels.cuts import stripped_without
    from spark_jobs.kernels.text_buffers import text_buffers

    wanted = tuple(phrase.lower() for phrase in ((phrases,) if isinstance(phrases, str) else phrases))
    if not all(wanted) or not wanted:
        raise WatershedError("drop_lines_with_phrases: a phrase is missing or empty", "name at least one phrase")
    buffers = text_buffers(text)
    cuts: list[tuple[int, int]] = []
    for line in candidate_lines(buffers, wanted, case_sensitive=False):
        lower = line.text.lower()
        if any(phrase in lower for phrase in wanted):
            cuts.append((line.start, line.stop))
    return stripped_without(text, buffers, np.array(cuts, np.int64).reshape(-1, 2))


EDITS = (
    Edit(
        name="c4_lines",
        description="drops lines that are not sentences, and cuts citations",
        options={
            "max_word_length": Option(
                kind=int, description="most characters of a word in a line; -1 for any", default=1000
            ),
            "citations": Option(
                kind=bool, description="cut [1], [edit] and [citation needed] out of lines", default=True
            ),
            "terminal_punctuation": Option(
                kind=bool, description="drop lines that do not end in . ? ! or a quotation mark", default=True
            ),
            "min_words": Option(
                kind=int, description="words that a line must have (`str.split`); -1 for any", default=3
            ),
        },
        apply=c4_lines,
    ),
    Edit(
        name="drop_lines_with_phrases",
        description="drops lines that contain a phrase, whatever its case",
        options={"phrases": Option(kind=tuple, description="plain texts")},
        apply=drop_lines_with_phrases,
    ),
)
