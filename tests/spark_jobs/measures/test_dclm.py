"""Lengths and phrases equal a plain count, whatever the text."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fasttext
import pyarrow as pa
import pytest
from uniseg.wordbreak import words as unicode_segments

from catalog.errors import WatershedError
from spark_jobs.kernels.columns import STATISTICS
from spark_jobs.measures.dclm import MATCHERS, PASSES, substring_matches

STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}
EDGE_CASES = [
    "",
    " ",
    "\n\n\n",
    "word",
    "!",
    "\u00a0",
    "\u00a0 \u3000 a\u00a0b",
    "a\r\nb\r\n\r\nc",
    "a\n \nb\n\nc\n\n\n\nd\n\n \n\nd",
    "The the OF\u00a0of be\x00 to\x14 with. THAT\u3000have",
    "nul\x00byte \x1c \x1f x\x1cy",
    "can't 3.14 a.b U.S.A. x_y __ $5 -- (word) “quoted”",
    "中文没有空格。日本語、カタカナ ไทย 한국어",
    "👨‍👩‍👧 🇩🇪🇫🇷 e\u0301 \u0301 \u00ad",
    "x" * 1000 + " " + "é " * 200,
    "Hello world! That should be easy, right? I think so...yeah...",
]
PIECES = [*" \n\n\t\u00a0\u3000\x1c\0.,'-_", "a", "the", "The ", "of", "é", "中", "1", "\u0301", "😀", "\r\n", "\u200d"]


def random_texts(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(PIECES, k=draw.randrange(40))) for _ in range(count)]


def counted(text: str) -> dict[str, int]:
    def words(tokens: list[str]) -> tuple[int, int]:
        return sum(bool(token.strip()) for token in tokens), sum(token[0].isalnum() for token in tokens)

    split, unicode = words(text.split()), words(list(unicode_segments(text)))
    return {
        "words_fasttext_counted": words(fasttext.tokenize(text))[0],
        "words_split_counted": split[0],
        "words_split_ignored": split[1],
        "words_unicode_counted": unicode[0],
        "words_unicode_ignored": unicode[1],
        "lines": sum(bool(line.strip()) for line in text.split("\n")),
        "paragraphs": sum(bool(paragraph.strip()) for paragraph in text.split("\n\n")),
        "unique_stop_words": len(STOP_WORDS & {word.lower() for word in text.split()}),
    }


def compute(name: str, texts: Sequence[str | None]) -> list[dict[str, Any]]:
    (found,) = (each for each in PASSES if each.name == name)
    return found.compute(pa.array(texts, pa.string())).to_pylist()


def test_lengths_equal_a_plain_count() -> None:
    texts = [*EDGE_CASES, *random_texts(1500, seed=7)]
    for text, measured in zip(texts, compute("lengths", texts), strict=True):
        assert measured == counted(text), repr(text)


def test_every_pass_computes_its_declared_columns_and_null_for_null() -> None:
    texts = ["A page. It says little.", None, ""]
    for by in PASSES:
        rows = by.compute(pa.array(texts))
        assert rows.schema.names == [statistic.column for statistic in by.statistics]
        assert all(field.type in (pa.int64(), pa.float64()) for field in rows.schema)
        assert set(rows.slice(1, 1).to_pylist()[0].values()) == {None}
        assert all(statistic.description for statistic in by.statistics)
        with pytest.raises(TypeError, match="array of strings"):
            by.compute(pa.array([None, None]))
    assert PASSES[0].compute(pa.array(texts)).schema == STATISTICS
    columns = [statistic.column for by in PASSES for statistic in by.statistics]
    assert len(set(columns)) == len(columns)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello world. This is a test.", 2),
        ("Mr. Smith bought 2.5 kilograms.", 1),
        ("", 0),
        ("  \n", 0),
        ("Le café est noir. Il est bon.", 2),
    ],
)
def test_sentences_are_counted(text: str, sentences: int) -> None:
    assert compute("sentences", [text]) == [{"sentences": sentences}]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blingfire", None)
    with pytest.raises(WatershedError, match="blingfire"):
        compute("sentences", ["a"])


@pytest.mark.parametrize(
    "phrases", [["lorem ipsum", "Lorem Ipsum", "{"], ["lorem ipsum", "lorem", "dolor lo", "Dolor"], ["l.rem", r"\bip"]]
)
@pytest.mark.parametrize("location", ["any", "prefix", "suffix"])
@pytest.mark.parametrize("exact_word", [True, False])
@pytest.mark.parametrize("case_sensitive", [True, False])
def test_phrases_are_found(location: str, exact_word: bool, case_sensitive: bool, phrases: list[str]) -> None:
    texts = ["lorem ipsum", "Lorem Ipsum dolor", "a lorem ipsums", "dolor Lorem Ipsum", "{", "lorem\nipsum\n", "", None]
    bound = r"\b" if exact_word else ""
    either = "|".join(phrases if case_sensitive else map(str.lower, phrases))
    pattern = f"{bound}(?:{either}){bound}"
    pattern = {"any": pattern, "prefix": "^" + pattern, "suffix": pattern + "$"}[location]
    found = substring_matches(
        pa.array(texts), banlist=phrases, location=location, exact_word=exact_word, case_sensitive=case_sensitive
    )
    assert found.type == pa.int64()
    for text, matches in zip(texts, found.to_pylist(), strict=True):
        cased = text if text is None or case_sensitive else text.lower()
        assert matches == (None if cased is None else int(bool(re.search(pattern, cased)))), text


def test_phrases_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("xxx\nBad Word\n", encoding="utf-8")
    texts = pa.array(["an xxx123", "a bad word", "none"])
    assert substring_matches(texts, file=str(file)).to_pylist() == [1, 1, 0]
    assert substring_matches(texts, file=str(file), exact_word=True).to_pylist() == [0, 1, 0]
    with pytest.raises(WatershedError, match="put a text file with one word per line at"):
        substring_matches(texts, file=str(tmp_path / "none.txt"))
    with pytest.raises(WatershedError, match="no word is given"):
        substring_matches(texts)
    with pytest.raises(WatershedError, match="not a regular expression"):
        substring_matches(texts, banlist="(open")


def test_matchers_are_called_as_they_are_named() -> None:
    for name, matcher in MATCHERS.items():
        assert matcher.name == name
        assert matcher.reads == "text"
        defaults = {key: option.default for key, option in matcher.options.items()} | {"banlist": ("a",)}
        assert matcher.compute(pa.array(["a", "b"]), **defaults).to_pylist() == [1, 0]
