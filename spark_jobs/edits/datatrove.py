"""Drops lines that are not sentences and cuts citations, as datatrove's C4 filter does.

huggingface/datatrove 0.10.1, pipeline/filters/c4_filters.py, after C4 (arXiv 1910.10683, section 2.2). The filter also
drops lines that name JavaScript or a policy (`drop_substring_lines`) and pages by `lorem_ipsum`, `curly_brackets` and
`sentences`; between these its order is: lorem ipsum, lines of JavaScript, curly brackets, lines of policies, sentences.
"""

from __future__ import annotations

import pyarrow as pa

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
)
