"""Token ids, as the tokenizers library gives them."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from made_texts import EDGE_CASES, random_texts
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from catalog.errors import WatershedError
from spark_jobs.shards.tokenizer import encode, encoder, train_tokenizer

ALPHABET = [
    *"  \n\t\r\u00a0\u2028\u3000\x1c\x85''''\"!-…abcrstdlmve019٣½éжあ漢한😀\u0301\u0897ꟋSTLD",
    "'s",
    "'ll",
    "'re ",
    " '",
    "  ",
]
APOSTROPHES = [
    "'s", "x's", "x'S", "x'll've", "''s", " 's", "'", "'r", "'re", "'rest", "'s's 's", "it's2 '3's", "'l", "'\u00e9",
    *(f"{'x' * size}'s{'y' * 70}" for size in range(55, 70)),
    *(f"{'x' * size}'ll 'tis" for size in range(55, 70)),
    *(f"{'x' * size}  \u00a0 \u00a0y \u00e9\n\n z" for size in range(50, 70)),
]  # fmt: skip
LONG = ["=" * 5000, "ab" * 3000, "ha" * 40 + "h", "é" * 1000, " " * 999 + "x", "\n" * 200, "the" * 9, "0" * 25]
GENERATOR = random.Random(7)
MIXED = ["".join(GENERATOR.choices(ALPHABET, k=GENERATOR.randrange(200))) for _ in range(500)]
TEXTS = [*EDGE_CASES, *APOSTROPHES, *LONG, *MIXED, *random_texts(200, seed=11)]


def trained(size: int) -> Tokenizer:
    # The library takes seconds to learn from a word of 100,000 letters.
    short = [text for text in [*EDGE_CASES, *LONG] if len(text) < 2000]
    return train_tokenizer([*short, *MIXED[:100], "the rain, it's the rain we've; they'll " * 5], size)


def assert_same(tokenizer: Tokenizer, texts: list[str]) -> None:
    ids, ends = encoder(tokenizer).encode(pa.array(texts, pa.string()))
    assert ids.dtype == np.uint32
    assert len(ends) == len(texts) + 1
    for number, text in enumerate(texts):
        assert ids[ends[number] : ends[number + 1]].tolist() == encode(tokenizer, text).tolist(), text[:200]


@pytest.mark.parametrize("size", [257, 300, 700, 2500])
def test_ids_are_those_of_the_library(size: int) -> None:
    assert_same(trained(size), TEXTS)


def test_every_character_is_to_us_what_it_is_to_the_library() -> None:
    # Between a letter and a digit, which are of different classes, with "!" to separate white space from signs.
    codes = [code for code in range(0x40000) if not 0xD800 <= code < 0xE000]
    assert_same(trained(300), ["".join(f"a{chr(code)}1!{chr(code)}" for code in codes)])


def test_words_long_and_short_are_merged_alike() -> None:
    # Merges of random pairs, so that their order matters: up to 24 bytes and above they go different ways.
    tokenizer = train_tokenizer(["".join(GENERATOR.choices("abc", k=300)) for _ in range(50)], 500)
    assert_same(tokenizer, ["".join(GENERATOR.choices("abc", k=size)) for size in range(1, 60) for _ in range(20)])


def test_neither_batches_nor_layouts_matter_and_a_null_text_has_no_tokens() -> None:
    compiled = encoder(trained(700))
    whole, ends = compiled.encode(pa.array(TEXTS))
    alone = [compiled.encode(pa.array([text]))[0] for text in TEXTS]
    assert np.concatenate(alone).tolist() == whole.tolist()
    sliced, _ = compiled.encode(pa.array([*TEXTS, "x"], pa.large_string())[3:-1])
    assert sliced.tolist() == whole[ends[3] :].tolist()
    ids, ends = compiled.encode(pa.chunked_array([["a", None], ["b"]]))
    assert len(ids) == 2
    assert ends.tolist() == [0, 1, 1, 2]
    assert compiled.encode(pa.array([], pa.string()))[1].tolist() == [0]


def test_a_tokenizer_of_another_kind_is_refused() -> None:
    other = trained(300)
    other.normalizer = normalizers.NFC()
    with pytest.raises(WatershedError, match="not plain byte-level BPE"):
        encoder(other)
    other = trained(300)
    other.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    with pytest.raises(WatershedError, match="not plain byte-level BPE"):
        encoder(other)
    with pytest.raises(WatershedError, match="not plain byte-level BPE"):
        encoder(Tokenizer(models.WordLevel({"a": 0})))
