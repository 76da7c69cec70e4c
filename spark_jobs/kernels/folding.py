"""Texts as they are compared with evaluations: Unicode's compatibility forms, composition and apostrophes are folded.

Two texts whose NFKC forms are equal have equal words. Every apostrophe is `'`, and invisible format characters, such as
the soft hyphen, do not count. Trademark signs stay symbols, because NFKC would join their letters to the word before.

Nearly all foldings replace one character by one, and are in the tables that find and hash words. Texts with any other
character that is affected (ligatures, combining marks, format characters) are rewritten first.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import functools
import re
import unicodedata

import numpy as np
import pyarrow as pa

from spark_jobs.compute import pc
from spark_jobs.kernels.compiled import entry
from spark_jobs.kernels.hashing import load64
from spark_jobs.kernels.text_buffers import TextArray, text_buffers
from spark_jobs.kernels.unicode_tables import ALNUM, CLASS, WORD_BREAK_CLASSES, lower_case, properties
from spark_jobs.kernels.words import decode

APOSTROPHES = "\u2018\u2019\u201b\u2032\u02bb\u02bc\u00b4\uff07"
"""Characters that are compared as `'`: quotation marks, primes, modifier letters, and the acute accent."""
SYMBOLS = "\u2120\u2122"
"""Service mark and trademark."""

_IGNORED = re.compile("[\u00ad\u034f\u061c\u180b-\u180e\u200c-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]+")
_WORDLIKE = ALNUM | CLASS
_HIGH_BITS = np.uint64(0x8080808080808080)
_ZERO = np.uint64(0)


@functools.cache
def folded_case() -> np.ndarray:
    """int32, the folded lower case of each code point that one code point replaces; otherwise its lower case."""
    return _tables()[0]


@functools.cache
def folded_properties() -> np.ndarray:
    """uint8, `properties`, in which every apostrophe is in the class of `'`."""
    table = properties().copy()
    for character in APOSTROPHES:
        table[ord(character)] = WORD_BREAK_CLASSES.index("MidNumLet")
    table.flags.writeable = False
    return table


def folded(text: TextArray) -> TextArray:
    """The texts, of which those that the tables cannot fold are rewritten; the array itself if there are none."""
    buffers = text_buffers(text)
    marked = np.zeros(len(buffers), np.bool_)
    for data, offsets, first, last in buffers.parts():
        _mark(data, offsets, first, last, buffers.valid, _tables()[1], marked)
    if not marked.any():
        return text
    rewritten = [_fold(text[row].as_py()) for row in np.flatnonzero(marked).tolist()]
    return pc.replace_with_mask(text.cast(pa.large_string()), marked, pa.array(rewritten, pa.large_string()))


def _fold(text: str) -> str:
    # A line is folded on its own, because nothing composes with a line feed.
    return "\n".join(line if line.isascii() else _fold_line(line) for line in text.split("\n"))


def _fold_line(text: str) -> str:
    pieces = re.split(f"([{SYMBOLS}])", _IGNORED.sub("", text).replace("\u00b4", "'"))
    return "".join(each if each in SYMBOLS else unicodedata.normalize("NFKC", each) for each in pieces if each)


@functools.cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """The table of `folded_case`, and bool for each code point: a text that has it is rewritten."""
    lower, classes = lower_case(), folded_properties()
    case = lower.copy()
    rewritten = np.zeros(len(lower), np.bool_)
    for code_point in range(0x80, 4 << 16):
        if 0xD800 <= code_point < 0xE000:
            continue
        character = chr(code_point)
        if unicodedata.combining(character) or _IGNORED.match(character):
            rewritten[code_point] = True
            continue
        form = unicodedata.normalize("NFKC", character)
        if form == character or character in SYMBOLS:
            continue
        if len(form) == 1 and (classes[ord(form)] ^ classes[code_point]) & _WORDLIKE == 0:
            case[code_point] = lower[ord(form)]
        else:
            rewritten[code_point] = any(classes[ord(each)] & ALNUM for each in (character, *form))
    for character in APOSTROPHES:
        case[ord(character)] = ord("'")
        rewritten[ord(character)] = False
    rewritten[_second_halves()] = True
    for table in (case, rewritten):
        table.flags.writeable = False
    return case, rewritten


def _second_halves() -> list[int]:
    """Code points that may compose with the one before them."""
    found = {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}
    for code_point in range(0x80, 4 << 16):
        parts = unicodedata.decomposition(chr(code_point)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            found.add(int(parts[1], 16))
    return sorted(found)


@entry
def _mark(data, offsets, first, last, valid, rewritten, marked):
    for document in range(first, last):
        if not valid[document]:
            continue
        position, end = offsets[document], offsets[document + 1]
        while position < end:
            # Blocks of eight ASCII bytes are skipped. Bytes behind the end may belong to the next document.
            if load64(data, position) & _HIGH_BITS == _ZERO:
                position += 8
                continue
            if data[position] < 0x80:
                position += 1
                continue
            code_point, size = decode(data, position, end)
            if rewritten[code_point]:
                marked[document] = True
                break
            position += size
