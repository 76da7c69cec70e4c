"""Properties of each code point, as Python and Unicode define them, in flat tables for kernels.

`str.isspace`, `isalpha`, `isalnum` and `lower` are those of the running Python, and so is their version of Unicode
(Python 3.11: 14.0, 3.12: 15.0). Versions may differ only in newly assigned characters. Word boundaries are always those
of Unicode 6.2, which DCLM's uniseg 0.7.2 implements.
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
"""Mask of the bits that hold the number of a code point's Word_Break class."""
SPACE = 0x10
"""`str.isspace`: white space, by which `str.split` splits and which `str.strip` removes."""
ALPHA = 0x20
"""`str.isalpha`."""
ALNUM = 0x40
"""`str.isalnum`."""
FASTTEXT_SEPARATOR = 0x80
"""Separators of fastText's tokens (dictionary.cc, readWord): six kinds of ASCII white space, and NUL."""

_PLANES_WITH_LETTERS = 4
"""Number of planes that may contain letters, digits or white space; none of the later ones does."""


@functools.cache
def properties() -> np.ndarray:
    """uint8, one value per code point: its Word_Break class and its SPACE, ALPHA, ALNUM and FASTTEXT_SEPARATOR bits."""
    table = word_break_classes()
    characters = characters_with_letters()
    for bit, holds in ((SPACE, np.strings.isspace), (ALPHA, np.strings.isalpha), (ALNUM, np.strings.isalnum)):
        table[: len(characters)][holds(characters)] |= bit
    for character in " \n\r\t\v\f\0":
        table[ord(character)] |= FASTTEXT_SEPARATOR
    table.flags.writeable = False
    return table


@functools.cache
def lower_case() -> np.ndarray:
    """int32, the lower case of each code point; the code point itself unless `str.lower` returns one character."""
    table = np.arange(sys.maxunicode + 1, dtype=np.int32)
    characters = characters_with_letters()
    # Only these change in lower case; the tests compare all code points with `str.lower`.
    for code_point in np.flatnonzero(np.strings.isupper(characters) | np.strings.istitle(characters)).tolist():
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


def characters_with_letters() -> np.ndarray:
    """Every code point that may be a letter, a digit or white space, in order, as strings of one character.

    numpy's string functions call the running Python's Unicode functions in C. The results are those of `str`, thirty
    times as fast as a Python loop.
    """
    return np.arange(_PLANES_WITH_LETTERS << 16, dtype=np.uint32).view("<U1")
