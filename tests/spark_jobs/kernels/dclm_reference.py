"""DCLM's statistics written down plainly, with `str` methods and dictionaries: what the kernels must equal."""

from __future__ import annotations

import re
from collections import Counter

from spark_jobs.kernels.unicode_tables import WORD_BREAK_CLASSES, word_break_classes

STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}
BULLETS = ("●", "•", "*", "-")
ELLIPSES = ("...", ". . .", "…")

# One letter a class: Other, CR, LF, Newline, Extend, Format, Regional_Indicator, Katakana, ALetter, MidLetter, MidNum,
# MidNumLet, Numeric, ExtendNumLet. What is extended or formatted does not count (WB4): x.
CLASS_LETTERS = "ornNxxGKAlmbDU"
JOINED_PAIRS = {"AA", "AD", "DA", "DD", "AU", "DU", "KU", "UU", "UA", "UD", "UK", "KK", "GG"}
BRIDGES = {("A", "l", "A"), ("A", "b", "A"), ("D", "m", "D"), ("D", "b", "D")}

_CLASSES = word_break_classes()
assert len(CLASS_LETTERS) == len(WORD_BREAK_CLASSES)


def segments(text: str) -> list[str]:
    """Everything between Unicode word bounds, by the rules WB1 to WB14 of UAX #29 in Unicode 6.2."""
    units: list[tuple[str, str]] = []
    for character in text:
        kind = CLASS_LETTERS[_CLASSES[ord(character)]]
        if kind == "x" and units and units[-1][0] not in "rnN":
            units[-1] = (units[-1][0], units[-1][1] + character)
        else:
            units.append((kind, character))
    kinds = ["o", *(kind for kind, _ in units), "o"]
    found: list[str] = []
    for i, (_, characters) in enumerate(units, start=1):
        before = tuple(kinds[i - 2 : i + 1]) if i > 1 else ()
        around = tuple(kinds[i - 1 : i + 2])
        joined = i > 1 and (kinds[i - 1] + kinds[i] in JOINED_PAIRS or before in BRIDGES or around in BRIDGES)
        if joined:
            found[-1] += characters
        else:
            found.append(characters)
    return found


def is_mark(character: str) -> bool:
    """It belongs to the character before it."""
    return CLASS_LETTERS[_CLASSES[ord(character)]] == "x"


def words(text: str) -> list[str]:
    """Words that n-grams are made of."""
    return [segment for segment in segments(text) if segment[0].isalnum()]


def fasttext_tokens(text: str) -> list[str]:
    """Tokens of fastText, without the end-of-sentence marks that it puts for newlines."""
    return [token for token in re.split("[ \n\r\t\v\f\0]", text) if token]


def pieces(text: str, separator: str) -> list[str]:
    return [stripped for piece in text.split(separator) if (stripped := piece.strip())]


def statistics(text: str) -> dict[str, float | None]:
    """All columns of `columns.STATISTICS` for one document."""
    split = text.split()
    symbols = sum(text.count(symbol) for symbol in ("#", *ELLIPSES))
    lines = pieces(text, "\n")

    def share(count: int) -> float | None:
        return count / len(split) if split else None

    return {
        "characters": len(text),
        "words": sum(token[0].isalnum() for token in fasttext_tokens(text)),
        "stop_words": sum(word.lower() in STOP_WORDS for word in split),
        "mean_word_length": share(sum(map(len, split))),
        "symbol_word_ratio": share(symbols),
        "no_alphabetic_word_ratio": share(sum(not any(map(str.isalpha, word)) for word in split)),
        "bullet_line_ratio": sum(line.startswith(BULLETS) for line in lines) / max(len(lines), 1),
        "ellipsis_line_ratio": sum(line.endswith(ELLIPSES) for line in lines) / max(len(lines), 1),
        **_repeated("line", lines),
        **_repeated("paragraph", pieces(text, "\n\n")),
        **_ngrams(text),
    }


def _repeated(name: str, found: list[str]) -> dict[str, float | None]:
    copies = {piece: count for piece, count in Counter(found).items() if count > 1}
    characters = sum(map(len, found))
    return {
        f"duplicate_{name}_ratio": sum(copies.values()) / len(found) if found else None,
        f"duplicate_{name}_character_ratio": sum(len(p) * n for p, n in copies.items()) / characters if found else None,
    }


def _ngrams(text: str) -> dict[str, float | None]:
    found = words(text)
    characters = sum(map(len, found))
    ratios: dict[str, float | None] = {}
    for n in range(2, 11):
        name = f"top_{n}gram_character_ratio" if n < 5 else f"duplicate_{n}gram_character_ratio"
        grams = list(zip(*(found[i:] for i in range(n)), strict=False))
        counts = Counter(grams)
        most = max(counts.values(), default=0)
        if not text:
            ratios[name] = None
        elif most < 2:
            ratios[name] = 0.0
        elif n < 5:
            ratios[name] = most * max(len("".join(gram)) for gram in counts if counts[gram] == most) / characters
        else:
            covered = {i + j for i, gram in enumerate(grams) if counts[gram] > 1 for j in range(n)}
            ratios[name] = sum(len(found[i]) for i in covered) / characters
    return ratios
