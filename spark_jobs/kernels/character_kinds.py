"""Classes of each code point by `str` methods and regular expressions, in a flat table for kernels that edit lines.

The classes are `str.isspace` (the same as `\\s`), `\\w` (`str.isalnum` and the underscore), `\\d` (`str.isdecimal`),
`str.isdigit` and `str.isupper` of the running Python, as in `unicode_tables`.
"""

from __future__ import annotations

import functools
import sys

import numpy as np

from spark_jobs.kernels.unicode_tables import characters_with_letters

SPACE = 0x01
WORD = 0x02
"""`\\w` of a regular expression."""
DECIMAL = 0x04
"""`\\d` of a regular expression."""
DIGIT = 0x08
"""`str.isdigit`: decimals and other digits, such as a superscript two."""
UPPER = 0x10


@functools.cache
def kinds() -> np.ndarray:
    """uint8, one value per code point: its SPACE, WORD, DECIMAL, DIGIT and UPPER bits."""
    table = np.zeros(sys.maxunicode + 1, np.uint8)
    characters = characters_with_letters()
    for bit, holds in (
        (SPACE, np.strings.isspace),
        (WORD, np.strings.isalnum),
        (DECIMAL, np.strings.isdecimal),
        (DIGIT, np.strings.isdigit),
        (UPPER, np.strings.isupper),
    ):
        table[: len(characters)][holds(characters)] |= bit
    table[ord("_")] |= WORD
    table.flags.writeable = False
    return table
