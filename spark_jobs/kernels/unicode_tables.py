"""What Python and Unicode say of each code point, as flat tables for kernels.

`str.isspace`, `isalpha`, `isalnum` and `lower` are those of the running Python, whose Unicode version
moves with it (3.11: 14.0, 3.12: 15.0): they may differ on newly assigned characters only. Word bounds
are of Unicode 6.2, which DCLM's uniseg 0.7.2 implements, and never move.
"""

from __future__ import annotations

import functools
import importlib.resources
import sys

import numpy as np

WORD_BREAK_CLASSES = (
    "Other",
    "CR",
    "LF",
    "Newline",
    "Extend",
    "Format",
    "Regional_Indicator",
    "Katakana",
    "ALetter",
    "MidLetter",
    "MidNum",
    "MidNumLet",
    "Numeric",
    "ExtendNumLet",
)
"""Values of the Word_Break property (UAX #29, Unicode 6.2); the index is the value's number."""

CLASS = 0x0F
"""Bits of a property that hold the number of its Word_Break class."""
SPACE = 0x10
"""`str.isspace`: what `str.split` and `str.strip` take for white space."""
ALPHA = 0x20
"""`str.isalpha`."""
ALNUM = 0x40
"""`str.isalnum`."""
FASTTEXT_SEPARATOR = 0x80
"""What ends a token of fastText (dictionary.cc, readWord): six ASCII spaces and NUL."""

# No character of other planes is a letter, a digit or a space: they are unassigned or private.
_PLANES_WITH_LETTERS = (0, 1, 2, 3)


@functools.cache
def properties() -> np.ndarray:
    """uint8, a value per code point: CLASS, SPACE, ALPHA, ALNUM and FASTTEXT_SEPARATOR bits."""
    table = word_break_classes()
    for code_point in _code_points_with_letters():
        character = chr(code_point)
        if character.isalnum():
            table[code_point] |= ALNUM | (ALPHA if character.isalpha() else 0)
        elif character.isspace():
            table[code_point] |= SPACE
    for character in " \n\r\t\v\f\0":
        table[ord(character)] |= FASTTEXT_SEPARATOR
    table.flags.writeable = False
    return table


@functools.cache
def lower_case() -> np.ndarray:
    """int32, the lower case of each code point; itself where `str.lower` has none or more than one."""
    table = np.arange(sys.maxunicode + 1, dtype=np.int32)
    for code_point in _code_points_with_letters():
        lower = chr(code_point).lower()
        if len(lower) == 1:
            table[code_point] = ord(lower)
    table.flags.writeable = False
    return table


def word_break_classes() -> np.ndarray:
    """uint8, the number of the Word_Break class of each code point."""
    table = np.zeros(sys.maxunicode + 1, np.uint8)
    number = 0
    data = importlib.resources.files("spark_jobs.kernels").joinpath("word_break.txt").read_text("ascii")
    for line in data.splitlines():
        if line.endswith(":"):
            number = WORD_BREAK_CLASSES.index(line[:-1])
        elif not line.startswith("#"):
            for span in line.split():
                first, _, last = span.partition("-")
                table[int(first, 16) : int(last or first, 16) + 1] = number
    return table


def _code_points_with_letters() -> range:
    return range(_PLANES_WITH_LETTERS[0] << 16, (_PLANES_WITH_LETTERS[-1] + 1) << 16)
