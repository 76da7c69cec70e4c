"""Clusters from pairs: connected components, with one 4-byte parent per document.

A component is named after its least member, so that labels depend neither on the order of the pairs
nor on how they were cut into batches.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_jobs.kernels.compiled import entry, inner

Indices = npt.NDArray[np.integer] | pa.Array | pa.ChunkedArray
"""Numbers of documents, 0 up to `size`."""


class UnionFind:
    """Disjoint sets of the documents 0 up to `size`, at first each alone.

    Takes 4 bytes per document, whatever the number of pairs: hand these over in batches.
    """

    def __init__(self, size: int) -> None:
        if not 0 <= size < 1 << 31:
            raise ValueError(f"{size} documents: parents of 4 bytes reach up to {(1 << 31) - 1}")
        self.parents = np.arange(size, dtype=np.int32)

    def union(self, left: Indices, right: Indices) -> None:
        """Put each left document and the right one beside it into one set.

        Raises:
            ValueError: the two differ in length, or a number is not that of a document.
        """
        lefts, rights = _indices(left), _indices(right)
        if len(lefts) != len(rights):
            raise ValueError(f"{len(lefts)} left documents and {len(rights)} right ones do not pair")
        for indices in (lefts, rights):
            if len(indices) and not 0 <= indices.min() <= indices.max() < len(self.parents):
                raise ValueError(f"a pair names a document outside 0..{len(self.parents) - 1}")
        _union(lefts, rights, self.parents)

    def labels(self) -> npt.NDArray[np.int32]:
        """For each document the least document of its set, itself if it is alone."""
        _flatten(self.parents)
        return self.parents.copy()


def connected_components(left: Indices, right: Indices, size: int) -> npt.NDArray[np.int32]:
    """For each of `size` documents, the least one that pairs connect it with; itself if none does."""
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
    """The document that stands for a document's set, as far as that is known."""
    while parents[document] != document:
        # Half the path: each second node passes over its parent.
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
    # A parent is never greater than its child, so it is final before the child is reached.
    for document in range(len(parents)):
        parents[document] = parents[parents[document]]
