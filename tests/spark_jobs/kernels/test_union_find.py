"""Clusters are connected components, named after their least member, however the pairs come."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components as scipy_components

from spark_jobs.kernels.union_find import UnionFind, connected_components


def least_members(left: np.ndarray, right: np.ndarray, size: int) -> np.ndarray:
    graph = coo_array((np.ones(len(left)), (left, right)), shape=(size, size))
    count, components = scipy_components(graph, directed=False)
    least = np.full(count, size)
    np.minimum.at(least, components, np.arange(size))
    return least[components]


@pytest.mark.parametrize(("size", "pairs"), [(1, 0), (10, 3), (1000, 400), (1000, 1000), (5000, 20_000)])
def test_labels_are_the_least_members_of_components(size: int, pairs: int) -> None:
    generator = np.random.default_rng(size + pairs)
    left, right = generator.integers(0, size, (2, pairs))
    assert np.array_equal(connected_components(left, right, size), least_members(left, right, size))


def test_labels_depend_neither_on_order_nor_on_direction_nor_on_batches() -> None:
    generator = np.random.default_rng(0)
    left, right = generator.integers(0, 3000, (2, 2500))
    expected = connected_components(left, right, 3000)
    order = generator.permutation(2500)
    assert np.array_equal(connected_components(right[order], left[order], 3000), expected)
    batches = UnionFind(3000)
    for batch in np.array_split(order, 7):
        batches.union(left[batch], right[batch])
        batches.labels()
    assert np.array_equal(batches.labels(), expected)


def test_a_chain_of_a_million_is_one_cluster() -> None:
    chain = np.arange(1_000_000)
    assert not connected_components(chain[:0:-1], chain[-2::-1], len(chain)).any()


def test_arrow_and_narrow_integers_are_taken() -> None:
    expected = [0, 0, 2, 0]
    assert connected_components(pa.array([1, 3]), pa.array([0, 1]), 4).tolist() == expected
    assert connected_components(pa.chunked_array([[1], [3]]), np.array([0, 1], np.uint8), 4).tolist() == expected
    assert connected_components(np.array([], np.int32), np.array([], np.int32), 4).dtype == np.int32


@pytest.mark.parametrize(
    ("left", "right", "cause"),
    [
        ([0], [4], "outside 0..3"),
        ([-1], [0], "outside 0..3"),
        ([0, 1], [2], "do not pair"),
        ([0.5], [1.0], "whole numbers"),
    ],
)
def test_pairs_that_name_no_document_are_refused(left: list, right: list, cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        connected_components(np.array(left), np.array(right), 4)
    with pytest.raises(ValueError, match="whole numbers without nulls"):
        connected_components(pa.array([1, None]), pa.array([1, 2]), 4)
