"""An index of vectors finds what exact search finds, changes without a rebuild, and survives a kill."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from retrieval_vectors import STAMP, made_ids, made_vectors

from catalog.errors import WatershedError
from spark_jobs.retrieval.codes import KINDS, CodeChoices, exact_neighbours
from spark_jobs.retrieval.index import IndexChoices, VectorIndex

COUNT = 3000
VECTORS, IDS = made_vectors(COUNT), made_ids(COUNT)
QUERIES = np.asarray(made_vectors(COUNT + 100)[COUNT:], dtype=np.float32)


def choices(kind: str, segment_vectors: int = 8_000_000) -> IndexChoices:
    return IndexChoices(codes=CodeChoices(kind=kind, pq_bytes=16), segment_vectors=segment_vectors)


def true_neighbours(vectors: np.ndarray, ids: list[str], queries: np.ndarray) -> list[list[str]]:
    """Return the ten nearest ids of each query by a plain sort."""
    scores = queries @ np.asarray(vectors, dtype=np.float32).T
    return [[ids[place] for place in np.argsort(-row, kind="stable")[:10]] for row in scores]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_finds_the_neighbours_and_forgets_what_is_deleted(kind: str, tmp_path: Path) -> None:
    index = VectorIndex.build(tmp_path, STAMP, [(IDS, VECTORS)], choices(kind))
    assert [each.kind for each in index.facts] == [kind]
    true = true_neighbours(VECTORS, IDS, QUERIES)
    found = index.search(QUERIES, STAMP, 10)
    hits = [len(set(names) & set(each.ids)) for names, each in zip(true, found, strict=True)]
    assert np.mean(hits) >= 9.7
    assert all(each.scores == sorted(each.scores, reverse=True) for each in found)

    new = made_ids(30, first=COUNT)
    assert index.add([(new, VECTORS[:30])], STAMP) == 30
    gone = IDS[30:330]
    assert index.delete([*gone, "f" * 32]) == 300
    for _ in range(2):
        own = index.search(np.asarray(VECTORS[:330], dtype=np.float32), STAMP, 10)
        assert not set(gone) & {name for each in own for name in each.ids}
        assert all(name in each.ids for name, each in zip(new, own[:30], strict=True))
        assert len(index) == COUNT + 30 - 300
        index.optimise()
    assert len(index.segments) == 1 and index.segments[0].deleted == 0
    again = VectorIndex(tmp_path)
    assert [each.ids for each in again.search(QUERIES, STAMP, 10)] == [
        each.ids for each in index.search(QUERIES, STAMP, 10)
    ]


def test_segments_are_searched_as_one(tmp_path: Path) -> None:
    index = VectorIndex.build(tmp_path, STAMP, [(IDS[:900], VECTORS[:900])], choices("exact", 250))
    assert [each.vectors for each in index.facts] == [250, 250, 250, 150]
    found = [each.ids for each in index.search(QUERIES, STAMP, 10)]
    assert found == true_neighbours(VECTORS[:900], IDS[:900], QUERIES)


def test_an_id_that_is_added_again_is_replaced(tmp_path: Path) -> None:
    index = VectorIndex.build(tmp_path, STAMP, [(IDS[:5], VECTORS[:5])])
    index.add([(IDS[:1], VECTORS[7:8])], STAMP)
    assert len(index) == 5
    (found,) = index.search(np.asarray(VECTORS[7:8], dtype=np.float32), STAMP, 5)
    assert found.ids[0] == IDS[0] and found.scores[0] == pytest.approx(1, abs=1e-3)


def test_vectors_of_another_encoder_are_refused_by_the_entry_that_differs(tmp_path: Path) -> None:
    index = VectorIndex.build(tmp_path, STAMP, [(IDS[:5], VECTORS[:5])])
    for name, value in (("library", "numpy 3"), ("query_prompt", "query: "), ("revision", "2")):
        other = replace(STAMP, **{name: value})
        for use in (lambda o=other: index.search(QUERIES, o), lambda o=other: index.add([(IDS[5:6], VECTORS[5:6])], o)):
            with pytest.raises(WatershedError, match=f"{name} .* and not {value!r}"):
                use()


@pytest.mark.parametrize(
    ("vectors", "cause"),
    [
        (np.full((1, 32), np.nan), "not a finite number"),
        (np.full((1, 32), 1e6), "exceeds half precision"),
        (np.zeros((1, 31)), "shape"),
    ],
)
def test_a_malformed_vector_is_refused_and_the_index_stays(vectors: np.ndarray, cause: str, tmp_path: Path) -> None:
    index = VectorIndex.build(tmp_path, STAMP, [(IDS[:5], VECTORS[:5])])
    with pytest.raises(WatershedError, match=cause):
        index.add([(IDS[5:6], vectors)], STAMP)
    assert len(VectorIndex(tmp_path)) == 5


def test_an_empty_index_and_an_empty_folder(tmp_path: Path) -> None:
    index = VectorIndex.build(tmp_path / "index", STAMP, [])
    assert index.search(QUERIES[:1], STAMP, 10)[0].ids == []
    assert index.add([(IDS[:5], VECTORS[:5])], STAMP) == 5 and len(index) == 5
    with pytest.raises(WatershedError, match="no index of vectors"):
        VectorIndex(tmp_path / "other")


BUILD = """
import sys
import numpy as np
from pathlib import Path
from retrieval_vectors import STAMP, made_ids, made_vectors
from spark_jobs.retrieval.codes import CodeChoices
from spark_jobs.retrieval.index import IndexChoices, VectorIndex

def batches():
    yield made_ids(2000, first=9000), made_vectors(2000, seed=1)
    print("half", flush=True)
    sys.stdin.read()
    yield made_ids(2000, first=11000), made_vectors(2000, seed=2)

VectorIndex.build(Path(sys.argv[1]), STAMP, batches(), IndexChoices(segment_vectors=1500))
"""


def test_a_killed_build_leaves_the_old_index_which_other_readers_keep(tmp_path: Path) -> None:
    index = VectorIndex.build(tmp_path, STAMP, [(IDS[:1000], VECTORS[:1000])])
    before = [each.ids for each in index.search(QUERIES, STAMP, 10)]
    builder = subprocess.Popen(
        [sys.executable, "-c", BUILD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[3]}", "PATH": "/usr/bin:/bin"},
    )
    assert builder.stdout and builder.stdout.readline() == b"half\n"
    # One of its segments is complete, and another process may not write meanwhile.
    assert len(list((tmp_path / "segments").iterdir())) > 1
    with pytest.raises(WatershedError, match="another process writes"):
        index.delete(IDS[:1])
    builder.kill()
    builder.communicate()
    again = VectorIndex(tmp_path)
    assert [each.ids for each in again.search(QUERIES, STAMP, 10)] == before
    # The next writer removes what was left behind.
    assert again.delete(IDS[:1]) == 1
    assert len(list((tmp_path / "segments").iterdir())) == 1


def test_exact_search_orders_equal_scores_by_position_and_leaves_out_the_dead() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], dtype=np.float16)
    alive = np.packbits([1, 0, 1, 1], bitorder="little")
    places, scores = exact_neighbours(vectors, np.array([[1, 0]], dtype=np.float32), 5, alive)
    assert places.tolist() == [[0, 3, 2, -1, -1]]
    assert scores[0, :3].tolist() == [1, 1, 0]
