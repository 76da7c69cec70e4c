"""What spaCy's rules for English say of characters and of single strings, as tables for `english_words`.

spaCy's tokenizer is rules alone (explosion/spaCy 3.8.18, spacy/lang/char_classes.py, punctuation.py,
en/punctuation.py and both tokenizer_exceptions.py): classes of characters that may be cut off before and behind a
word or within it, and strings that are cut in a way of their own. Classes are put here in terms of Unicode's, strings
in terms of what they are made of: contractions, times of day, abbreviations, emoticons.
"""

from __future__ import annotations

import functools
import itertools
import string
import sys
import unicodedata
from typing import NamedTuple

import numpy as np

from spark_jobs.kernels.unicode_tables import SPACE as _UNICODE_SPACE
from spark_jobs.kernels.unicode_tables import properties

SPACE = 1
"""`str.isspace`."""
LETTER = 2
"""`str.isalpha`."""
CASED_ALPHA = 4
"""A letter of the scripts that spaCy knows. With LOWER or UPPER, or both where the script has no cases."""
LOWER = 8
UPPER = 16
PREFIX = 32
"""Cut off before a word."""
SUFFIX = 64
"""Cut off behind a word."""
BEFORE_PERIOD = 128
"""A period behind it is cut off the end of a word."""
QUOTE = 256
ICON = 512
"""A symbol (So), which stands alone wherever it is."""
CURRENCY = 1024
"""Cut off before a word, and behind a digit."""
HOST = 2048
"""Of the labels of a host name: 0-9, A-Z, a-z, and U+00A1 to U+FFFF."""
SYMBOL = 4096
"""datatrove's PUNCTUATION_SET: a word of nothing else is no word to Gopher's rules."""
SENTENCE_END = 8192
"""Punctuation that ends a sentence to spaCy's sentencizer."""
PUNCTUATION = 16384
"""Of a category P."""
TERMINAL = 32768
"""datatrove's TERMINAL_PUNCTUATION, which ends a line to FineWeb's rules."""

_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉\u2329\u232a⟦⟧"
_PUNCTUATION = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_CURRENCIES = "$£€¥฿₽﷼₴" + "".join(map(chr, range(0x20A0, 0x20C0)))

# Letters that spaCy gives a case: the Latin, Greek and Cyrillic ones of these spans, by their category (Ll, Lu), ...
_LATIN = "41-5A 61-7A C0-1BF 1C4-24F 250-2AF 1D00-1D25 1D6B-1D77 1D79-1D9A 1E00-1EFF 2C60-2C7F A722-A78E A790-A7B9 A7FA"
_CASED = f"{_LATIN} AB30-AB64 FF21-FF3A FF41-FF5A 386-38F 391-3A9 3AC-3AF 3B1-3C9 3CC-3CE 400-401 403-40A 40C-40D"
_CASED += " 410-451 453-45A 45C-45D 490-491 496-497 4A2-4A3 4AE-4AF 4BA-4BB 4D8-4D9 4E8-4E9"
# ... and scripts without cases, whole blocks of them, signs and digits included.
_UNCASED = "591-5F4 620-64A 66E-6D5 6E5-6FF 750-77F 8A0-8BD 900-9FF B80-CFF D80-DFF 1100-137F 2E80-2FDF 2FF0-30FF"
_UNCASED += " 31C0-31EF 3200-4DBF 4E00-9FFF AC00-D7AF F900-FAFF FB1D-FBB1 FBD3-FD3D FD50-FDC7 FDF0-FDFB FE30-FE4F"
_UNCASED += " FE70-FEFC 1EE00-1EEBB 1F200-1F2FF 20000-2A6DF 2A700-2EBEF 2F800-2FA1F"
# Symbols that Unicode took up after version 11, to which spaCy's list goes.
_LATER_SYMBOLS = "166D 2B97 2BC9 2BFF 2E50-2E51 32FF FD40-FD4F FDCF FDFE-FDFF 1019C 11FD5-11FF1 1CF50-1CFC3"
_LATER_SYMBOLS += " 1D1E9-1D1EA 1E14F 1ED2E 1F10D-1F10F 1F16C-1F16F 1F1AD 1F6D5-1F6DF 1F6FA-1F6FC 1F7E0-1F7F0"
_LATER_SYMBOLS += " 1F8B0-1F8B1 1F90C-1F90F 1F93F 1F971-1F972 1F977-1F979 1F97B 1F9A3-1F9AF 1F9BA-1F9BF 1F9C3-1F9CF"
_LATER_SYMBOLS += " 1FA00-1FA53 1FA70-1FBCA"
# Of property Sentence_Terminal, as spaCy's sentencizer has them, and what datatrove has beside.
_SENTENCE_ENDS = "21 2E 3F 589 61F 6D4 700-702 7F9 964-965 104A-104B 1362 1367-1368 166E 1735-1736 1803 1809"
_SENTENCE_ENDS += " 1944-1945 1AA8-1AAB 1B5A-1B5B 1B5E-1B5F 1C3B-1C3C 1C7E-1C7F 203C-203D 2047-2049 2E2E 2E3C 3002 A4FF"
_SENTENCE_ENDS += " A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE52 FE56-FE57 FF01"
_SENTENCE_ENDS += " FF0E FF1F FF61 10A56-10A57 11047-11048 110BE-110C1 11141-11143 111C5-111C6 111CD 111DE-111DF"
_SENTENCE_ENDS += " 11238-11239 1123B-1123C 112A9 1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 1173C-1173E"
_SENTENCE_ENDS += " 11A42-11A43 11A9B-11A9C 11C41-11C42 16A6E-16A6F 16AF5 16B37-16B38 16B44 1BC9F 1DA88"
_LINE_ENDS = "61D-61E 837 839 83D-83E 17D4-17D6 17D9-17DA 1B7D-1B7E 2E53-2E54 10F55-10F59 10F86-10F89 11944 11946"
_LINE_ENDS += " 11EF7-11EF8 11F43-11F44 16E98"
_SYMBOLS = "0-8 B-1F 7F-9F AB B4 BB 2013-2014 2019 201C-201E 2026 2236 2501 25BA 3001-3002 3008-300D 3010-3011 FF01"
_SYMBOLS += " FF05 FF08-FF09 FF0C FF0E FF11 FF1A-FF1B FF1F FF5E"


def _code_points(spans: str) -> list[int]:
    edges = [[int(edge, 16) for edge in span.split("-")] for span in spans.split()]
    return [code_point for edge in edges for code_point in range(edge[0], edge[-1] + 1)]


@functools.cache
def character_classes() -> np.ndarray:
    """uint16, the bits of each code point."""
    table = np.zeros(sys.maxunicode + 1, np.uint16)
    table[(properties() & _UNICODE_SPACE) != 0] |= SPACE
    by_category = {"Ll": CASED_ALPHA | LOWER, "Lt": CASED_ALPHA, "Lo": CASED_ALPHA, "Lu": CASED_ALPHA | UPPER}
    for code_point in _code_points(_CASED):
        # U+0294 and the title cases are letters without a case to spaCy, but U+0294 it has among the small ones.
        table[code_point] |= by_category.get(unicodedata.category(chr(code_point)), 0)
    table[0x294] |= LOWER
    table[_code_points(_UNCASED)] |= CASED_ALPHA | LOWER | UPPER
    for code_point in range(sys.maxunicode + 1):
        character = chr(code_point)
        category = unicodedata.category(character)
        if category == "So":
            table[code_point] |= ICON | PREFIX | SUFFIX
        elif category[0] == "P":
            table[code_point] |= PUNCTUATION
        elif category[0] == "L":
            table[code_point] |= LETTER
    table[_code_points(_LATER_SYMBOLS)] &= 0xFFFF ^ (ICON | PREFIX | SUFFIX)
    table[[*range(0x30, 0x3A), *range(0x41, 0x5B), *range(0x61, 0x7B), *range(0xA1, 0x10000)]] |= HOST
    table[_code_points(_SENTENCE_ENDS)] |= SENTENCE_END | TERMINAL | SYMBOL
    table[_code_points(_LINE_ENDS)] |= TERMINAL | SYMBOL
    table[[*map(ord, string.punctuation), *_code_points(_SYMBOLS)]] |= SYMBOL
    table[_ords(_QUOTES)] |= QUOTE
    table[_ords(_QUOTES + _PUNCTUATION + "—–")] |= PREFIX | SUFFIX
    table[_ords(_CURRENCIES)] |= CURRENCY | PREFIX
    table[_ords("§%=")] |= PREFIX
    table[_ords(_QUOTES + _PUNCTUATION + string.digits + "%²-+|")] |= BEFORE_PERIOD
    table[(table & LOWER) != 0] |= BEFORE_PERIOD
    table.flags.writeable = False
    return table


def _ords(characters: str) -> list[int]:
    return [ord(character) for character in characters]


class StringTable(NamedTuple):
    """Strings and their pieces, as a hash table with a sieve before it."""

    keys: np.ndarray
    """uint64, hash of the string; its place is its lowest bits, or the next that are free."""
    pieces: np.ndarray
    """uint32, bytes of each piece, the first in the lowest eight bits; 0 in an empty place."""
    first: np.ndarray
    """uint64, a value per byte: which sizes in bytes strings have that begin with it."""
    sieve: np.ndarray
    """uint64, bits by size and first eight bytes: hardly any other string has one of theirs."""


class Exceptions(NamedTuple):
    """Strings that are cut in a way of their own."""

    alone: StringTable
    """Whatever stands alone, once affixes are cut off."""
    joined: StringTable
    """Neighbours that make it up."""


def exception_pieces() -> dict[str, tuple[str, ...]]:
    """All strings that are cut in a way of their own, and the pieces."""
    found: dict[str, tuple[str, ...]] = {}
    for pieces in itertools.chain(_contractions(), _times()):
        found["".join(pieces)] = pieces
    for title in ("Ill", "Its", "Hell", "Shell", "Shed", "Were", "Well", "Whore"):
        found.pop(title, None)
        found.pop(title.lower(), None)
    for text in (*_UNCUT.split(), *_abbreviations(), *_emoticons()):
        found[text] = (text,)
    found |= {f"°{unit}.": ("°", unit, ".") for unit in "cfkCFK"}
    curly = {text: pieces for text, pieces in found.items() if "'" in text}
    return found | {text.replace("'", "’"): tuple(p.replace("'", "’") for p in curly[text]) for text in curly}


def _contractions() -> list[tuple[str, ...]]:
    """Pronouns, question words and verbs with what is drawn to them, with the apostrophe and without."""
    wh = "who what when where why how there that this"
    words = {
        "m": "i", "ma": "i",
        "ll": f"i you he she it we they {wh} these those",
        "d": f"i you he she it we they {wh} these those",
        "ve": "i you we they who what when where why how there these those could might must should would",
        "re": "you we they who what when where why how there these those",
        "s": f"he she it {wh}",
        "nt": "ca could do does did had may might must need ought sha should wo would ai are is was were have has dare",
    }  # fmt: skip
    with_have = {"ll": words["ll"], "d": words["d"], "nt": words["nt"].split(" ai ")[0]}
    found: list[tuple[str, ...]] = []
    for ending, before in words.items():
        marked = {"nt": ("n't",), "ma": ("'m", "a")}.get(ending, (f"'{ending}",))
        bare = {"ma": ("m", "a")}.get(ending, (ending,))
        for word, tail in itertools.product(_both_cases(before), (marked, bare)):
            found.append((word, *tail))
            if word.lower() in with_have.get(ending, "").split():
                found.append((word, *tail, "'ve" if tail is marked else "ve"))
    found += [(word, tail) for word in ("not", "Not") for tail in ("'ve", "ve")]
    found += [(word, tail) for word in ("can", "Can") for tail in ("not",)]
    pairs = "gon na, Gon na, got ta, Got ta, let 's, Let 's, c'm on, C'm on, y' all, y all, how 'd 'y, How 'd 'y"
    return found + [tuple(pair.split()) for pair in pairs.split(", ")]


def _both_cases(words: str) -> list[str]:
    return [spelling for word in words.split() for spelling in (word, word.title())]


def _times() -> list[tuple[str, str]]:
    return [(str(hour), period) for hour in range(1, 13) for period in ("a.m.", "am", "p.m.", "pm")]


_UNCUT = r"""
' '' \") \t \n — <space> C++ and/or w/o 'S 's ‘S ‘s 're 'd 'em 'll 'nuff 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz
'bout ma'am Ma'am o'clock O'clock lovin' Lovin' havin' Havin' doin' Doin' goin' Goin' nothin' Nothin' nuthin' Nuthin'
ol' Ol' somethin' Somethin'
"""


def _abbreviations() -> list[str]:
    """Months, states of the USA by their old abbreviations, titles and the like, and single letters."""
    months = "Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec"
    states = "Ak Ala Ariz Ark Calif Colo Conn Del Fla Ga Ia Id Ill Ind Kan Kans Ky La Mass Md Mich Minn Miss Mo Mont"
    states += " N.C N.D N.H N.J N.M N.Y Neb Nebr Nev Okla Ore Pa S.C Tenn Va Wash Wis D.C"
    titles = "Adm Dr Gen Gov Jr Messrs Mr Mrs Ms Ph.D Prof Rep Rev Sen"
    others = "Mt St Bros co Co Corp Inc Ltd a.m p.m e.g E.g E.G i.e I.e I.E vs v.s"
    letters = " ".join(string.ascii_lowercase) + " ä ö ü"
    return [f"{word}." for group in (months, states, titles, others, letters) for word in group.split()]


def _emoticons() -> list[str]:
    """Eyes with or without a nose and a mouth, from left to right and from right to left, and faces by name."""
    found = [f":{nose}{mouth}" for nose in ("", "-") for mouth in (*"])/(|*30xXpPoOD>}", "))", ")))", "((", "(((")]
    found += [f"{mouth}{nose}:" for nose in ("", "-") for mouth in "[()"]
    found += ":1 :o) (o: :'( :') :'-( :'-) :() 8) 8-) (-8 ;) ;-) (; (-; ;D ;-D =) (= =] [= ]= =[ =D =( =/ =3 =|".split()
    found += ">:( >:o xD XD xDD XDD 8D 8-D ^_^ ^__^ ^___^ >.< >.> <.< ._. ;_; -_- -__- v.v V.V v_v V_V @_@".split()
    found += "o_o o_O O_o O_O 0_o o_0 0_0 o.o o.O O.o O.O 0.o o.0 0.0".split()
    found += "<3 <33 <333 </3 ><(((*> ¯\\(ツ)/¯ (╯°□°）╯︵┻━┻ ಠ_ಠ ಠ︵ಠ (ಠ_ಠ) (¬_¬)".split()
    return found + [f"({face})" for face in ("^_^", "-_-", "._.", ">_<", "*_*")]
