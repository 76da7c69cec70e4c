"""The results of datatrove's filters and dolma's taggers for a text, by their own installed code."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

Values = dict[str, float | None]
"""Statistics by the name of our column; None for a share of nothing."""


class Decision(NamedTuple):
    """The result of a peer for a text."""

    kept: bool
    reason: str = ""
    """Of a text that is dropped."""
    text: str = ""
    """As the peer leaves it."""


RULES = {
    "empty": ("punctuated_line_ratio_minimum", "duplicate_line_ratio_maximum"),
    "gopher_short_doc": ("words_minimum",),
    "gopher_long_doc": ("words_maximum",),
    "gopher_below_avg_threshold": ("mean_word_length_minimum",),
    "gopher_above_avg_threshold": ("mean_word_length_maximum",),
    "gopher_too_many_hashes": ("hash_word_ratio_maximum",),
    "gopher_too_many_ellipsis": ("ellipsis_word_ratio_maximum",),
    "gopher_too_many_bullets": ("bullet_line_ratio_maximum",),
    "gopher_too_many_end_ellipsis": ("ellipsis_line_ratio_maximum",),
    "gopher_below_alpha_threshold": ("alphabetic_word_ratio_minimum",),
    "gopher_enough_stop_words": ("unique_stop_words_minimum",),
    "dup_para_frac": ("duplicate_paragraph_ratio_maximum",),
    "dup_para_char_frac": ("duplicate_paragraph_character_ratio_maximum",),
    "dup_line_frac": ("duplicate_line_ratio_maximum",),
    "dup_line_char_frac": ("duplicate_line_character_ratio_maximum",),
    **{f"top_{n}_gram": (f"top_{n}gram_character_ratio_maximum",) for n in range(2, 5)},
    **{f"duplicated_{n}_n_grams": (f"duplicate_{n}gram_character_ratio_maximum",) for n in range(5, 11)},
    "lorem_ipsum": ("lorem_ipsum_maximum",),
    "curly_bracket": ("curly_brackets_maximum",),
    "too_few_sentences": (
        "sentences_minimum",
        "empty_after_c4_lines",
        "empty_after_drop_lines_with_phrases",
        "empty_after_drop_lines_with_phrases_2",
    ),
    "line_punct_ratio": ("punctuated_line_ratio_minimum",),
    "short_line_ratio": ("short_line_ratio_maximum",),
    "char_dup_ratio": ("duplicate_line_characters_maximum",),
    "list_ratio": ("newline_word_ratio_maximum",),
}
"""Our rules, one of which a document breaks that datatrove drops for a reason."""


@cache
def datatrove_filters() -> Mapping[str, tuple[Any, ...]]:
    """The filters that a recipe means, in the order of datatrove's examples/fineweb.py."""
    # On import both look for data of nltk and print a message without a network.
    with contextlib.redirect_stderr(io.StringIO()):
        import dolma.taggers.gopher  # noqa: F401
        from datatrove.pipeline.filters import (
            C4QualityFilter,
            FineWebQualityFilter,
            GopherQualityFilter,
            GopherRepetitionFilter,
        )
    quality, repetition, fineweb = GopherQualityFilter(), GopherRepetitionFilter(), FineWebQualityFilter()
    return {
        "gopher-quality": (quality,),
        "gopher-repetition": (repetition,),
        "c4": (C4QualityFilter(),),
        "fineweb-quality": (fineweb,),
        "fineweb": (repetition, quality, C4QualityFilter(filter_no_terminal_punct=False), fineweb),
    }


def datatrove_decision(recipe: str, text: str) -> Decision:
    """What datatrove's filters do with a text, one after another."""
    from datatrove.data import Document
    from datatrove.pipeline.filters.base_filter import get_filter_result

    document = Document(text=text, id="")
    for each in datatrove_filters()[recipe]:
        with warnings.catch_warnings():
            # Of no words it takes the mean.
            warnings.simplefilter("ignore", RuntimeWarning)
            kept, reason = get_filter_result(each.filter(document))
        if not kept:
            return Decision(False, str(reason))
    return Decision(True, text=document.text)


def datatrove_quality(text: str) -> Values:
    """The numbers that GopherQualityFilter compares, and FineWeb's share of newlines."""
    from datatrove.pipeline.filters.gopher_quality_filter import STOP_WORDS
    from datatrove.utils.text import PUNCTUATION_SET, split_into_words

    words = split_into_words(text)
    solid = [word for word in words if any(character not in PUNCTUATION_SET for character in word)]
    lines = text.splitlines()
    found = {
        "words": len(solid),
        "unique_stop_words": len(set(STOP_WORDS) & set(words)),
        "mean_word_length": _share(sum(map(len, solid)), len(solid)),
        "hash_word_ratio": _share(text.count("#"), len(words)),
        "ellipsis_word_ratio": _share(text.count("...") + text.count("…"), len(words)),
        "alphabetic_word_ratio": _share(sum(any(map(str.isalpha, word)) for word in words), len(words)),
        "newline_word_ratio": _share(text.count("\n"), len(words)),
        "bullet_line_ratio": _share(sum(line.lstrip().startswith(("•", "-")) for line in lines), len(lines)),
        "ellipsis_line_ratio": _share(sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines)),
    }
    return {f"{name}_datatrove": value for name, value in found.items()}


def datatrove_repetition(text: str) -> Values:
    """The numbers that GopherRepetitionFilter compares."""
    from datatrove.pipeline.filters import gopher_repetition_filter as peer
    from datatrove.utils.text import split_into_words

    by = datatrove_filters()["gopher-repetition"][0]
    words = split_into_words(text)
    found: Values = {}
    pieces = {"paragraph": by.paragraph_exp.split(text.strip()), "line": by._line_splitter.split(text)}
    for name, parts in pieces.items():
        count, characters = peer.find_duplicates(parts)
        found[f"duplicate_{name}_ratio"] = _share(count, len(parts)) if text else None
        found[f"duplicate_{name}_character_ratio"] = _share(characters, len(text))
    for n in range(2, 5):
        grams = peer.get_n_grams(words, n)
        found[f"top_{n}gram_character_ratio"] = _share(peer.find_top_duplicate(grams) if grams else 0, len(text))
    for n in range(5, 11):
        found[f"duplicate_{n}gram_character_ratio"] = _share(peer.find_all_duplicate(words, n), len(text))
    return {f"{name}_datatrove": value for name, value in found.items()}


def datatrove_lines(text: str) -> Values:
    """The numbers that FineWebQualityFilter compares, but for its share of newlines."""
    from datatrove.pipeline.filters.gopher_repetition_filter import find_duplicates

    by = datatrove_filters()["fineweb"][-1]
    lines = [line for line in text.split("\n") if line.strip()]
    return {
        "punctuated_line_ratio": _share(sum(line.endswith(by.stop_chars) for line in lines), len(lines)),
        "short_line_ratio": _share(sum(len(line) <= by.short_line_length for line in lines), len(lines)),
        "duplicate_line_character_ratio_fineweb": _share(find_duplicates(lines)[1], len(text.replace("\n", "")))
        if lines
        else None,
    }


def datatrove_sentences(text: str) -> Values:
    """The number that its C4 filter compares: sentences line by line."""
    from datatrove.utils.text import split_into_sentences

    return {"sentences_datatrove": sum(len(split_into_sentences(line)) for line in text.split("\n") if line)}


def datatrove_marks(text: str) -> Values:
    """What its C4 filter looks for in a line."""
    return {"lorem_ipsum": text.lower().count("lorem ipsum"), "curly_brackets": text.count("{")}


def dolma_gopher(text: str) -> Values:
    """Attributes of gopher_v1 and gopher_v2."""
    from dolma.taggers.gopher import get_attributes

    first, second = get_attributes(text), get_attributes(text, ignore_empty_lines=True)
    found: Values = {
        "characters_dolma": first.character_count,
        "words_dolma": first.word_count,
        "stop_words_dolma": first.required_word_count,
        "median_word_length_dolma": first.median_word_length,
        "symbol_word_ratio_dolma": first.symbol_to_word_ratio,
        "alphabetic_word_ratio_dolma": first.fraction_of_words_with_alpha_character,
    }
    top = dict(first.fraction_of_characters_in_most_common_ngram)
    repeated = dict(first.fraction_of_characters_in_duplicate_ngrams)
    found |= {f"top_{n}gram_character_ratio_dolma": top.get(n, 0.0) for n in range(2, 5)}
    found |= {f"duplicate_{n}gram_character_ratio_dolma": repeated.get(n, 0.0) for n in range(5, 11)}
    for by, attributes in (("dolma", first), ("dolma_v2", second)):
        found[f"bullet_line_ratio_{by}"] = attributes.fraction_of_lines_starting_with_bullet_point
        found[f"ellipsis_line_ratio_{by}"] = attributes.fraction_of_lines_ending_with_ellipsis
        found[f"duplicate_line_ratio_{by}"] = attributes.fraction_of_duplicate_lines
        found[f"duplicate_line_character_ratio_{by}"] = attributes.fraction_of_characters_in_duplicate_lines
    return found


def dolma_c4(text: str) -> Values:
    """Attributes of c4_v1 and c4_v2. Flags are 0 or 1, as are our counts cut at 1."""
    from dolma.core.data_types import Document
    from dolma.taggers.c4 import C4Tagger, FasterC4Tagger

    document = Document(source="", version="", id="", text=text)
    first, second = (tagger().predict(document).spans for tagger in (C4Tagger, FasterC4Tagger))
    kinds = [span.type for span in first]
    return {
        "lines_dolma": next(span.score for span in first if span.type == "line_count"),
        "unpunctuated_lines": kinds.count("lines_with_no_ending_punctuation"),
        "short_lines": kinds.count("lines_with_too_few_words"),
        "javascript_dolma": "has_javascript" in kinds,
        "javascript_dolma_v2": any(span.type == "has_javascript" for span in second),
        "lorem_ipsum_dolma": "has_lorem_ipsum" in kinds,
        "curly_brackets_dolma": "has_curly_brace" in kinds,
    }


FLAGS = frozenset({"javascript_dolma", "javascript_dolma_v2", "lorem_ipsum_dolma", "curly_brackets_dolma"})
"""Columns in which we count what the peer only reports as present."""

STATISTICS: Mapping[str, Callable[[str], Values]] = {
    "datatrove_quality": datatrove_quality,
    "datatrove_repetition": datatrove_repetition,
    "datatrove_lines": datatrove_lines,
    "datatrove_sentences": datatrove_sentences,
    "datatrove_marks": datatrove_marks,
    "dolma_gopher": dolma_gopher,
    "dolma_c4": dolma_c4,
}
"""By the name of our pass."""


def equal(ours: float | None, theirs: float | None) -> bool:
    """Whether two values are the same but for the rounding of a division."""
    if ours is None or theirs is None:
        return ours is theirs
    return math.isclose(ours, theirs, rel_tol=1e-12, abs_tol=1e-15)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
