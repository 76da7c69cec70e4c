"""The statistics of datatrove's FineWeb and C4 filters (huggingface/datatrove 0.10.1, pipeline/filters).

In fineweb_quality_filter.py (arXiv 2406.17557, section 3.6), lines are separated by newlines, and lines of white space
only are omitted. Neither the text nor its lines are stripped. In c4_filters.py (arXiv 1910.10683, section 2.2),
sentences are those that spaCy's sentencizer finds in each line. A sentence ends after `.`, `?`, `!` or an equivalent
character of another script, together with all punctuation that follows it.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.blocks import count_characters, equal64, find_byte, first_one, low_bits, ones
from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.english_tables import PUNCTUATION, SENTENCE_END, TERMINAL, character_classes
from spark_jobs.kernels.hashing import hash_bytes, load64, load_few
from spark_jobs.kernels.inlined import inlined
from spark_jobs.kernels.line_breaks import decode_before, strip
from spark_jobs.kernels.peers.repetition import extra_copies
from spark_jobs.kernels.peers.spacy_words import Words, cut_words
from spark_jobs.kernels.scratch import scratch
from spark_jobs.kernels.text_buffers import TextArray, text_buffers
from spark_jobs.kernels.words import decode

PUNCTUATED_LINE_RATIO, SHORT_LINE_RATIO, DUPLICATE_LINE_CHARACTER_RATIO = range(3)
LOREM_IPSUM, CURLY_BRACKETS = range(2)

_SHORT_LINE = 30
"""Greatest number of characters of a short line."""
_SEED = np.uint64(0)
_ONE = np.uint64(1)
_NEWLINE, _SPACE, _CURLY, _m, _M = (np.uint8(ord(character)) for character in "\n {mM")
_LOREM_IP, _SUM = (np.uint64(int.from_bytes(text, "little")) for text in (b"lorem ip", b"sum"))
_LOWER = np.uint64(0x2020202020202020)


def line_quality(text: TextArray) -> np.ndarray:
    """The ratios (float64), one row per statistic and one column per document; NaN if a document has no lines."""
    buffers = text_buffers(text)
    ratios = np.full((3, len(buffers)), np.nan)
    room = scratch(2 * buffers.longest)
    for data, offsets, first, last in buffers.parts():
        _line_quality(data, offsets, first, last, buffers.valid, character_classes(), room, ratios)
    return ratios


def sentences(text: TextArray, words: Words | None = None) -> np.ndarray:
    """The number of sentences of each document (int64).

    Args:
        text: documents.
        words: the words of these documents, if they have been found already (`cut_words`).
    """
    words = words or cut_words(text)
    buffers = text_buffers(text)
    counts = np.zeros(len(buffers), np.int64)
    for data, offsets, first, last in buffers.parts():
        _sentences(data, offsets, first, last, buffers.valid, character_classes(), words, counts)
    return counts


def marks(text: TextArray) -> np.ndarray:
    """The counts (int64) of `lorem ipsum` and `{`: the rows LOREM_IPSUM and CURLY_BRACKETS, one column per document."""
    buffers = text_buffers(text)
    counts = np.zeros((2, len(buffers)), np.int64)
    for data, offsets, first, last in buffers.parts():
        _marks(data, offsets, first, last, buffers.valid, counts)
    return counts


@entry
def _line_quality(data, offsets, first, last, valid, classes, room, ratios):
    for document in range(first, last):
        if not valid[document]:
            continue
        start, end = offsets[document], offsets[document + 1]
        lines = punctuated = short = newlines = 0
        position = start
        while position <= end:
            stop = find_byte(data, position, end, _NEWLINE)
            newlines += stop < end
            left, right = strip(data, position, stop, classes)
            if left < right:
                code_point, _ = decode_before(data, position, stop)
                characters = count_characters(data, position, stop)
                punctuated += (classes[code_point] & TERMINAL) != 0
                short += characters <= _SHORT_LINE
                room.hashes[lines] = hash_bytes(data, position, stop, _SEED)
                room.lengths[lines] = characters
                lines += 1
            position = stop + 1
        if lines:
            _, repeated = extra_copies(room.hashes, room.lengths, lines, room)
            ratios[PUNCTUATED_LINE_RATIO, document] = punctuated / lines
            ratios[SHORT_LINE_RATIO, document] = short / lines
            # The share is of all characters except newlines.
            whole = count_characters(data, start, end) - newlines
            ratios[DUPLICATE_LINE_CHARACTER_RATIO, document] = repeated / whole


@entry
def _marks(data, offsets, first, last, valid, counts):
    for document in range(first, last):
        if valid[document]:
            lorem, curly = count_marks(data, offsets[document], offsets[document + 1])
            counts[LOREM_IPSUM, document], counts[CURLY_BRACKETS, document] = lorem, curly


@entry
def _sentences(data, offsets, first, last, valid, classes, words, counts):
    for document in range(first, last):
        if not valid[document]:
            continue
        start, end = offsets[document], offsets[document + 1]
        word = words.ends[document]
        position = start
        while position < end:
            stop = find_byte(data, position, end, _NEWLINE)
            behind = word
            # A word never extends past the end of its line.
            while behind < words.ends[document + 1] and start + words.starts[behind] < stop:
                behind += 1
            counts[document] += _count_sentences(data, start, position, stop, classes, words, word, behind)
            word = behind
            position = stop + 1


@inlined
def _count_sentences(data, start, position, end, classes, words, first, last):
    """The number of sentences of a line whose words are those from `first` up to, but not including, `last`.

    The document begins at `start`. White space between words is a token in spaCy, unless it is a single space.
    """
    if position == end:
        return 0
    count = 1
    ended = False
    behind = position
    for word in range(first, last):
        begin, stop = start + words.starts[word], start + words.stops[word]
        if ended and word > first and _is_spacious(data, behind, begin):
            count += 1
            ended = False
        is_end, is_punctuation = _kind(data, begin, stop, classes)
        if ended and not is_end and not is_punctuation:
            count += 1
            ended = False
        elif is_end:
            ended = True
        behind = stop
    return count + (ended and _is_spacious(data, behind, end))


@inner
def _is_spacious(data, start, stop):
    return stop - start > 1 or (stop - start == 1 and data[start] != _SPACE)


@inner
def _kind(data, begin, stop, classes):
    """Whether a word ends a sentence, and whether it consists of punctuation only."""
    code_point, size = decode(data, begin, stop)
    is_end = begin + size == stop and (classes[code_point] & SENTENCE_END) != 0
    position = begin
    while position < stop:
        code_point, size = decode(data, position, stop)
        if not classes[code_point] & PUNCTUATION:
            return is_end, False
        position += size
    return is_end, True


@inner
def count_marks(data, start, end):
    """The numbers of occurrences of `lorem ipsum`, in any case, and of an opening curly bracket."""
    lorem = curly = 0
    position = start
    while position < end:
        inside = low_bits(end - position)
        curly += ones(equal64(data, position, _CURLY) & inside)
        spaces = (equal64(data, position, _SPACE) >> _ONE) | (_ONE << np.uint64(63))
        found = (equal64(data, position, _m) | equal64(data, position, _M)) & inside & spaces
        while found:
            word = position + first_one(found) - 4
            if word >= start and word + 11 <= end and data[word + 5] == _SPACE:
                front = load64(data, word) | _LOWER
                lorem += front == _LOREM_IP and load_few(data, word + 8, 3) | (_LOWER >> np.uint64(40)) == _SUM
            found &= found - _ONE
        position += 64
    return lorem, curly
