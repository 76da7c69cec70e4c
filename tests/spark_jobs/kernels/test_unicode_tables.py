"""Tables agree with the running Python on every code point, and with Unicode 6.2 on word bounds."""

from __future__ import annotations

import re
import sys
from collections import Counter

import numpy as np

from spark_jobs.kernels import character_kinds
from spark_jobs.kernels.unicode_tables import (
    ALNUM,
    ALPHA,
    FASTTEXT_SEPARATOR,
    SPACE,
    WORD_BREAK_CLASSES,
    lower_case,
    properties,
    word_break_classes,
)

EVERYTHING = [chr(code_point) for code_point in range(sys.maxunicode + 1)]


def test_properties_are_those_of_str_for_every_code_point() -> None:
    table = properties()
    for bit, method in ((SPACE, str.isspace), (ALPHA, str.isalpha), (ALNUM, str.isalnum)):
        assert np.array_equal((table & bit) != 0, np.fromiter(map(method, EVERYTHING), bool)), method


def test_kinds_are_those_of_str_and_re_for_every_code_point() -> None:
    table = character_kinds.kinds()
    for bit, method in (
        (character_kinds.SPACE, str.isspace),
        (character_kinds.DECIMAL, str.isdecimal),
        (character_kinds.DIGIT, str.isdigit),
        (character_kinds.UPPER, str.isupper),
        (character_kinds.WORD, lambda character: re.fullmatch(r"\w", character) is not None),
    ):
        assert np.array_equal((table & bit) != 0, np.fromiter(map(method, EVERYTHING), bool)), bit


def test_white_space_is_what_split_cuts_at() -> None:
    spaces = {character for character in EVERYTHING if not character.split()}
    assert spaces == {EVERYTHING[i] for i in np.flatnonzero(properties() & SPACE)}


def test_fasttext_cuts_at_ascii_white_space_and_nul() -> None:
    assert "".join(map(chr, np.flatnonzero(properties() & FASTTEXT_SEPARATOR))) == "\0\t\n\v\f\r "


def test_lower_case_is_that_of_str_where_it_is_one_character() -> None:
    table = lower_case()
    for code_point, character in enumerate(EVERYTHING):
        lower = character.lower()
        assert table[code_point] == (ord(lower) if len(lower) == 1 else code_point), hex(code_point)


def test_word_break_classes_are_those_of_unicode_6_2() -> None:
    table = word_break_classes()
    sizes = Counter(WORD_BREAK_CLASSES[number] for number in table)
    # Totals at the foot of each block of WordBreakProperty-6.2.0.txt.
    assert sizes["ALetter"] == 24941
    assert sizes["Extend"] == 1649
    assert sizes["Katakana"] == 310
    assert sizes["Numeric"] == 451
    assert sizes["Format"] == 136
    assert sizes["Regional_Indicator"] == 26
    examples = {"a": "ALetter", "א": "ALetter", "中": "Other", "あ": "Other", "ア": "Katakana", "'": "MidNumLet"}
    examples |= {"’": "MidNumLet", ":": "MidLetter", ",": "MidNum", "_": "ExtendNumLet", "\u0301": "Extend"}
    assert {character: WORD_BREAK_CLASSES[table[ord(character)]] for character in examples} == examples
