"""Clusters from pairs: connected components, with one 4-byte parent per document.

A component is labelled by its smallest member, so labels depend neither on the order of the pairs nor on how they are
divided into batches.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_jobs.kernels.compiled import entry, inner

Indices = npt.NDArray[np.integer] | pa.Array | pa.ChunkedArray
"""Indices of documents, from 0 to `size` - 1."""


class UnionFind:
    """Disjoint sets of the documents 0 to `size` - 1. At first, each document is in a set of its own.

    The memory is 4 bytes per document, whatever the number of pairs, if the pairs are passed in batches.
    """

    def __init__(self, size: int) -> None:
        if not 0 <= size < 1 << 31:
            raise ValueError(f"{size} documents: parents of 4 bytes reach up to {(1 << 31) - 1}")
        self.parents = np.arange(size, dtype=np.int32)

    def union(self, left: Indices, right: Indices) -> None:
        """Join the sets of each left document and the right document at the same index.

        Raises:
            ValueError: the arrays differ in length, or an index is not that of a document.
        """
        lefts, rights = _indices(left), _indices(right)
        if len(lefts) != len(rights):
            raise ValueError(f"{len(lefts)} left documents and {len(rights)} right ones do not pair")
        for indices in (lefts, rights):
            if len(indices) and not 0 <= indices.min() <= indices.max() < len(self.parents):
                raise ValueError(f"a pair names a document outside 0..{len(self.parents) - 1}")
        _union(lefts, rights, self.parents)

    def labels(self) -> npt.NDArray[np.int32]:
        """For each document, the smallest document of its set; the document itself if it is alone."""
        _flatten(self.parents)
        return self.parents.copy()


def connected_components(left: Indices, right: Indices, size: int) -> npt.NDArray[np.int32]:
    """For each of `size` documents, the smallest document of its component; the document itself if it has no pair."""
    sets = UnionFind(size)
    sets.union(left, right)
    return sets.labels()


def _indices(indices: Indices) -> npt.NDArray[np.int64]:
    values = indices.to_numpy() if isinstance(indices, pa.ChunkedArray) else np.asarray(indices)
    if values.dtype.kind not in "iu":
        raise ValueError(f"numbers of documents are whole numbers without nulls, not {values.dtype}")
    return np.array(values, np.int64)


@inner
def root(document, parents):
    """The document that represents the set of a document; later pairs may still join the set with others."""
    while parents[document] != document:
        # Path halving: every second node is linked to its grandparent.
        parents[document] = parents[parents[document]]
        document = parents[document]
    return document


@entry
def _union(lefts, rights, parents):
    for pair in range(len(lefts)):
        left, right = root(lefts[pair], parents), root(rights[pair], parents)
        if left < right:
            parents[right] = left
        else:
            parents[left] = right


@entry
def _flatten(parents):
    # A parent is never greater than its child, so its own parent is final before the child is processed.
    for document in range(len(parents)):
        parents[document] = parents[parents[document]]
