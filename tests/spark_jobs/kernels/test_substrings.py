"""Repeated stretches of text are those that comparing every substring finds, whatever memory there is for it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
import pytest
from made_texts import EDGE_CASES, random_texts

from catalog.errors import WatershedError
from spark_jobs.dedup.substrings import Keep, SubstringOptions, Texts, remove_spans, repeated_substrings

FEW = [text for text in EDGE_CASES if len(text) < 5000]


def opens(texts: list[str | None], cut: int = 1000) -> Texts:
    def batches() -> Iterable[pa.RecordBatch]:
        for start in range(0, len(texts), cut):
            some = texts[start : start + cut]
            ids = [str(start + place) for place in range(len(some))]
            yield pa.record_batch({"id": ids, "text": pa.array(some, pa.string())})

    return batches


def brute_force(texts: list[str | None], length: int, keep: Keep) -> list[list[dict[str, int]]]:
    """Every window counted; what repeated ones cover, drawn in to whole characters."""
    data = [(text or "").encode() for text in texts]
    windows = Counter(encoded[i : i + length] for encoded in data for i in range(len(encoded) - length + 1))
    met: set[bytes] = set()
    found = []
    for encoded in data:
        covered = bytearray(len(encoded))
        for i in range(len(encoded) - length + 1):
            window = encoded[i : i + length]
            if windows[window] > 1 and (keep is Keep.NONE or window in met):
                covered[i : i + length] = b"\1" * length
            met.add(window)
        found.append(list(whole_characters(encoded, covered)))
    return found


def whole_characters(encoded: bytes, covered: bytearray) -> Iterable[dict[str, int]]:
    starts = [i for i in range(len(encoded)) if encoded[i] & 0xC0 != 0x80]
    bounds = [*starts, len(encoded)]
    i = 0
    while i < len(encoded):
        stop = i
        while stop < len(encoded) and covered[stop]:
            stop += 1
        low = min(place for place in bounds if place >= i)
        high = max(place for place in bounds if place <= stop)
        if low < high:
            yield {"start": low, "stop": high}
        i = max(stop, i + 1)


def copied(count: int, seed: int) -> list[str | None]:
    """Texts that share stretches of many lengths with one another and within themselves; some null."""
    draw = random.Random(seed)
    letters = "abcdé日😀 \n"
    stretches = ["".join(draw.choices(letters, k=draw.randrange(4, 60))) for _ in range(30)]
    made: list[str | None] = []
    for _ in range(count):
        fresh = ["".join(draw.choices(letters, k=draw.randrange(20))) for _ in range(6)]
        made.append("".join(part for some in zip(fresh, draw.choices(stretches, k=6), strict=True) for part in some))
    return [*made, None, made[0], "", None]


@pytest.mark.parametrize("keep", list(Keep))
@pytest.mark.parametrize("length", [8, 20, 41])
def test_spans_are_those_of_brute_force(length: int, keep: Keep) -> None:
    texts = [*copied(60, seed=length), *FEW, *random_texts(40, seed=length), "ab" * 100, "x" * 90]
    expected = brute_force(texts, length, keep)
    assert sum(map(bool, expected)) > 30
    # One pass, and so little memory that it takes many.
    for memory in (1 << 29, 1 << 15):
        options = SubstringOptions(length=length, keep=keep, memory=memory)
        rows = pa.Table.from_batches(list(repeated_substrings(opens(texts, 17), options)))
        assert rows["spans"].to_pylist() == expected
        sums = [sum(span["stop"] - span["start"] for span in spans) for spans in expected]
        assert rows["covered_bytes"].to_pylist() == sums
        assert rows["id"].to_pylist() == [str(place % 17 + place // 17 * 17) for place in range(len(texts))]


def test_what_is_left_holds_every_stretch_once() -> None:
    stretch = "this stretch of text stands in three documents, word for word. "
    texts: list[str | None] = [f"One. {stretch}Begin.", f"{stretch}Two.", "Nothing of it.", f"Three: {stretch}"]
    options = SubstringOptions(length=40)
    rows = pa.Table.from_batches(list(repeated_substrings(opens(texts), options)))
    left = remove_spans(pa.array(texts), rows["spans"].combine_chunks()).to_pylist()
    assert left[0] == texts[0]
    assert left[1:] == ["Two.", "Nothing of it.", "Three:"]
    assert sum(stretch.strip() in text for text in left) == 1


def test_removing_leaves_whole_characters_and_nulls() -> None:
    texts = copied(40, seed=9)
    rows = pa.Table.from_batches(list(repeated_substrings(opens(texts), SubstringOptions(length=12))))
    left = remove_spans(pa.array(texts), rows["spans"].combine_chunks()).to_pylist()
    for rest, text, gone in zip(left, texts, rows["covered_bytes"].to_pylist(), strict=True):
        assert (rest is None) == (text is None)
        assert len((rest or "").encode()) == len((text or "").encode()) - gone


def test_no_documents_and_short_lengths() -> None:
    assert list(repeated_substrings(opens([]))) == []
    with pytest.raises(WatershedError, match="8 bytes or more"):
        SubstringOptions(length=3)
