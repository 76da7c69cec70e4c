"""Equal texts and URLs are found, and the least id stays, in whatever order they come."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest

from catalog.errors import WatershedError
from spark_jobs.exact_dedup import SCHEMA, exact_duplicates


def documents(count: int, seed: int) -> pa.Table:
    draw = random.Random(seed)
    texts = [
        draw.choice(["a", "b", "A", " a", "", None, f"text {draw.randrange(count)}", "é" * 50]) for _ in range(count)
    ]
    ids = draw.sample(range(10_000), count)
    urls = [f"https://example.org/{draw.randrange(count)}" for _ in range(count)]
    return pa.table({"id": [f"{id_:05d}" for id_ in ids], "text": pa.array(texts, pa.string()), "url": urls})


def grouped(table: pa.Table, column: str) -> list[dict[str, Any]]:
    """Plainly, with a dictionary."""
    groups: dict[str, list[str]] = {}
    for id_, value in zip(table["id"].to_pylist(), table[column].to_pylist(), strict=True):
        if value is not None:
            groups.setdefault(value, []).append(id_)
    rows = [
        {"id": id_, "kept": id_ == min(ids), "kept_id": min(ids), "copies": len(ids)}
        for ids in groups.values()
        for id_ in ids
        if len(ids) > 1
    ]
    return sorted(rows, key=lambda row: row["id"])


@pytest.mark.parametrize("column", ["text", "url"])
def test_copies_are_those_that_a_dictionary_finds(column: str) -> None:
    table = documents(500, seed=1)
    expected = grouped(table, column)
    assert len(expected) > 100
    for seed, cut in ((0, 500), (1, 7), (2, 1)):
        order = random.Random(seed).sample(range(500), 500)
        batches = table.take(pa.array(order)).combine_chunks().to_batches(max_chunksize=cut)
        found = exact_duplicates(batches, column)
        assert found.schema == SCHEMA
        assert found.to_pylist() == expected


def test_nothing_and_what_cannot_be_compared() -> None:
    assert exact_duplicates([]).num_rows == 0
    assert exact_duplicates(documents(1, seed=2).to_batches()).num_rows == 0
    with pytest.raises(WatershedError, match="lack host"):
        exact_duplicates(documents(5, seed=3).to_batches(), "host")
    twice = documents(5, seed=3).to_batches() * 2
    with pytest.raises(WatershedError, match="an id occurs twice"):
        exact_duplicates(twice, "url")
