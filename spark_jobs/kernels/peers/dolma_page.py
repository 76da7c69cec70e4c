"""The statistics of dolma's Gopher and C4 taggers (allenai/dolma 1.1.2, python/dolma/taggers/gopher.py and c4.py).

Words are those of `str.split`. Lines are separated by newlines and are not stripped; in gopher_v2, a run of newlines is
a single separator. All copies of a repeated line count. Shares of characters are of the characters of all words, or,
for n-grams of 5 to 10 words, of all n-grams of that size. A share is 0 if there is nothing to divide by.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.blocks import count_characters, equal64, find_byte, first_one, low_bits
from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.english_tables import LETTER, SPACE, character_classes
from spark_jobs.kernels.hashing import hash_bytes, load_few
from spark_jobs.kernels.inlined import inlined
from spark_jobs.kernels.line_breaks import decode_before, strip
from spark_jobs.kernels.peers.datatrove_lines import count_marks
from spark_jobs.kernels.peers.repetition import overlapping_shares, repeated_pieces, top_shares
from spark_jobs.kernels.scratch import scratch
from spark_jobs.kernels.text_buffers import TextArray, text_buffers
from spark_jobs.kernels.words import decode

CHARACTERS, WORDS, STOP_WORDS = range(3)
MEDIAN_WORD_LENGTH, SYMBOL_WORD_RATIO, ALPHABETIC_WORD_RATIO, TOP_2GRAM = range(4)
_DUPLICATE_5GRAM = TOP_2GRAM + 3
_LINES = _DUPLICATE_5GRAM + 6
"""First row of the ratios of lines: bullets, ellipses, repeated lines, characters in these; then those of gopher_v2."""
_RATIOS = _LINES + 8
C4_LINES, C4_UNPUNCTUATED, C4_SHORT, C4_JAVASCRIPT_WORDS, C4_JAVASCRIPT, C4_LOREM_IPSUM, C4_CURLY_BRACKETS = range(7)

_SEED = np.uint64(0)
_ONE = np.uint64(1)
_NEWLINE, _HASH, _ASTERISK, _HYPHEN, _J, _j = (np.uint8(ord(character)) for character in "\n#*-Jj")
_LOWER = np.uint64(0x2020202020202020)


def _bytes(*words: str) -> np.ndarray:
    return np.array([int.from_bytes(word.encode(), "little") for word in words], np.uint64)


_STOP_WORDS = _bytes("the", "be", "to", "of", "and", "that", "have", "with")
(_ELLIPSIS,) = _bytes("…")
_JAVASCRIPT, _PT = _bytes("javascri", "pt")
_FEW_WORDS = 3


def gopher_page(text: TextArray) -> tuple[np.ndarray, np.ndarray]:
    """The counts (int64) and ratios (float64) of dolma's Gopher taggers: a row per statistic, a column per document."""
    buffers = text_buffers(text)
    counts = np.zeros((3, len(buffers)), np.int64)
    ratios = np.zeros((_RATIOS, len(buffers)))
    room = scratch(2 * buffers.longest)
    for data, offsets, first, last in buffers.parts():
        _gopher_page(data, offsets, first, last, buffers.valid, character_classes(), room, counts, ratios)
    return counts, ratios


def c4_page(text: TextArray) -> np.ndarray:
    """The counts (int64) of the C4 tagger, one row per statistic and one column per document."""
    buffers = text_buffers(text)
    counts = np.zeros((7, len(buffers)), np.int64)
    for data, offsets, first, last in buffers.parts():
        _c4_page(data, offsets, first, last, buffers.valid, character_classes(), counts)
    return counts


@entry
def _gopher_page(data, offsets, first, last, valid, classes, room, counts, ratios):
    for document in range(first, last):
        start, end = offsets[document], offsets[document + 1]
        if not valid[document] or start == end:
            continue
        words, symbols, alphabetic = _find_words(data, start, end, classes, room)
        characters = stop_words = 0
        for word in range(words):
            begin = start + room.starts[word]
            size = np.int64(room.stops[word] - room.starts[word])
            characters += room.lengths[word]
            if 2 <= size <= 4:
                letters = load_few(data, begin, size)
                for i in range(len(_STOP_WORDS)):
                    # A word that ends in NUL would otherwise equal a stop word padded with zeros.
                    stop_words += letters == _STOP_WORDS[i] and data[begin + size - 1] != 0
            room.hashes[word] = hash_bytes(data, begin, begin + size, _SEED)
        counts[CHARACTERS, document] = count_characters(data, start, end)
        counts[WORDS, document] = words
        counts[STOP_WORDS, document] = stop_words
        ratios[MEDIAN_WORD_LENGTH, document] = _median(words, room)
        ratios[SYMBOL_WORD_RATIO, document] = symbols / max(words, 1)
        ratios[ALPHABETIC_WORD_RATIO, document] = alphabetic / max(words, 1)
        left = top_shares(words, max(characters, 1), 0, room, ratios, TOP_2GRAM, document)
        overlapping_shares(words, left, room, ratios, _DUPLICATE_5GRAM, document)
        _judge_lines(data, start, end, False, characters, room, ratios, _LINES, document)
        _judge_lines(data, start, end, True, characters, room, ratios, _LINES + 4, document)


@inlined
def _find_words(data, start, end, classes, room):
    """Find the words of `str.split`.

    Returns:
        the number of words, the number of words with a hash sign or U+2026, and the number of words with a letter.
    """
    words = symbols = alphabetic = characters = 0
    has_symbol = has_letter = False
    position = start
    while position <= end:
        code_point, size = 0x20, 1
        if position < end:
            code_point = np.int64(data[position])
            if code_point >= 0x80:
                code_point, size = decode(data, position, end)
        kind = classes[code_point]
        if kind & SPACE:
            if characters:
                room.stops[words] = position - start
                room.lengths[words] = characters
                words += 1
                symbols += has_symbol
                alphabetic += has_letter
                characters = 0
                has_symbol = has_letter = False
        else:
            if not characters:
                room.starts[words] = position - start
            characters += 1
            has_letter |= (kind & LETTER) != 0
            has_symbol |= code_point in (0x23, 0x2026)
        position += size
    return words, symbols, alphabetic


@inner
def _median(words, room):
    """The median length of the words; 0 without words. `room.positions` receives the number of words of each length."""
    if not words:
        return 0.0
    longest = 0
    for word in range(words):
        longest = max(longest, room.lengths[word])
    for length in range(longest + 1):
        room.positions[length] = 0
    for word in range(words):
        room.positions[room.lengths[word]] += 1
    lower = _length_at((words - 1) // 2, room)
    upper = _length_at(words // 2, room)
    return (lower + upper) / 2


@inner
def _length_at(rank, room):
    length = 0
    shorter = room.positions[0]
    while shorter <= rank:
        length += 1
        shorter += room.positions[length]
    return length


@inlined
def _judge_lines(data, start, end, in_a_row, word_characters, room, ratios, first_column, document):
    """Write the ratios of lines, which are separated by single newlines, or by runs of newlines if `in_a_row`."""
    lines = bullets = ellipses = 0
    position = start
    while position <= end:
        stop = find_byte(data, position, end, _NEWLINE)
        room.hashes[lines] = hash_bytes(data, position, stop, _SEED)
        room.lengths[lines] = count_characters(data, position, stop)
        lines += 1
        if position < stop:
            bullets += data[position] == _ASTERISK or data[position] == _HYPHEN
            ellipses += stop - position >= 3 and load_few(data, stop - 3, 3) == _ELLIPSIS
        position = stop + 1
        while in_a_row and position < end and data[position] == _NEWLINE:
            position += 1
    pieces, characters = repeated_pieces(room.hashes, room.lengths, lines, room)
    ratios[first_column, document] = bullets / lines
    ratios[first_column + 1, document] = ellipses / lines
    ratios[first_column + 2, document] = pieces / lines
    ratios[first_column + 3, document] = characters / max(word_characters, 1)


@entry
def _c4_page(data, offsets, first, last, valid, classes, counts):
    for document in range(first, last):
        if not valid[document]:
            continue
        start, end = offsets[document], offsets[document + 1]
        lorem, curly = count_marks(data, start, end)
        counts[C4_LOREM_IPSUM, document], counts[C4_CURLY_BRACKETS, document] = lorem, curly
        position = start
        while position <= end:
            stop = find_byte(data, position, end, _NEWLINE)
            left, right = strip(data, position, stop, classes)
            counts[C4_LINES, document] += 1
            counts[C4_UNPUNCTUATED, document] += left == right or data[right - 1] not in (0x2E, 0x3F, 0x21, 0x22)
            counts[C4_SHORT, document] += _has_few_words(data, left, right, classes)
            position = stop + 1
        named, anywhere = _count_javascript(data, start, end, classes)
        counts[C4_JAVASCRIPT_WORDS, document], counts[C4_JAVASCRIPT, document] = named, anywhere


@inner
def _has_few_words(data, left, right, classes):
    """Whether a line has fewer than _FEW_WORDS words (`str.split`)."""
    words = 0
    in_word = False
    position = left
    while position < right and words < _FEW_WORDS:
        code_point, size = decode(data, position, right)
        is_space = (classes[code_point] & SPACE) != 0
        words += not is_space and not in_word
        in_word = not is_space
        position += size
    return words < _FEW_WORDS


@inner
def _count_javascript(data, start, end, classes):
    """The numbers of occurrences of `javascript` as a whole word (`str.split`), and anywhere, both in any case."""
    named = anywhere = 0
    position = start
    while position < end - 9:
        found = (equal64(data, position, _J) | equal64(data, position, _j)) & low_bits(end - 9 - position)
        while found:
            word = position + first_one(found)
            if _is_javascript(data, word):
                anywhere += 1
                before, behind = np.int64(0x20), np.int64(0x20)
                if word > start:
                    before, _ = decode_before(data, start, word)
                if word + 10 < end:
                    behind, _ = decode(data, word + 10, end)
                named += (classes[before] & classes[behind] & SPACE) != 0
            found &= found - _ONE
        position += 64
    return named, anywhere


@inner
def _is_javascript(data, position):
    """Whether ten bytes are `javascript` in any case; setting _LOWER turns no other byte into one of its letters."""
    return (
        load_few(data, position, 8) | _LOWER == _JAVASCRIPT
        and (load_few(data, position + 8, 2) | (_LOWER >> np.uint64(48))) == _PT
    )
