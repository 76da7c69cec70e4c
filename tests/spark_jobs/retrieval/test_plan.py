"""What a large datastore needs, from what a small one was measured to need."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spark_jobs.retrieval.plan import RECORDED, planned

EACH = replace(
    RECORDED,
    passages=1_000_000,
    words=250,
    dimensions=768,
    text_bytes=1600.0,
    code_bytes=120.0,
    word_bytes=900.0,
    embed_seconds=0.01,
    vector_seconds=0.0001,
    word_seconds=0.0001,
    query_ms=2.0,
)
BIG, SMALL = 10**15, 10**9


def test_bytes_and_seconds_grow_with_the_passages() -> None:
    found = planned(45_000_000, EACH, memory_bytes=BIG, disk_bytes=BIG)
    assert found.passages == 236_000_000
    assert found.vector_bytes == 236_000_000 * 768 * 2
    assert found.code_bytes == 236_000_000 * 120
    assert found.embed_seconds == pytest.approx(2_360_000)
    assert found.disk_bytes == found.text_bytes + found.vector_bytes + found.code_bytes + found.word_bytes
    halved = planned(45_000_000, EACH, memory_bytes=BIG, disk_bytes=BIG, words=125)
    assert halved.text_bytes == found.text_bytes / 2 and halved.vector_bytes == found.vector_bytes
    assert found.engine.startswith("this index, 30 segments")


def test_a_query_searches_every_segment_and_the_root_of_its_vectors() -> None:
    one = planned(1_000_000, EACH, memory_bytes=BIG, disk_bytes=BIG, passages_per_paper=1)
    four = planned(4_000_000, EACH, memory_bytes=BIG, disk_bytes=BIG, passages_per_paper=1)
    many = planned(80_000_000, EACH, memory_bytes=BIG, disk_bytes=BIG, passages_per_paper=1)
    assert one.query_ms == pytest.approx(2.0)
    assert four.query_ms == pytest.approx(4.0)
    assert many.segments == 10 and many.query_ms == pytest.approx(10 * 2 * 8**0.5)


@pytest.mark.parametrize(("memory", "disk"), [(SMALL, BIG), (BIG, SMALL)])
def test_one_machine_that_is_outgrown_is_said_with_the_engine_to_move_to(memory: int, disk: int) -> None:
    found = planned(45_000_000, EACH, memory_bytes=memory, disk_bytes=disk)
    assert "LanceDB" in found.engine and "GB of" in found.notes[0]
