"""The statistics of words and lines in datatrove's Gopher filters (huggingface/datatrove 0.10.1, pipeline/filters).

The filters are gopher_quality_filter.py and gopher_repetition_filter.py, after Gopher (arXiv 2112.11446, appendix
A.1.1). The ratio of newlines to words is that of fineweb_quality_filter.py. Words are those of `english_words`.

In the quality filter, lines are those of `str.splitlines`. In the repetition filter, lines are separated by one or more
newlines and paragraphs by two or more; neither is stripped. The first copy of a repeated line or paragraph does not
count, and shares of characters are of the characters of the whole text.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.blocks import count_characters, equal64, find_byte, first_one, low_bits, ones
from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.english_tables import LETTER, SYMBOL, character_classes
from spark_jobs.kernels.hashing import hash_bytes, load_few
from spark_jobs.kernels.inlined import inlined
from spark_jobs.kernels.line_breaks import find_line_break, strip
from spark_jobs.kernels.peers.repetition import extra_copies, skipping_shares, top_shares
from spark_jobs.kernels.peers.spacy_words import Words, cut_words, take_words
from spark_jobs.kernels.scratch import scratch
from spark_jobs.kernels.text_buffers import TextArray, text_buffers
from spark_jobs.kernels.words import decode

WORDS, STOP_WORDS = range(2)
(
    MEAN_WORD_LENGTH,
    HASH_WORD_RATIO,
    ELLIPSIS_WORD_RATIO,
    ALPHABETIC_WORD_RATIO,
    NEWLINE_WORD_RATIO,
    BULLET_LINE_RATIO,
    ELLIPSIS_LINE_RATIO,
) = range(7)
(
    DUPLICATE_PARAGRAPH_RATIO,
    DUPLICATE_PARAGRAPH_CHARACTER_RATIO,
    DUPLICATE_LINE_RATIO,
    DUPLICATE_LINE_CHARACTER_RATIO,
    TOP_2GRAM,
) = range(5)
_DUPLICATE_5GRAM = TOP_2GRAM + 3
_REPETITION_RATIOS = _DUPLICATE_5GRAM + 6

_SEED = np.uint64(0)
_ONE = np.uint64(1)
_NEWLINE, _HASH, _DOT, _HYPHEN = (np.uint8(ord(character)) for character in "\n#.-")


def _bytes(*words: str) -> np.ndarray:
    return np.array([int.from_bytes(word.encode(), "little") for word in words], np.uint64)


_STOP_WORDS = _bytes("the", "be", "to", "of", "and", "that", "have", "with")
_BULLET, _ELLIPSIS, _THREE_DOTS = _bytes("•", "…", "...")


def word_quality(text: TextArray, words: Words | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The counts (int64) and ratios (float64), one row per statistic and one column per document.

    A ratio is NaN if it would divide by zero.

    Args:
        text: documents.
        words: the words of these documents, if they have been found already (`cut_words`).
    """
    words = words or cut_words(text)
    buffers = text_buffers(text)
    counts = np.zeros((2, len(buffers)), np.int64)
    ratios = np.full((7, len(buffers)), np.nan)
    for data, offsets, first, last in buffers.parts():
        _word_quality(data, offsets, first, last, buffers.valid, character_classes(), words, counts, ratios)
    return counts, ratios


def word_repetition(text: TextArray, words: Words | None = None) -> np.ndarray:
    """The ratios (float64), one row per statistic and one column per document; NaN for an empty text.

    Args:
        text: documents.
        words: the words of these documents, if they have been found already (`cut_words`).
    """
    words = words or cut_words(text)
    buffers = text_buffers(text)
    ratios = np.full((_REPETITION_RATIOS, len(buffers)), np.nan)
    # Every byte may be a word.
    room = scratch(2 * buffers.longest)
    glue = np.empty(buffers.longest + 128, np.uint8)
    for data, offsets, first, last in buffers.parts():
        _word_repetition(data, offsets, first, last, buffers.valid, character_classes(), words, room, glue, ratios)
    return ratios


@entry
def _word_quality(data, offsets, first, last, valid, classes, cut, counts, ratios):
    for document in range(first, last):
        if not valid[document]:
            continue
        start, end = offsets[document], offsets[document + 1]
        words = cut.ends[document + 1] - cut.ends[document]
        _judge_words(data, start, cut, classes, document, counts, ratios)
        hashes, ellipses, newlines = _count_signs(data, start, end)
        if words:
            ratios[HASH_WORD_RATIO, document] = hashes / words
            ratios[ELLIPSIS_WORD_RATIO, document] = ellipses / words
            ratios[NEWLINE_WORD_RATIO, document] = newlines / words
        _judge_lines(data, start, end, classes, document, ratios)


@inlined
def _judge_words(data, start, words, classes, document, counts, ratios):
    """Write the statistics of words: their number, mean length, share with a letter, and distinct stop words.

    Words of symbols only do not count in the number and the mean length.
    """
    solid = characters = alphabetic = 0
    stop_words = np.uint64(0)
    first, behind = words.ends[document], words.ends[document + 1]
    for word in range(first, behind):
        begin = start + words.starts[word]
        size = np.int64(words.stops[word] - words.starts[word])
        is_solid, has_letter = _kind(data, begin, begin + size, classes)
        solid += is_solid
        characters += is_solid * words.lengths[word]
        alphabetic += has_letter
        if 2 <= size <= 4:
            letters = load_few(data, begin, size)
            for i in range(len(_STOP_WORDS)):
                # A word that ends in NUL would otherwise equal a stop word padded with zeros.
                equal = letters == _STOP_WORDS[i] and data[begin + size - 1] != 0
                stop_words |= np.uint64(equal) << np.uint64(i)
    counts[WORDS, document] = solid
    counts[STOP_WORDS, document] = ones(stop_words)
    if solid:
        ratios[MEAN_WORD_LENGTH, document] = characters / solid
    if first < behind:
        ratios[ALPHABETIC_WORD_RATIO, document] = alphabetic / (behind - first)


@inner
def _kind(data, begin, stop, classes):
    """Whether a word has a character that is not a symbol, and whether it has a letter."""
    is_solid = False
    position = begin
    while position < stop:
        code_point, size = decode(data, position, stop)
        kind = classes[code_point]
        is_solid |= not kind & SYMBOL
        if kind & LETTER:
            return is_solid, True
        position += size
    return is_solid, False


@inner
def _count_signs(data, start, end):
    """The numbers of hash signs, of ellipses (`...` as counted by `str.count`, and U+2026), and of newlines."""
    hashes = ellipses = newlines = run = 0
    last_dot = np.int64(-2)
    position = start
    while position < end:
        inside = low_bits(end - position)
        hashes += ones(equal64(data, position, _HASH) & inside)
        newlines += ones(equal64(data, position, _NEWLINE) & inside)
        dots = equal64(data, position, _DOT) & inside
        while dots:
            dot = position + first_one(dots)
            run = run % 3 + 1 if dot == last_dot + 1 else 1
            ellipses += run == 3
            last_dot = dot
            dots &= dots - _ONE
        foreign = equal64(data, position, np.uint8(0xE2)) & inside
        while foreign:
            ellipses += load_few(data, position + first_one(foreign), 3) == _ELLIPSIS
            foreign &= foreign - _ONE
        position += 64
    return hashes, ellipses, newlines


@inner
def _judge_lines(data, start, end, classes, document, ratios):
    lines = bullets = ellipses = 0
    position = start
    while position < end:
        stop, behind = find_line_break(data, position, end)
        left, right = strip(data, position, stop, classes)
        lines += 1
        if left < right:
            bullets += data[left] == _HYPHEN or load_few(data, left, min(right - left, 3)) == _BULLET
            if right - left >= 3:
                ellipses += load_few(data, right - 3, 3) in (_ELLIPSIS, _THREE_DOTS)
        position = behind
    if lines:
        ratios[BULLET_LINE_RATIO, document] = bullets / lines
        ratios[ELLIPSIS_LINE_RATIO, document] = ellipses / lines


@entry
def _word_repetition(data, offsets, first, last, valid, classes, cut, room, glue, ratios):
    for document in range(first, last):
        start, end = offsets[document], offsets[document + 1]
        if not valid[document] or start == end:
            continue
        characters = count_characters(data, start, end)
        left, right = strip(data, start, end, classes)
        paragraphs = _find_pieces(data, left, right, 2, room)
        pieces, repeated = extra_copies(room.hashes, room.lengths, paragraphs, room)
        ratios[DUPLICATE_PARAGRAPH_RATIO, document] = pieces / paragraphs
        ratios[DUPLICATE_PARAGRAPH_CHARACTER_RATIO, document] = repeated / characters
        lines = _find_pieces(data, start, end, 1, room)
        pieces, repeated = extra_copies(room.hashes, room.lengths, lines, room)
        ratios[DUPLICATE_LINE_RATIO, document] = pieces / lines
        ratios[DUPLICATE_LINE_CHARACTER_RATIO, document] = repeated / characters
        words = take_words(cut, document, room)
        for word in range(words):
            room.hashes[word] = hash_bytes(data, start + room.starts[word], start + room.stops[word], _SEED)
        top_shares(words, characters, 1, room, ratios, TOP_2GRAM, document)
        skipping_shares(data, start, words, characters, room, glue, ratios, _DUPLICATE_5GRAM, document)


@inlined
def _find_pieces(data, start, end, least, room):
    """Split a text at runs of `least` or more newlines; return the number of pieces.

    The hashes and numbers of characters of the pieces are written to `room.hashes` and `room.lengths`.
    """
    count = 0
    piece = position = start
    while True:
        stop = find_byte(data, position, end, _NEWLINE)
        behind = stop
        while behind < end and data[behind] == _NEWLINE:
            behind += 1
        if stop == end or behind - stop >= least:
            room.hashes[count] = hash_bytes(data, piece, stop, _SEED)
            room.lengths[count] = count_characters(data, piece, stop)
            count += 1
            piece = behind
        if stop == end:
            return count
        position = behind
