"""Removal of lines that contain a very long word. Such lines are code, addresses or noise.

The rule is word_length_modifier of mlfoundations/dclm (baselines/mappers/modifiers.py). C4 removes lines with a word of
more than 1,000 characters.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import numpy as np
import pyarrow as pa

from spark_jobs.kernels.blocks import find_byte
from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.cuts import cut_line, edited
from spark_jobs.kernels.unicode_tables import ALNUM, FASTTEXT_SEPARATOR, SPACE, properties

# `words` defines the bounds of all segments, including segments that are not words.
from spark_jobs.kernels.words import _segment as segment
from spark_jobs.kernels.words import decode

WORDS = ("fasttext", "split", "unicode")
"""Definitions of a word: fastText's tokens, `str.split`, segments between Unicode word boundaries."""
_FASTTEXT, _SPLIT, _UNICODE = range(len(WORDS))
_NEWLINE = np.uint8(0x0A)


def without_lines_of_long_words(text: pa.Array, most: int, words: str, alphanumeric: bool) -> pa.Array:
    """Remove lines that contain a word of more than `most` characters.

    Args:
        text: documents.
        most: greatest number of characters of a word.
        words: one of WORDS; a segment of white space only is not a word.
        alphanumeric: count only words that begin with a letter or digit.
    """
    return edited(text, _find_lines, properties(), int(most), WORDS.index(words), bool(alphanumeric))


@entry
def _find_lines(data, offsets, first, last, valid, starts, stops, count, properties, most, words, alphanumeric):
    for document in range(first, last):
        start, end = offsets[document], offsets[document + 1]
        if not valid[document] or start == end:
            continue
        found = count
        kept = False
        position = start
        while position <= end:
            stop = find_byte(data, position, end, _NEWLINE)
            # A line has no more characters than bytes.
            if stop - position > most and _has_long_word(data, position, stop, properties, most, words, alphanumeric):
                count = cut_line(position, stop, end, kept, starts, stops, found, count)
            else:
                kept = True
            position = stop + 1
    return count


@inner
def _has_long_word(data, start, stop, properties, most, words, alphanumeric):
    position = start
    while position < stop:
        behind, characters = _word(data, position, stop, properties, words)
        if characters > most:
            code_point, _ = decode(data, position, stop)
            is_alphanumeric = (properties[code_point] & ALNUM) != 0
            if is_alphanumeric or (not alphanumeric and _is_word(data, position, behind, properties)):
                return True
        position = behind
    return False


@inner
def _word(data, position, stop, properties, words):
    """The position after the word at `position`, and its characters; at a separator, the position after it, and 0."""
    if words == _UNICODE:
        return segment(data, position, stop, properties)
    separator = SPACE if words == _SPLIT else FASTTEXT_SEPARATOR
    code_point, size = decode(data, position, stop)
    if properties[code_point] & separator:
        return position + size, 0
    characters = 0
    while position < stop:
        code_point, size = decode(data, position, stop)
        if properties[code_point] & separator:
            break
        position += size
        characters += 1
    return position, characters


@inner
def _is_word(data, position, stop, properties):
    while position < stop:
        code_point, size = decode(data, position, stop)
        if not properties[code_point] & SPACE:
            return True
        position += size
    return False
