"""Drops lines that are not prose, judged by their characters and words.

All as in mlfoundations/dclm, baselines/mappers/modifiers.py; a line ends at a newline, and an empty line always stays.
"""

from __future__ import annotations

import math

import pyarrow as pa

from catalog.errors import WatershedError
from spark_jobs.measures.base import Edit, Option

WORDS = ("fasttext", "split", "unicode")
"""fastText's tokens, `str.split`, segments between Unicode word bounds (uniseg)."""


def drop_uppercase_lines(text: pa.Array, *, max_ratio: float = 0.5) -> pa.Array:
    """Drop lines with a larger share of upper-case characters; strip the text (uppercase_ratio_line_modifier)."""
    from spark_jobs.kernels.line_rules import without_uppercase_lines

    return without_uppercase_lines(text, max_ratio)


def drop_numeric_lines(text: pa.Array, *, max_ratio: float = 1.0) -> pa.Array:
    """Drop lines with a larger share of digits; strip the text (numeric_ratio_line_modifier).

    With 1.0 no line is dropped. RefinedWeb drops lines of nothing but digits, for which DCLM sets 0.999999.
    """
    from spark_jobs.kernels.line_rules import without_numeric_lines

    return without_numeric_lines(text, max_ratio)


def drop_counter_lines(text: pa.Array) -> pa.Array:
    """Drop lines such as `3.1K likes`; strip the text (counter_line_modifier)."""
    from spark_jobs.kernels.line_rules import without_counter_lines

    return without_counter_lines(text)


def keep_lines_of_length(text: pa.Array, *, min_words: int = 0, max_words: int | None = None) -> pa.Array:
    """Keep lines of `min_words` to `max_words` words, as `str.split` counts them (line_length_modifier)."""
    from spark_jobs.kernels.line_rules import without_lines_of_length

    return without_lines_of_length(text, min_words, math.inf if max_words is None else max_words)


def drop_unpunctuated_lines(text: pa.Array, *, remove_ellipses: bool = False) -> pa.Array:
    """Drop lines that do not end in one of `.!?"…`, white space aside (punctuation_line_modifier, after C4)."""
    from spark_jobs.kernels.line_rules import without_unpunctuated_lines

    return without_unpunctuated_lines(text, remove_ellipses)


def drop_lines_with_long_words(
    text: pa.Array, *, max_length: int = 1000, words: str = "fasttext", punctuation: str = "counted"
) -> pa.Array:
    """Drop lines that hold a word of more than `max_length` characters (word_length_modifier, after C4)."""
    from spark_jobs.kernels.long_words import without_lines_of_long_words

    if max_length < 0:
        raise WatershedError(f"drop_lines_with_long_words: max_length is {max_length}", "give 0 or more characters")
    return without_lines_of_long_words(text, max_length, words, punctuation == "ignored")


EDITS = (
    Edit(
        name="drop_uppercase_lines",
        description="drops lines with a larger share of upper-case characters",
        options={"max_ratio": Option(kind=float, description="greatest share that stays, 0..1", default=0.5)},
        apply=drop_uppercase_lines,
    ),
    Edit(
        name="drop_numeric_lines",
        description="drops lines with a larger share of digits",
        options={"max_ratio": Option(kind=float, description="greatest share that stays, 0..1", default=1.0)},
        apply=drop_numeric_lines,
    ),
    Edit(
        name="drop_counter_lines",
        description="drops lines that count likes, shares, comments and the like",
        options={},
        apply=drop_counter_lines,
    ),
    Edit(
        name="keep_lines_of_length",
        stored_as="drop_short_lines",
        description="drops lines of fewer or more words",
        options={
            "min_words": Option(kind=int, description="fewest words of a line that stays", default=0),
            "max_words": Option(kind=int, description="most words of a line that stays", default=None),
        },
        apply=keep_lines_of_length,
    ),
    Edit(
        name="drop_unpunctuated_lines",
        description="drops lines that do not end as a sentence does",
        options={
            "remove_ellipses": Option(kind=bool, description="drop lines that end in `...` or `…` too", default=False)
        },
        apply=drop_unpunctuated_lines,
    ),
    Edit(
        name="drop_lines_with_long_words",
        stored_as="drop_long_words",
        description="drops lines that hold a longer word",
        options={
            "max_length": Option(kind=int, description="most characters of a word that stays", default=1000),
            "words": Option(kind=str, description="how a line is split into words", default="fasttext", choices=WORDS),
            "punctuation": Option(
                kind=str,
                description="whether words that do not begin with a letter or digit count",
                default="counted",
                choices=("counted", "ignored"),
            ),
        },
        apply=drop_lines_with_long_words,
    ),
)
