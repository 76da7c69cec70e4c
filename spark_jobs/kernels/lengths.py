"""The length of a page by each definition that DCLM's page_length_filter and stop_word_filter offer.

The definitions are those of split_words (fastText's tokens, `str.split`, Unicode word boundaries; a word that consists
of white space only does not count) and split_paragraphs (mlfoundations/dclm, baselines/mappers/core_utils.py).
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import numpy as np
import pyarrow as pa

from spark_jobs.kernels.blocks import find_byte
from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.hashing import load_few
from spark_jobs.kernels.text_buffers import text_buffers
from spark_jobs.kernels.unicode_tables import ALNUM, FASTTEXT_SEPARATOR, SPACE, properties

# `words` defines the bounds of all segments, including segments that are not words.
from spark_jobs.kernels.words import _segment as segment
from spark_jobs.kernels.words import decode

COLUMNS = (
    "fasttext_all",
    "split",
    "split_alphanumeric",
    "unicode",
    "unicode_alphanumeric",
    "lines",
    "paragraphs",
    "unique_stop_words",
)
"""The rows of the result of `lengths`."""
_FASTTEXT, _SPLIT, _SPLIT_ALNUM, _UNICODE, _UNICODE_ALNUM, _LINES, _PARAGRAPHS, _UNIQUE_STOPS = range(len(COLUMNS))
_NEWLINE = np.uint8(0x0A)
_LOWER = np.uint64(0x2020202020202020)
_STOPS = ("the", "be", "to", "of", "and", "that", "have", "with")
_STOP_WORDS = np.array([int.from_bytes(word.encode(), "little") for word in _STOPS], np.uint64)
_STOP_WORD_SIZES = np.array([len(word) for word in _STOPS])


def lengths(text: pa.Array) -> np.ndarray:
    """The lengths of documents (int64), one row for each of COLUMNS and one column per document; 0 for a null text."""
    buffers = text_buffers(text)
    counts = np.zeros((len(COLUMNS), len(buffers)), np.int64)
    for data, offsets, first, last in buffers.parts():
        _lengths(data, offsets, first, last, buffers.valid, properties(), counts)
    return counts


@entry
def _lengths(data, offsets, first, last, valid, properties, counts):
    for document in range(first, last):
        if valid[document]:
            start, end = offsets[document], offsets[document + 1]
            _count_tokens(data, start, end, properties, document, counts)
            _count_split(data, start, end, properties, document, counts)
            _count_segments(data, start, end, properties, document, counts)
            _count_lines(data, start, end, properties, document, counts)


@inner
def _count_tokens(data, start, end, properties, document, counts):
    """Count fastText's tokens that are not only white space; each newline is a token too (the end of a sentence)."""
    is_token = False
    for position in range(start, end):
        byte = data[position]
        if byte < 0x80 and properties[byte] & FASTTEXT_SEPARATOR:
            counts[_FASTTEXT, document] += is_token + (byte == _NEWLINE)
            is_token = False
        elif not is_token and (byte & 0xC0) != 0x80:
            code_point, _ = decode(data, position, end)
            is_token = not properties[code_point] & SPACE
    counts[_FASTTEXT, document] += is_token


@inner
def _count_split(data, start, end, properties, document, counts):
    """Count the words of `str.split`, those that begin with a letter or digit, and the distinct stop words."""
    seen = 0
    position = start
    while position < end:
        code_point, size = decode(data, position, end)
        if properties[code_point] & SPACE:
            position += size
            continue
        word = position
        counts[_SPLIT, document] += 1
        counts[_SPLIT_ALNUM, document] += (properties[code_point] & ALNUM) != 0
        while position < end and not properties[code_point] & SPACE:
            position += size
            if position < end:
                code_point, size = decode(data, position, end)
        if position - word <= 4:
            letters = load_few(data, word, position - word) | _LOWER
            for i in range(len(_STOP_WORDS)):
                is_stop = letters == _STOP_WORDS[i] | _LOWER and position - word == _STOP_WORD_SIZES[i]
                seen |= np.int64(is_stop) << i
    while seen:
        counts[_UNIQUE_STOPS, document] += seen & 1
        seen >>= 1


@inner
def _count_segments(data, start, end, properties, document, counts):
    """Count the segments between Unicode word boundaries that are not only white space."""
    position = start
    while position < end:
        code_point, _ = decode(data, position, end)
        stop, _ = segment(data, position, end, properties)
        counts[_UNICODE, document] += not _is_space(data, position, stop, properties)
        counts[_UNICODE_ALNUM, document] += (properties[code_point] & ALNUM) != 0
        position = stop


@inner
def _is_space(data, position, stop, properties):
    while position < stop:
        code_point, size = decode(data, position, stop)
        if not properties[code_point] & SPACE:
            return False
        position += size
    return True


@inner
def _count_lines(data, start, end, properties, document, counts):
    """Count the lines, and the paragraphs separated by two newlines, that are not only white space."""
    in_paragraph = False
    position = start
    while position <= end:
        stop = find_byte(data, position, end, _NEWLINE)
        if not _is_space(data, position, stop, properties):
            counts[_LINES, document] += 1
            in_paragraph = True
        if stop in (position, end):
            counts[_PARAGRAPHS, document] += in_paragraph
            in_paragraph = False
        position = stop + 1
