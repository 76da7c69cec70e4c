"""Statistics that DCLM's page filters compare, and the phrases that they search for.

mlfoundations/dclm, baselines/mappers/filters/content_filters.py: page_length_filter and stop_word_filter by their
options, substring_filter, and all that `kernels.statistics` computes in one pass.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import pyarrow as pa

from catalog.errors import WatershedError
from spark_jobs.kernels.columns import COUNTS, RATIOS
from spark_jobs.measures.base import Matcher, Option, Pass, Statistic
from spark_jobs.measures.each import count_each
from spark_jobs.measures.word_lists import any_of, words_of

_ABOUT = {
    "characters": "characters",
    "words": "fastText's tokens that begin with a letter or digit",
    "stop_words": "occurrences of the, be, to, of, and, that, have, with",
    "mean_word_length": "characters a word",
    "symbol_word_ratio": "hash signs and ellipses a word",
    "bullet_line_ratio": "share of lines that begin with a bullet",
    "ellipsis_line_ratio": "share of lines that end with an ellipsis",
    "no_alphabetic_word_ratio": "share of words without a letter",
    "duplicate_line_ratio": "share of lines that occur again, all copies counted",
    "duplicate_paragraph_ratio": "share of paragraphs that occur again, all copies counted",
    "duplicate_line_character_ratio": "share of characters in lines that occur again",
    "duplicate_paragraph_character_ratio": "share of characters in paragraphs that occur again",
    **{f"top_{n}gram_character_ratio": f"share of characters in the most frequent {n}-gram" for n in range(2, 5)},
    **{f"duplicate_{n}gram_character_ratio": f"share of characters in {n}-grams that recur" for n in range(5, 11)},
}
_LENGTHS = {
    "fasttext_all": Statistic(
        name="words",
        description="fastText's tokens, an end of sentence at each newline among them",
        options={"words": "fasttext", "punctuation": "counted"},
    ),
    "split": Statistic(
        name="words", description="words between white space", options={"words": "split", "punctuation": "counted"}
    ),
    "split_alphanumeric": Statistic(
        name="words",
        description="words between white space that begin with a letter or digit",
        options={"words": "split", "punctuation": "ignored"},
    ),
    "unicode": Statistic(
        name="words",
        description="segments between Unicode word bounds that are not white space",
        options={"words": "unicode", "punctuation": "counted"},
    ),
    "unicode_alphanumeric": Statistic(
        name="words",
        description="segments between Unicode word bounds that begin with a letter or digit",
        options={"words": "unicode", "punctuation": "ignored"},
    ),
    "lines": Statistic(name="lines", description="lines that are not white space alone"),
    "paragraphs": Statistic(name="paragraphs", description="paragraphs that are not white space alone"),
    "unique_stop_words": Statistic(
        name="unique_stop_words", description="how many of the, be, to, of, and, that, have, with occur"
    ),
}


def _page(text: pa.Array) -> pa.RecordBatch:
    from spark_jobs.kernels.statistics import statistics

    return statistics(text)


def _lengths(text: pa.Array) -> pa.RecordBatch:
    from spark_jobs.kernels.lengths import COLUMNS, lengths

    absent = text.is_null().to_numpy(zero_copy_only=False)
    columns = {
        _LENGTHS[name].column: pa.array(counts, mask=absent)
        for name, counts in zip(COLUMNS, lengths(text), strict=True)
    }
    return pa.record_batch(columns)


def _sentences(text: pa.Array) -> pa.RecordBatch:
    try:
        import blingfire
    except ImportError as error:
        raise WatershedError("counting sentences needs the package blingfire", "pip install blingfire") from error

    def count(document: str) -> int:
        _, bounds = blingfire.text_to_sentences_and_offsets(document) if document else ("", ())
        return sum(bool(document[start:stop].strip()) for start, stop in bounds)

    return pa.record_batch({"sentences": count_each(text, count)})


def substring_matches(
    text: pa.Array,
    *,
    banlist: str | Sequence[str] = (),
    file: str | None = None,
    location: str = "any",
    exact_word: bool = False,
    case_sensitive: bool = False,
) -> pa.Array:
    """1 where a text holds one of some phrases, else 0 (substring_filter).

    Args:
        text: documents.
        banlist: phrases, as regular expressions.
        file: or a file with a phrase a line.
        location: where in the text: any, prefix or suffix.
        exact_word: only between word bounds.
        case_sensitive: distinguish upper from lower case.

    Raises:
        WatershedError: there is no phrase or no such file, or a phrase is not a regular expression.
    """
    pattern = _phrases(words_of("substring_matches", banlist, file), location, exact_word, case_sensitive)

    return count_each(text, lambda each: int(pattern.search(each if case_sensitive else each.lower()) is not None))


@cache
def _phrases(phrases: tuple[str, ...], location: str, exact_word: bool, case_sensitive: bool) -> re.Pattern[str]:
    cased = phrases if case_sensitive else tuple(phrase.lower() for phrase in phrases)
    is_plain = all(phrase == re.escape(phrase).replace("\\ ", " ").replace("\\-", "-") for phrase in cased)
    pattern = any_of(cased) if is_plain and "" not in cased else f"(?:{'|'.join(cased)})"
    if exact_word:
        pattern = rf"\b{pattern}\b"
    pattern = {"any": pattern, "prefix": f"^{pattern}", "suffix": f"{pattern}$"}[location]
    try:
        return re.compile(pattern)
    except re.error as error:
        raise WatershedError(
            f"substring_matches: a phrase is not a regular expression ({error})",
            "escape special characters with a backslash",
        ) from error


PASSES: tuple[Pass, ...] = (
    Pass(
        name="page",
        statistics=tuple(Statistic(name=name, description=_ABOUT[name]) for name in (*COUNTS, *RATIOS)),
        compute=_page,
    ),
    Pass(name="lengths", statistics=tuple(_LENGTHS.values()), compute=_lengths),
    Pass(
        name="sentences",
        statistics=(Statistic(name="sentences", description="sentences, as blingfire splits them"),),
        compute=_sentences,
    ),
)
"""Statistics of pages, lengths by other definitions, and sentences."""

MATCHERS: dict[str, Matcher] = {
    "substring_matches": Matcher(
        name="substring_matches",
        description="1 where the text holds one of some phrases, else 0",
        options={
            "banlist": Option(kind=tuple, description="phrases, as regular expressions", default=()),
            "file": Option(kind=str, description="a file with a phrase a line", default=None),
            "location": Option(
                kind=str,
                description="where in the text a phrase must stand",
                default="any",
                choices=("any", "prefix", "suffix"),
            ),
            "exact_word": Option(kind=bool, description="only between word bounds", default=False),
            "case_sensitive": Option(kind=bool, description="distinguish upper from lower case", default=False),
        },
        compute=substring_matches,
    )
}
