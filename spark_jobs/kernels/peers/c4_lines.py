"""Removal of lines and citations as in datatrove's C4 filter (huggingface/datatrove 0.10.1, filters/c4_filters.py).

Lines are those of `str.splitlines`, stripped. A line is removed if one of its words (`str.split`) has too many
characters or if it has too few words. Citations (`[1]`, `[]`, `[edit]`, `[citation needed]`) are then removed from the
line. What is left is removed if it does not end in `.`, `?`, `!`, `"` or `'`, or if it ends in `...`. White space
before a citation remains, so `This. [1]` does not end in a period.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import numpy as np
import pyarrow as pa

from spark_jobs.kernels.blocks import find_byte
from spark_jobs.kernels.character_kinds import DECIMAL, kinds
from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.copying import copy_few
from spark_jobs.kernels.english_tables import SPACE, character_classes
from spark_jobs.kernels.hashing import load64, load_few
from spark_jobs.kernels.line_breaks import find_line_break, strip
from spark_jobs.kernels.text_buffers import text_buffers
from spark_jobs.kernels.words import decode

_NEWLINE, _OPENING, _CLOSING, _DOT = (np.uint8(ord(character)) for character in "\n[].")
_EDIT, _CITATION, _NEEDED = (np.uint64(int.from_bytes(text, "little")) for text in (b"edit]", b"citation", b" needed]"))


def c4_lines(
    text: pa.Array, *, max_word_length: int, citations: bool, terminal_punctuation: bool, min_words: int
) -> pa.Array:
    """Rewrite documents. The remaining lines are joined by newlines, and the result is stripped.

    Args:
        text: documents.
        max_word_length: greatest number of characters of a word; -1 for no limit.
        citations: remove citations.
        terminal_punctuation: remove lines that do not end a sentence.
        min_words: smallest number of words of a line; -1 for no limit.
    """
    buffers = text_buffers(text)
    begin, end = int(buffers.offsets[0]), int(buffers.offsets[-1])
    # No line becomes longer, and each line break is replaced by a newline. Copies overrun by a few bytes.
    out = np.empty(end - begin + 64, np.uint8)
    behind = np.zeros(len(buffers) + 1, np.int64)
    longest = max_word_length if max_word_length >= 0 else np.iinfo(np.int64).max
    for data, offsets, first, last in buffers.parts():
        tables = character_classes(), kinds()
        options = longest, citations, terminal_punctuation, min_words
        _rewrite(data, offsets, first, last, buffers.valid, *tables, *options, out, behind)
    bitmap = pa.array(buffers.valid).buffers()[1] if text.null_count else None
    content = [bitmap, pa.py_buffer(behind), pa.py_buffer(out)]
    return pa.Array.from_buffers(pa.large_string(), len(text), content).cast(text.type)


@entry
def _rewrite(data, offsets, first, last, valid, classes, kinds, longest, citations, terminal, min_words, out, behind):
    for document in range(first, last):
        begin = position = behind[document]
        end = offsets[document + 1] if valid[document] else offsets[document]
        line = offsets[document]
        while line < end:
            stop, following = find_line_break(data, line, end)
            left, right = strip(data, line, stop, classes)
            if _has_words(data, left, right, classes, longest, min_words):
                written = _copy_line(data, left, right, kinds, citations, out, position)
                if not terminal or _ends_sentence(out, position, written):
                    out[written] = _NEWLINE
                    position = written + 1
            line = following
        left, right = strip(out, begin, position, classes)
        if left > begin:
            for i in range(right - left):
                out[begin + i] = out[left + i]
        behind[document + 1] = begin + right - left


@inner
def _has_words(data, left, right, classes, longest, min_words):
    """Whether a line has at least `min_words` words and no word of more than `longest` characters."""
    # A character has at least one byte, so most lines are too short to contain a word that is too long.
    may_be_long = right - left > longest
    words = characters = 0
    position = left
    while position < right and (may_be_long or words < min_words):
        code_point, size = decode(data, position, right)
        if classes[code_point] & SPACE:
            characters = 0
        else:
            words += characters == 0
            characters += 1
            if characters > longest:
                return False
        position += size
    return words >= min_words


@inner
def _copy_line(data, left, right, kinds, citations, out, position):
    """Copy a line, without its citations if `citations`; return the position after the copy."""
    while left < right:
        bracket = find_byte(data, left, right, _OPENING) if citations else right
        behind = bracket
        if bracket < right:
            behind = _behind_citation(data, bracket, right, kinds)
        stop = bracket if behind > bracket else min(bracket + 1, right)
        position = copy_few(data, left, stop, out, position)
        left = max(behind, stop)
    return position


@inner
def _behind_citation(data, bracket, right, kinds):
    """The position after a citation that begins at a bracket; the position of the bracket if none does."""
    first = bracket + 1
    if first + 5 <= right and load_few(data, first, 5) == _EDIT:
        return first + 5
    if first + 16 <= right and load64(data, first) == _CITATION and load64(data, first + 8) == _NEEDED:
        return first + 16
    position = first
    while position < right:
        if data[position] == _CLOSING:
            return position + 1
        code_point, size = decode(data, position, right)
        if not kinds[code_point] & DECIMAL:
            break
        position += size
    return bracket


@inner
def _ends_sentence(out, first, stop):
    if stop == first:
        return False
    last = out[stop - 1]
    if last == _DOT:
        return not (stop - first >= 3 and out[stop - 2] == _DOT and out[stop - 3] == _DOT)
    return last in (0x3F, 0x21, 0x22, 0x27)
