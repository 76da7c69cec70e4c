"""DCLM's `old-both` written down plainly, with a set for a filter and uniseg for words: what ours must equal."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from uniseg.wordbreak import words

WHITE_SPACE = set("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {
    chr(code) for code in range(0x2000, 0x200B)
}
"""Unicode's White_Space property, which knows no \\x1c to \\x1f."""


def tokens(paragraph: str) -> list[str]:
    return [word for word in words(paragraph) if not set(word) <= WHITE_SPACE]


def ngrams(paragraph: str, least: int, width: int) -> list[tuple[str, ...]]:
    found = tokens(paragraph)
    if len(found) < width:
        return [tuple(found)] if len(found) >= least else []
    return [tuple(found[i : i + width]) for i in range(len(found) - width + 1)]


def deduplicate(
    documents: list[tuple[str, str | None]],
    met: set[tuple[str, ...]],
    *,
    least: int = 13,
    width: int = 13,
    threshold: float = 0.8,
    remove: str = "old-both",
) -> list[dict[str, Any]]:
    """Rows as `deduplicate_paragraphs` gives them; `met` grows."""
    rows = []
    for id_, text in documents:
        row = {"id": id_, "text": text, "removed_spans": [], "contained_ngrams": 0, "total_ngrams": 0, "kept": False}
        rows.append(row)
        if text is None:
            continue
        cuts = [0, *(place for place, letter in enumerate(text) if letter == "\n"), len(text)]
        cuts = [0, len(text)] if remove == "document" else cuts
        left = ""
        for start, stop in pairwise(cuts):
            grams = ngrams(text[start:stop], least, width)
            contained = sum(gram in met for gram in grams)
            row["contained_ngrams"] += contained
            row["total_ngrams"] += len(grams)
            if grams and contained / len(grams) > threshold:
                span = {"start": len(text[:start].encode()), "stop": len(text[:stop].encode())}
                row["removed_spans"].append(span)
            else:
                left += text[start:stop]
                met.update(grams)
        total = row["total_ngrams"]
        if remove == "old-both" and total and row["contained_ngrams"] / total > threshold:
            left = ""
        row |= {"text": left, "kept": bool(left.strip())}
    return rows
