"""Equal texts have equal hashes, on every machine; different ones do not meet."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hash_reference import hash_bytes
from made_texts import EDGE_CASES, random_texts

from spark_jobs.kernels.text_hash import SEED, text_hash

TEXTS = [*EDGE_CASES, *random_texts(200, seed=2), *["x" * size for size in range(70)]]


def signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def test_hashes_are_the_reference_in_plain_integers() -> None:
    expected = [signed(hash_bytes(text.encode(), SEED)) for text in TEXTS]
    assert text_hash(pa.array(TEXTS)).to_pylist() == expected


def test_hashes_never_change() -> None:
    # Stored tables hold them: a change needs a new column, not a new value.
    assert text_hash(pa.array(["", "a", "Watershed " * 9])).to_pylist() == [
        2211905581237848581,
        7858286049934847942,
        -3432691170069957360,
    ]


def test_a_null_text_has_no_hash() -> None:
    assert text_hash(pa.array(["a", None])).null_count == 1


def test_slices_and_layouts_do_not_matter() -> None:
    expected = text_hash(pa.array(TEXTS)).to_pylist()
    assert text_hash(pa.array(TEXTS, pa.large_string())[5:50]).to_pylist() == expected[5:50]
    assert text_hash(pa.chunked_array([TEXTS[:3], TEXTS[3:]])).to_pylist() == expected


def test_seeds_give_unrelated_hashes() -> None:
    one, two = text_hash(pa.array(TEXTS), seed=1), text_hash(pa.array(TEXTS), seed=2)
    assert not set(one.to_pylist()) & set(two.to_pylist())


def test_similar_texts_do_not_meet_and_bits_are_even() -> None:
    texts = pa.array([f"{i:x}" for i in range(100_000)] + ["0" * i for i in range(2, 1000)])
    hashes = text_hash(texts).to_numpy().view(np.uint64)
    assert len(np.unique(hashes)) == len(texts)
    set_bits = [(hashes >> np.uint64(bit) & np.uint64(1)).mean() for bit in range(64)]
    # Five standard deviations of a fair coin tossed so often.
    assert np.abs(np.array(set_bits) - 0.5).max() < 5 * 0.5 / np.sqrt(len(texts))
