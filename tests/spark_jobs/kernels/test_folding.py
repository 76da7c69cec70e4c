"""Folded texts have the words of their NFKC form, with one apostrophe and without format characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import pyarrow as pa
from made_texts import EDGE_CASES, random_texts

from spark_jobs.kernels.folding import APOSTROPHES, SYMBOLS, folded
from spark_jobs.kernels.overlap import words_of

FORMAT = "\u00ad\u200d\u200c\u2060\ufeff\ufe0f"


def reference(text: str) -> str:
    """The whole text, rewritten in Python."""
    for apostrophe in APOSTROPHES:
        text = text.replace(apostrophe, "'")
    for character in FORMAT:
        text = text.replace(character, "")
    pieces, piece = [], ""
    for character in text:
        if character in SYMBOLS:
            pieces += [unicodedata.normalize("NFKC", piece), character]
            piece = ""
        else:
            piece += character
    return "".join([*pieces, unicodedata.normalize("NFKC", piece)])


def words(texts: Sequence[str | None]) -> list[list[int]]:
    found = words_of(folded(pa.array(texts, pa.string())), folding=True)
    return [found.hashes[first:end].tolist() for first, end in zip(found.ends[:-1], found.ends[1:], strict=True)]


def test_words_are_those_of_the_normal_form() -> None:
    texts = [text for text in EDGE_CASES if len(text) < 5000] + random_texts(300, seed=3)
    texts += [f"a{character}b {character} c{character}\u0301d" for character in map(chr, range(0x80, 0x3100))]
    texts += [f"x{chr(code_point)}y" for code_point in (*range(0xF900, 0x10000), *range(0x1D400, 0x1D800))]
    skipped = [text for text in texts if any(unicodedata.category(c) == "Cf" and c not in FORMAT for c in text)]
    texts = [text for text in texts if text not in skipped]
    for text, found, expected in zip(texts, words(texts), words([reference(text) for text in texts]), strict=True):
        assert found == expected, [hex(ord(character)) for character in text[:20]]
    assert len(texts) > 12_000


def test_texts_that_need_no_rewriting_are_not_copied() -> None:
    text = pa.array(["plain", "naïve — “quoted”, don’t… ½", None, "日本語 and Łódź™"])
    assert folded(text.slice(0, 1)) is not None
    kept = pa.array(["plain", "naïve — “quoted”, don’t…", None, "日本語 and Łódź™"])
    assert folded(kept) is kept
    assert folded(text).to_pylist()[1] == "naïve — “quoted”, don’t... 1⁄2"


def test_apostrophes_join_the_parts_of_a_word() -> None:
    (plain,) = words(["don't"])
    assert len(plain) == 1
    assert all(words([f"don{apostrophe}t"]) == [plain] for apostrophe in APOSTROPHES)
    assert words(["Windows™ Windows"]) == [words(["windows"])[0] * 2]
