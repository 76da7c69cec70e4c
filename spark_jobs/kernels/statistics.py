"""The statistics of a document that the filter rules of DCLM and Gopher compare with thresholds.

The definitions are those of DCLM (arXiv 2406.11794; mlfoundations/dclm, baselines/mappers/filters/content_filters.py),
which follows Gopher (arXiv 2112.11446, appendix A.1.1) and RefinedWeb (arXiv 2306.01116, section 3.2):

- `words` is the number of fastText tokens (separated by ASCII white space) that begin with a letter or digit;
- word length, symbols, alphabetic words and stop words use the words of `str.split` (separated by Unicode white space);
- symbols are `#`, `...`, `. . .` and U+2026, each counted as by `str.count`; their ratio is to the number of words;
- lines are separated by one newline and paragraphs by two; both are stripped, and empty ones are omitted;
- all copies of a repeated line or paragraph count;
- n-grams consist of words between Unicode word boundaries (`words`); characters between words do not count;
- for n from 2 to 4, the longest of the most frequent n-grams counts, multiplied by its number of occurrences; these may
  overlap, so the share may exceed one;
- for n from 5 to 10, each word in a repeated n-gram counts once.

A ratio is null if it would divide by the number of words or lines and there are none. All ratios of repetition are null
for an empty text, which DCLM removes. Strings are compared by 64-bit hashes.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import numpy as np
import pyarrow as pa

from spark_jobs.kernels.blocks import between64, count_characters, equal64, find_byte, first_one, low_bits, ones
from spark_jobs.kernels.columns import COUNTS, RATIOS, STATISTICS
from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.hashing import hash_bytes, load64, load_few
from spark_jobs.kernels.inlined import inlined
from spark_jobs.kernels.repetition import ngram_shares, repeated_share
from spark_jobs.kernels.scratch import scratch
from spark_jobs.kernels.text_buffers import TextArray, text_buffers
from spark_jobs.kernels.unicode_tables import ALNUM, ALPHA, SPACE, properties
from spark_jobs.kernels.words import decode, find_words

CHARACTERS, WORDS, STOP_WORDS = range(len(COUNTS))
(
    MEAN_WORD_LENGTH,
    SYMBOL_WORD_RATIO,
    BULLET_LINE_RATIO,
    ELLIPSIS_LINE_RATIO,
    NO_ALPHABETIC_WORD_RATIO,
    DUPLICATE_LINE_RATIO,
    DUPLICATE_PARAGRAPH_RATIO,
    DUPLICATE_LINE_CHARACTER_RATIO,
    DUPLICATE_PARAGRAPH_CHARACTER_RATIO,
    TOP_2GRAM,
) = range(10)

_SEED = np.uint64(0)
_NONE, _ONE = np.uint64(0), np.uint64(1)
_NEWLINE, _SPACE, _HASH, _DOT, _ASTERISK, _HYPHEN = (np.uint8(ord(character)) for character in "\n #.*-")
_A, _Z, _a, _z, _0, _9 = (np.uint8(ord(character)) for character in "AZaz09")
_LOWER = np.uint64(0x2020202020202020)
"""The bits that distinguish lower from upper case in ASCII; setting them turns no other character into a letter."""


def _bytes(*words: str) -> np.ndarray:
    return np.array([int.from_bytes(word.encode(), "little") for word in words], np.uint64)


_STOPS = ("the", "be", "to", "of", "and", "that", "have", "with")
# The lower case of a character that is not ASCII never is one of these letters, so ASCII lower-casing is enough.
_STOP_WORDS = _bytes(*_STOPS)
_STOP_WORD_SIZES = np.array([len(word) for word in _STOPS])
_ELLIPSIS_CODE_POINT = ord("…")
_BULLET, _BLACK_CIRCLE, _ELLIPSIS, _THREE_DOTS, _SPACED_DOTS = _bytes("•", "●", "…", "...", ". . .")


def statistics(text: TextArray) -> pa.RecordBatch:
    """Compute the statistics of documents.

    Args:
        text: an Arrow array of strings, sliced or not.

    Returns:
        one row per document with the columns of `columns.STATISTICS`: counts as int64, ratios as float64. All columns
        are null for a null text.
    """
    buffers = text_buffers(text)
    rows = len(buffers)
    counts = np.zeros((len(COUNTS), rows), np.int64)
    ratios = np.full((len(RATIOS), rows), np.nan)
    room = scratch(buffers.longest)
    for data, offsets, first, last in buffers.parts():
        _statistics(data, offsets, first, last, buffers.valid, properties(), room, counts, ratios)
    absent = ~buffers.valid
    columns = {name: pa.array(column, mask=absent) for name, column in zip(COUNTS, counts, strict=True)}
    columns |= {name: pa.array(column, mask=np.isnan(column)) for name, column in zip(RATIOS, ratios, strict=True)}
    return pa.RecordBatch.from_arrays([columns[name] for name in STATISTICS.names], schema=STATISTICS)


@entry
def _statistics(data, offsets, first, last, valid, properties, room, counts, ratios):
    for document in range(first, last):
        if not valid[document]:
            continue
        start, end = offsets[document], offsets[document + 1]
        _split_words(data, start, end, properties, document, counts, ratios)
        lines, paragraphs = _find_lines(data, start, end, properties, room, document, ratios)
        # Without lines, these ratios are null instead of zero.
        if lines:
            share, characters = repeated_share(room.hashes, room.lengths, lines, room)
            ratios[DUPLICATE_LINE_RATIO, document] = share
            ratios[DUPLICATE_LINE_CHARACTER_RATIO, document] = characters
            share, characters = repeated_share(room.grams, room.positions, paragraphs, room)
            ratios[DUPLICATE_PARAGRAPH_RATIO, document] = share
            ratios[DUPLICATE_PARAGRAPH_CHARACTER_RATIO, document] = characters
        if start == end:
            continue
        words = find_words(data, start, end, properties, False, room)
        for word in range(words):
            room.hashes[word] = hash_bytes(data, start + room.starts[word], start + room.stops[word], _SEED)
        ngram_shares(words, room, ratios, TOP_2GRAM, document)


@inlined
def _split_words(data, start, end, properties, document, counts, ratios):
    """Write the numbers of characters and tokens, and the statistics that use the words of `str.split`.

    A word is a run of set bits in `solid`. If a word contains letters, adding their bits to the run carries into the
    gap after it, whatever the number of letters. The carries count the words with letters, 64 bytes at a time.
    """
    characters = tokens = words = word_characters = alphabetic_words = stop_words = symbols = 0
    in_word = in_token = carried = np.uint64(0)
    dots = (np.int64(-1), 0, 0)
    position = start
    while position < end:
        size = _whole_characters(data, position, end)
        inside = low_bits(size)
        top = np.uint64(size - 1)
        spaces, separators, letters, alphanumeric, signs = _kinds(data, position, end, inside, properties)
        begun = inside & ~between64(data, position, np.uint8(0x80), np.uint8(0xBF))
        characters += ones(begun)
        solid = inside & ~spaces
        word_characters += ones(begun & solid)
        firsts = solid & ~(solid << _ONE | in_word)
        in_word = (solid >> top) & _ONE
        words += ones(firsts)
        stop_words += _count_stop_words(data, position, end, properties, firsts, solid)
        with_letters = solid + (letters & solid)
        overflow = np.uint64(with_letters < solid)
        with_letters += carried
        overflow |= np.uint64(with_letters < carried)
        alphabetic_words += ones(with_letters & ~solid & inside)
        carried = overflow if size == 64 else (with_letters >> np.uint64(size)) & _ONE
        token = inside & ~separators
        tokens += ones(token & ~(token << _ONE | in_token) & alphanumeric)
        in_token = (token >> top) & _ONE
        ellipses, dots = _count_dots(data, position, equal64(data, position, _DOT) & inside, dots)
        symbols += signs + ellipses
        position += size
    counts[CHARACTERS, document] = characters
    counts[WORDS, document] = tokens
    counts[STOP_WORDS, document] = stop_words
    if words:
        ratios[MEAN_WORD_LENGTH, document] = word_characters / words
        ratios[SYMBOL_WORD_RATIO, document] = symbols / words
        ratios[NO_ALPHABETIC_WORD_RATIO, document] = (words - alphabetic_words - np.int64(carried)) / words


@inner
def _whole_characters(data, position, end):
    """The number of the next bytes, at most 64, that form whole characters."""
    if end - position <= 64:
        return end - position
    size = 64
    while size > 61 and (data[position + size] & 0xC0) == 0x80:
        size -= 1
    return size


@inlined
def _kinds(data, position, end, inside, properties):
    """Classify 64 bytes; every byte of a character has the character's class.

    Returns:
        masks of white space, of fastText's separators, of letters, and of letters and digits; and the number of hash
        signs and U+2026.
    """
    controls = between64(data, position, np.uint8(0x09), np.uint8(0x0D)) | equal64(data, position, _SPACE)
    spaces = controls | between64(data, position, np.uint8(0x1C), np.uint8(0x1F))
    separators = controls | equal64(data, position, np.uint8(0))
    letters = between64(data, position, _A, _Z) | between64(data, position, _a, _z)
    alphanumeric = letters | between64(data, position, _0, _9)
    signs = ones(equal64(data, position, _HASH) & inside)
    foreign = between64(data, position, np.uint8(0xC2), np.uint8(0xF4)) & inside
    while foreign:
        bit = first_one(foreign)
        code_point, size = decode(data, position + bit, end)
        kind = properties[code_point]
        bits = low_bits(size) << np.uint64(bit)
        spaces |= bits if kind & SPACE else _NONE
        letters |= bits if kind & ALPHA else _NONE
        alphanumeric |= bits if kind & ALNUM else _NONE
        signs += code_point == _ELLIPSIS_CODE_POINT
        foreign &= foreign - _ONE
    return spaces, separators, letters, alphanumeric, signs


@inner
def _count_dots(data, position, dotted, state):
    """Count `...` and `. . .` as `str.count` does: from the left, without overlaps between equal ones.

    The state is passed from block to block: the position of the last dot, the number of dots up to it without a gap,
    and the number of dots up to it that are separated by single spaces.

    Returns:
        the number of occurrences, and the new state.
    """
    last, close, spaced = state
    count = 0
    while dotted:
        dot = position + first_one(dotted)
        close = close % 3 + 1 if dot == last + 1 else 1
        spaced = spaced % 3 + 1 if dot == last + 2 and data[dot - 1] == _SPACE else 1
        count += (close == 3) + (spaced == 3)
        last = dot
        dotted &= dotted - _ONE
    return count, (last, close, spaced)


@inlined
def _count_stop_words(data, position, end, properties, firsts, solid):
    """The number of stop words among the words that begin at the bits of `firsts`."""
    found = 0
    two = np.uint64(2)
    # A word that continues after the block remains a candidate.
    longer = (solid >> two) & (solid >> np.uint64(3)) & (solid >> np.uint64(4))
    candidates = firsts & ~longer
    while candidates:
        word = position + first_one(candidates)
        candidates &= candidates - _ONE
        letters = load64(data, word) | _LOWER
        for i in range(len(_STOP_WORDS)):
            size = _STOP_WORD_SIZES[i]
            if letters & low_bits(8 * size) == _STOP_WORDS[i]:
                behind = word + size
                if behind == end:
                    found += 1
                elif behind < end:
                    code_point, _ = decode(data, behind, end)
                    found += (properties[code_point] & SPACE) != 0
    return found


@inner
def _strip(data, start, end, properties):
    """The start and end of `data[start:end]` without the white space that `str.strip` removes."""
    while start < end:
        code_point, size = decode(data, start, end)
        if not properties[code_point] & SPACE:
            break
        start += size
    while start < end:
        last = end - 1
        while last > start and (data[last] & 0xC0) == 0x80:
            last -= 1
        code_point, _ = decode(data, last, end)
        if not properties[code_point] & SPACE:
            break
        end = last
    return start, end


@inner
def _starts_with_bullet(data, start, stop):
    if data[start] == _ASTERISK or data[start] == _HYPHEN:
        return True
    first = load_few(data, start, min(stop - start, 3))
    return first in (_BULLET, _BLACK_CIRCLE)


@inner
def _ends_with_ellipsis(data, start, stop):
    if stop - start < 3:
        return False
    last = load_few(data, stop - 3, 3)
    if last in (_ELLIPSIS, _THREE_DOTS):
        return True
    return stop - start >= 5 and load_few(data, stop - 5, 5) == _SPACED_DOTS


@inlined
def _find_lines(data, start, end, properties, room, document, ratios):
    """Find the lines and paragraphs that are not empty when stripped, and write the ratios of bullets and ellipses.

    Paragraphs are separated by two newlines with nothing between them. A stripped paragraph extends from the first to
    the last of its lines that are not empty when stripped.

    Returns:
        the number of lines, whose hashes and characters are in `room.hashes` and `room.lengths`; and the number of
        paragraphs, whose hashes and characters are in `room.grams` and `room.positions`.
    """
    lines = paragraphs = bullets = ellipses = 0
    paragraph_first = paragraph_last = np.int64(-1)
    position = start
    while position <= end:
        stop = find_byte(data, position, end, _NEWLINE)
        first, last = _strip(data, position, stop, properties)
        if first < last:
            room.hashes[lines] = hash_bytes(data, first, last, _SEED)
            room.lengths[lines] = count_characters(data, first, last)
            bullets += _starts_with_bullet(data, first, last)
            ellipses += _ends_with_ellipsis(data, first, last)
            lines += 1
            if paragraph_first < 0:
                paragraph_first = first
            paragraph_last = last
        if stop in (position, end) and paragraph_first >= 0:
            room.grams[paragraphs] = hash_bytes(data, paragraph_first, paragraph_last, _SEED)
            room.positions[paragraphs] = count_characters(data, paragraph_first, paragraph_last)
            paragraphs += 1
            paragraph_first = np.int64(-1)
        position = stop + 1
    # DCLM tests whether a count exceeds a share of the lines. Without lines it does not, so the ratio is zero.
    ratios[BULLET_LINE_RATIO, document] = bullets / max(lines, 1)
    ratios[ELLIPSIS_LINE_RATIO, document] = ellipses / max(lines, 1)
    return lines, paragraphs
