"""Signatures are MinHash: equal to a plain reference, good estimates of Jaccard, candidates as theory says."""

from __future__ import annotations

import random
from collections.abc import Iterable

import hash_reference
import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHashLSH
from made_texts import EDGE_CASES, random_texts

from spark_jobs.kernels.minhash import bands, jaccard, minhash, optimal_bands, signature_values

WORDS = [f"{a}{b}{c}" for a in "bdfgklm" for b in "aeiou" for c in ("n", "r", "s", "t", "ck", "sh")]


def near_duplicates(originals: int, copies: int, seed: int) -> list[str]:
    """Each original of 200 words, followed by copies with more and more of their words exchanged."""
    generator = random.Random(seed)
    texts = []
    for _ in range(originals):
        original = generator.choices(WORDS, k=200)
        texts.append(" ".join(original))
        for copy in range(1, copies + 1):
            changed = list(original)
            for place in generator.sample(range(200), copy * 2):
                changed[place] = generator.choice(WORDS)
            texts.append(" ".join(changed))
    return texts


def exact_jaccard(texts: list[str], pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    sets = [hash_reference.shingles(text) for text in texts]
    return np.array([len(sets[i] & sets[j]) / len(sets[i] | sets[j]) for i, j in pairs])


def test_signatures_are_the_reference_in_plain_integers() -> None:
    texts = [text for text in [*EDGE_CASES, *random_texts(150, seed=4)] if len(text) < 3000]
    for size, permutations, seed in ((5, 16, 1), (1, 3, 9), (13, 1, 1 << 70)):
        expected = [hash_reference.minhash(text, permutations, seed, size) for text in texts]
        assert minhash(pa.array(texts), permutations=permutations, shingle=size, seed=seed).to_pylist() == expected


def test_signatures_never_change() -> None:
    text = "The quick brown fox jumps over the lazy dog; the quick brown fox can't."
    signature = minhash(pa.array([text])).to_pylist()[0]
    assert len(signature) == 4 * 128
    assert signature[:12].hex() == "1d0cc605b163c502edeb3d62"


def test_case_punctuation_and_white_space_do_not_count() -> None:
    texts = ["One two, three: four five six!", "ONE  two\tthree\nfour — FIVE (six)", "Élan ÉTÉ école", "élan été ÉCOLE"]
    first, second, third, fourth = minhash(pa.array(texts)).to_pylist()
    assert first == second
    assert third == fourth
    assert first != third


def test_words_that_begin_with_an_underscore_count_and_rules_of_underscores_do_not() -> None:
    page = "The method {0} of class {1} is called when an instance is made and {0} returns {1}."
    texts = [page.format("__init__", "_Lake"), page.format("__call__", "_River"), page.format("", "")]
    texts += [page.format("____", "__ _"), "_é_ and ‿ß", "_é and ‿ß"]
    signatures = minhash(pa.array(texts)).to_pylist()
    assert len(set(signatures[:3])) == 3
    assert signatures[3] == signatures[2]
    assert signatures[4] != signatures[5]
    assert minhash(pa.array(["___ _", "_ _"])).null_count == 2


def test_short_documents_do_not_fall_together() -> None:
    texts = ["one", "two", "one two", "two one", "one two three four", "one two three four five"]
    signatures = minhash(pa.array(texts)).to_pylist()
    assert len(set(signatures)) == len(texts)
    keys = [tuple(row) for row in bands(minhash(pa.array(texts)), 16, 8).to_pylist()]
    assert len({key for row in keys for key in row}) == 16 * len(texts)


def test_documents_without_words_have_no_similarity_to_any() -> None:
    signatures = minhash(pa.array(["", None, " \n", "!?", "word"]))
    assert signatures.is_null().to_pylist() == [True, True, True, True, False]
    assert bands(signatures, 4, 8).is_null().to_pylist() == [True, True, True, True, False]
    assert jaccard(signatures, signatures).to_pylist() == [None, None, None, None, 1.0]
    wordless = signatures[:4].cast(pa.binary())
    assert bands(wordless, 4, 8).to_pylist() == [None] * 4
    assert jaccard(wordless, signatures[1:]).to_pylist() == [None] * 4


def test_layouts_and_neighbours_do_not_matter() -> None:
    texts = [None, *random_texts(60, seed=8), *EDGE_CASES[:20]]
    expected = minhash(pa.array(texts), permutations=8).to_pylist()
    array = pa.array(texts, pa.large_string())
    assert minhash(array[3:], permutations=8).to_pylist() == expected[3:]
    assert minhash(pa.chunked_array([array[:9], array[9:]]), permutations=8).to_pylist() == expected
    assert minhash(pa.array(texts[::-1]), permutations=8).to_pylist() == expected[::-1]
    assert len(minhash(array[:0], permutations=8)) == 0
    with pytest.raises(ValueError, match="at least 1"):
        minhash(array, permutations=0)


def test_estimates_are_as_good_as_theory_says() -> None:
    texts = near_duplicates(originals=60, copies=9, seed=1)
    signatures = minhash(pa.array(texts))
    left = [i - i % 10 for i in range(len(texts)) if i % 10]
    right = [i for i in range(len(texts)) if i % 10]
    estimated = jaccard(signatures.take(pa.array(left)), signatures.take(pa.array(right))).to_numpy()
    exact = exact_jaccard(texts, zip(left, right, strict=True))
    errors = (estimated - exact) / np.sqrt(exact * (1 - exact) / 128)
    assert exact.min() < 0.45
    assert exact.max() > 0.9
    # Errors in standard deviations: unbiased, and no wider than independent permutations make them.
    assert abs(errors.mean()) < 4 / np.sqrt(len(errors))
    assert 0.85 < errors.std() < 1.15


def test_unrelated_documents_are_estimated_near_zero() -> None:
    signatures = minhash(pa.array(near_duplicates(originals=400, copies=0, seed=2)))
    values, _ = signature_values(signatures)
    equal = (values[:200, None] == values[None, 200:]).mean()
    assert equal < 1e-4


@pytest.mark.parametrize("originals", [80, pytest.param(250, marks=pytest.mark.campaign)])
def test_candidates_are_found_as_often_as_the_s_curve_says(originals: int) -> None:
    texts = near_duplicates(originals=originals, copies=9, seed=3)
    found = candidates(bands(minhash(pa.array(texts)), 9, 13))
    pairs = [(i - i % 10, i) for i in range(len(texts)) if i % 10]
    similarity = exact_jaccard(texts, pairs)
    probability = 1 - (1 - similarity**13) ** 9
    hits = np.array([pair in found for pair in pairs])
    for low, high in ((0.3, 0.6), (0.6, 0.75), (0.75, 0.85), (0.85, 1.0)):
        among = (similarity >= low) & (similarity < high)
        deviation = np.sqrt((probability[among] * (1 - probability[among])).sum())
        assert abs(hits[among].sum() - probability[among].sum()) < 4 * deviation, (low, high)


def test_recall_and_precision_against_exact_jaccard() -> None:
    texts = near_duplicates(originals=50, copies=9, seed=5)
    sets = [hash_reference.shingles(text) for text in texts]
    pairs = [(i, j) for j in range(len(texts)) for i in range(j - j % 10, j)]
    similar = {(i, j) for i, j in pairs if len(sets[i] & sets[j]) >= 0.7 * len(sets[i] | sets[j])}
    assert len(similar) > 150
    signatures = minhash(pa.array(texts))
    # Bands for 0.5 let nearly all pairs above 0.7 through; the signatures then separate the others.
    found = sorted(candidates(bands(signatures, *optimal_bands(0.5))))
    left, right = (signatures.take(pa.array(side)) for side in zip(*found, strict=True))
    verified = {pair for pair, value in zip(found, jaccard(left, right).to_pylist(), strict=True) if value >= 0.7}
    assert len(similar & set(found)) / len(similar) > 0.98
    # What is left are pairs whose similarity is within the estimate's error of the threshold.
    assert len(similar & verified) / len(similar) > 0.85
    assert len(similar & verified) / len(verified) > 0.85


def candidates(keys: pa.FixedSizeListArray) -> set[tuple[int, int]]:
    documents: dict[int, list[int]] = {}
    for document, row in enumerate(keys.to_pylist()):
        for key in row:
            documents.setdefault(key, []).append(document)
    return {(i, j) for group in documents.values() for i in group for j in group if i < j}


def test_bands_take_consecutive_rows_and_tell_bands_and_seeds_apart() -> None:
    signatures = pa.array([b"\1\0\0\0" * 8, b"\1\0\0\0" * 4 + b"\2\0\0\0" * 4], pa.binary(32))
    same, other = bands(signatures, 2, 4).to_pylist()
    assert same[0] == other[0]
    assert same[1] != other[1]
    assert same[0] != same[1]
    assert bands(signatures, 2, 4, seed=2).to_pylist()[0] != same
    assert bands(signatures.cast(pa.binary()), 2, 4).to_pylist() == [same, other]
    assert bands(pa.array([None, *signatures.to_pylist()], pa.binary(32))[1:], 2, 4).to_pylist() == [same, other]
    with pytest.raises(ValueError, match="3 bands of 4 rows do not fit in signatures of 8 values"):
        bands(signatures, 3, 4)


@pytest.mark.parametrize("permutations", [32, 128])
@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7, 0.8, 0.9])
def test_bands_and_rows_are_those_of_datasketch(threshold: float, permutations: int) -> None:
    theirs = MinHashLSH(threshold=threshold, num_perm=permutations)
    assert optimal_bands(threshold, permutations) == (theirs.b, theirs.r)


def test_weights_of_errors_are_those_of_datasketch() -> None:
    theirs = MinHashLSH(threshold=0.6, num_perm=64, weights=(0.9, 0.1))
    assert optimal_bands(0.6, 64, false_positive_weight=0.9) == (theirs.b, theirs.r)
    with pytest.raises(ValueError, match="not between 0 and 1"):
        optimal_bands(1.0)
