"""Repeated paragraphs are removed as by DCLM's bff, with a filter that keeps its promised rate or raises an error."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from bff_reference import deduplicate
from made_texts import EDGE_CASES, random_texts

from catalog.errors import WatershedError
from spark_jobs.dedup.bloom_filter import BloomFilter, false_positive_rate, filter_size
from spark_jobs.dedup.paragraphs import (
    EXACT_PARAGRAPHS,
    ParagraphOptions,
    Remove,
    deduplicate_paragraphs,
    estimate_ngrams,
)
from spark_jobs.kernels.bloom import contains, insert

SURE = 1e-12
"""A rate of false positives at which no test sees one."""
FEW = [text for text in EDGE_CASES if len(text) < 5000]


def batch(texts: list[str | None]) -> pa.RecordBatch:
    return pa.record_batch({"id": [str(number) for number in range(len(texts))], "text": pa.array(texts, pa.string())})


def big_filter(rate: float = SURE) -> BloomFilter:
    return BloomFilter(filter_size(200_000, rate))


def pages(count: int, seed: int) -> list[str | None]:
    """Pages of paragraphs many of which stand on several pages, some with a few words changed; some null."""
    draw = random.Random(seed)
    vocabulary = [*(f"word{n}" for n in range(300)), "naïve", "日本語", "can't", "3.14", "—", "(", "😀", "a_b"]
    paragraphs = [" ".join(draw.choices(vocabulary, k=draw.choice((3, 12, 13, 14, 40, 90)))) for _ in range(60)]
    made: list[str | None] = []
    for _ in range(count):
        chosen = draw.choices(paragraphs, k=draw.randrange(1, 7))
        for place, paragraph in enumerate(chosen):
            words = paragraph.split(" ")
            for _ in range(draw.choice((0, 0, 1, 4))):
                words[draw.randrange(len(words))] = draw.choice(vocabulary)
            chosen[place] = " ".join(words)
        made.append(draw.choice(("\n", "\n", "\r\n", "\n\n")).join(chosen))
    return [*made, None, made[0], None]


@pytest.mark.parametrize("remove", list(Remove))
@pytest.mark.parametrize(("least", "width", "threshold"), [(13, 13, 0.8), (1, 13, 0.8), (5, 20, 0.5), (1, 1, 0.0)])
def test_decisions_and_texts_are_those_of_the_reference(
    least: int, width: int, threshold: float, remove: Remove
) -> None:
    texts = [*pages(60, seed=width), *FEW, *random_texts(80, seed=least), *FEW[::-1], *random_texts(80, seed=least)]
    options = ParagraphOptions(min_ngram=least, max_ngram=width, threshold=threshold, remove=remove)
    given = [batch(texts)]
    found = [row for out in deduplicate_paragraphs(given, big_filter(), options) for row in out.to_pylist()]
    documents = [(str(number), text) for number, text in enumerate(texts)]
    expected = deduplicate(documents, set(), least=least, width=width, threshold=threshold, remove=str(remove))
    assert found == expected
    assert sum(bool(row["removed_spans"]) for row in found) > 20
    if remove is not Remove.DOCUMENT:
        assert estimate_ngrams(given, options) == sum(row["total_ngrams"] for row in expected)


def test_how_documents_are_cut_into_batches_does_not_matter() -> None:
    texts = pages(80, seed=3)
    whole = pa.Table.from_batches(list(deduplicate_paragraphs([batch(texts)], big_filter())))
    for cut in (1, 7):
        parts = pa.Table.from_batches([batch(texts)]).combine_chunks().to_batches(max_chunksize=cut)
        found = pa.Table.from_batches(list(deduplicate_paragraphs(parts, big_filter())))
        assert found.combine_chunks().equals(whole.combine_chunks())


def test_recorded_cases_of_dclm_hold() -> None:
    shared = os.environ.get("WATERSHED_SHARED")
    if not shared:
        pytest.skip("WATERSHED_SHARED names no folder of recorded cases")
    recorded = Path(shared, "data/cases/dclm/bff_golden.jsonl")
    cases = [json.loads(line) for line in recorded.read_text().splitlines()]
    assert len(cases) == 16
    for case in cases:
        settings = case["config"]
        options = ParagraphOptions(
            min_ngram=settings["min_ngram_size"],
            max_ngram=settings["max_ngram_size"],
            threshold=settings["filtering_threshold"],
        )
        texts = batch([document["text"] for document in case["input"]["docs"]])
        found = [row for out in deduplicate_paragraphs([texts], big_filter(), options) for row in out.to_pylist()]
        for row, expected in zip(found, case["expect"]["docs"], strict=True):
            spans = [[span["start"], span["stop"]] for span in row["removed_spans"]]
            assert (row["text"], spans, row["contained_ngrams"]) == (
                expected["text_after"],
                expected["duplicate_byte_spans"],
                expected["contained_ngrams"],
            ), case["case_id"]


def test_a_filter_that_is_not_updated_compares_with_what_it_holds_only() -> None:
    known, other = pages(30, seed=1), pages(30, seed=1)[::-1]
    filter_ = big_filter()
    list(deduplicate_paragraphs([batch(known)], filter_))
    before = filter_.bits.copy()
    rows = pa.Table.from_batches(
        list(deduplicate_paragraphs([batch(other)], filter_, ParagraphOptions(update=False)))
    ).to_pylist()
    assert np.array_equal(filter_.bits, before)
    assert not any(row["kept"] for row in rows if row["contained_ngrams"])


@pytest.mark.parametrize("rate", [0.1, 0.01, 0.0001])
def test_the_measured_rate_of_false_positives_is_within_its_promise(rate: float) -> None:
    draw = np.random.default_rng(7)
    size = filter_size(200_000, rate)
    filter_ = BloomFilter(size)
    held = draw.integers(0, 1 << 64, 200_000, dtype=np.uint64)
    insert(filter_.bits, filter_.tally, size.probes, held)
    assert contains(filter_.bits, size.probes, held).all()
    asked = 2_000_000
    measured = contains(filter_.bits, size.probes, draw.integers(0, 1 << 64, asked, dtype=np.uint64)).sum()
    deviation = np.sqrt(asked * rate)
    assert 0.7 * asked * rate - 4 * deviation < measured < asked * rate + 4 * deviation
    assert int(np.bitwise_count(filter_.bits).sum()) == filter_.tally[0] <= filter_.most_bits
    # Not more than a third above what a filter without blocks takes.
    assert size.bytes * 8 < 1.34 * -np.log(rate) / np.log(2) ** 2 * 200_000


def test_false_positives_change_few_decisions() -> None:
    texts = pages(300, seed=11)
    estimate = estimate_ngrams([batch(texts)])
    loose = BloomFilter(filter_size(estimate, 0.01))
    rows = [row for out in deduplicate_paragraphs([batch(texts)], loose) for row in out.to_pylist()]
    expected = deduplicate([(str(number), text) for number, text in enumerate(texts)], set())
    differing = sum(row["text"] != other["text"] for row, other in zip(rows, expected, strict=True))
    assert differing <= 0.02 * len(rows)


def test_a_filter_for_too_few_ngrams_is_refused_before_it_begins() -> None:
    filter_ = BloomFilter(filter_size(1000, 0.01))
    needed = filter_size(5000, 0.01).bytes
    with pytest.raises(WatershedError, match=rf"5,000 n-grams are expected .* \({needed:,} bytes\)"):
        deduplicate_paragraphs([], filter_, expected_ngrams=5000)
    assert list(deduplicate_paragraphs([], filter_, expected_ngrams=1000)) == []


def test_a_filter_that_fills_up_is_refused_while_it_runs() -> None:
    draw = random.Random(5)
    texts: list[str | None] = [" ".join(draw.choices("abcdefgh", k=60)) for _ in range(200)]
    filter_ = BloomFilter(filter_size(2000, 0.01))
    with pytest.raises(WatershedError, match=r"after \d+ documents \d+\.\d% of all bits .* at least [\d,]+ n-grams"):
        list(deduplicate_paragraphs([batch(texts)], filter_))
    assert filter_.fill < 1.05 * filter_.most_bits / (filter_.size.blocks * 512)
    # Room for all of them is enough, and so it is for many copies of few.
    list(deduplicate_paragraphs([batch(texts)], BloomFilter(filter_size(estimate_ngrams([batch(texts)]), 0.01))))
    list(deduplicate_paragraphs([batch(texts[:20] * 30)], BloomFilter(filter_size(2000, 0.01))))


def test_a_filter_larger_than_memory_allows_is_refused_with_its_size() -> None:
    size = filter_size(10_000_000, 0.01)
    with pytest.raises(WatershedError, match=rf"10,000,000 n-grams .* needs {size.bytes:,} bytes, and 1,000,000 are"):
        BloomFilter(size, memory_limit=1_000_000)
    with pytest.raises(WatershedError, match="between 0 and 1"):
        filter_size(10, 1.5)
    with pytest.raises(WatershedError, match="min_ngram"):
        ParagraphOptions(min_ngram=14)


def test_a_saved_filter_goes_on_where_it_stood(tmp_path: Path) -> None:
    texts = pages(60, seed=2)
    straight = big_filter(0.001)
    expected = pa.Table.from_batches(list(deduplicate_paragraphs([batch(texts[:30]), batch(texts[30:])], straight)))
    first = big_filter(0.001)
    list(deduplicate_paragraphs([batch(texts[:30])], first))
    digest = first.save(tmp_path / "filter.bloom")
    again = BloomFilter.load(tmp_path / "filter.bloom")
    found = pa.Table.from_batches(list(deduplicate_paragraphs([batch(texts[30:])], again)))
    assert found.to_pylist() == expected.slice(30).to_pylist()
    assert (again.size, again.tally.tolist()) == (straight.size, straight.tally.tolist())
    assert first.save(tmp_path / "again.bloom") == digest
    assert (tmp_path / "again.bloom").read_bytes() == (tmp_path / "filter.bloom").read_bytes()


@pytest.mark.parametrize("damage", ["missing", "cut", "changed", "foreign"])
def test_a_damaged_filter_is_not_loaded(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "filter.bloom"
    filter_ = BloomFilter(filter_size(1000, 0.01))
    insert(filter_.bits, filter_.tally, filter_.size.probes, np.arange(100, dtype=np.uint64))
    filter_.save(path)
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    match damage:
        case "missing":
            path.unlink()
        case "cut":
            path.write_bytes(data[:-100])
        case "changed":
            path.write_bytes(data)
        case "foreign":
            path.write_bytes(b"something else")
    with pytest.raises(WatershedError, match=r"filter\.bloom"):
        BloomFilter.load(path)


def test_expected_rates_grow_with_what_is_in_the_filter() -> None:
    rates = [false_positive_rate(ngrams, 1000, 6) for ngrams in (0, 1000, 10_000, 50_000, 100_000)]
    assert rates == sorted(rates)
    assert rates[0] == 0


def test_estimates_by_every_other_batch_scale_up() -> None:
    texts = pages(200, seed=4)
    batches = pa.Table.from_batches([batch(texts)]).to_batches(max_chunksize=10)
    exact = estimate_ngrams(batches)
    assert 0.7 * exact < estimate_ngrams(batches, every=2) < 1.3 * exact
    assert estimate_ngrams([]) == 0


def test_exact_paragraphs_stay_once_whatever_their_white_space() -> None:
    texts = ["One line.\nAnother.\n\nOne  line.", "another.\n Another. \nNew", "New\nOne line!", None, "!\n!"]
    rows = deduplicate_paragraphs([batch(texts)], big_filter(1e-9), EXACT_PARAGRAPHS)
    left = [row["text"] for out in rows for row in out.to_pylist()]
    assert left == ["One line.\nAnother.\n", "another.\nNew", "\nOne line!", None, "!"]
    assert filter_size(1_000_000, 1e-6).bytes < 5.5e6
