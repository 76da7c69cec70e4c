"""Comparison of documents that share an LSH key, and the clusters that the copies among them form.

Copies are joined in a union-find, and two documents that are already connected are not compared. A run of a thousand
copies of one page therefore takes a thousand comparisons instead of half a million. The clusters are the same as if
every two documents of every run were compared, and they depend neither on the order of the runs nor on the order of the
documents within a run.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.union_find import UnionFind, root

SAME, ESTIMATE, JACCARD = range(3)
"""How two documents are compared: all values are equal; the share of equal values of two signatures; the Jaccard
similarity of two sets."""


class Marks(NamedTuple):
    """The values by which documents are compared; those of document i are `values[bounds[i] : bounds[i + 1]]`."""

    values: npt.NDArray[np.uint32]
    """The values of a signature, or the members of a set in ascending order. ESTIMATE and JACCARD find no copies of a
    document that has none."""
    bounds: npt.NDArray[np.int64]


class Runs(NamedTuple):
    """Documents that share a key; run i is `members[starts[i] : starts[i + 1]]`."""

    members: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]


def runs(keys: npt.NDArray[np.int64], documents: npt.NDArray[np.int32] | None = None) -> Runs:
    """The runs of two or more equal keys. `documents` has the document of each key; the default is the key's index."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    starts, stops = np.concatenate([[0], changes]), np.concatenate([changes, [len(keys)]])
    shared = (stops - starts > 1).repeat(stops - starts) if len(keys) else np.zeros(0, np.bool_)
    members = order[shared]
    sizes = (stops - starts)[stops - starts > 1]
    members = members if documents is None else documents[members]
    return Runs(members.astype(np.int32), np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def connect(found: Runs, marks: Marks, sets: UnionFind, *, compare: int, threshold: float) -> npt.NDArray[np.int32]:
    """Join the documents of each run that are copies.

    Args:
        found: documents that share a key.
        marks: values of all documents.
        sets: sets of all documents, which are joined in place.
        compare: SAME, ESTIMATE or JACCARD.
        threshold: smallest similarity of two copies.

    Returns:
        the pairs that were joined, (n, 2); n is smaller than the number of documents.
    """
    longest = int(np.diff(found.starts).max(initial=0))
    edges = np.empty((min(len(found.members), len(sets.parents)), 2), np.int32)
    waiting = np.empty(longest, np.int32)
    given = [array.view(np.ndarray) for array in (*found, *marks)]
    for array in given:
        array.flags.writeable = False
    count = _connect(*given, compare, threshold, sets.parents, waiting, edges)
    return edges[:count]


@inner
def _equal_values(left, right, width, values):
    equal = 0
    for i in range(width):
        equal += values[left + i] == values[right + i]
    return equal


@inner
def _common_members(left, left_end, right, right_end, values):
    common = 0
    while left < left_end and right < right_end:
        one, other = values[left], values[right]
        common += one == other
        left += one <= other
        right += other <= one
    return common


@inner
def _alike(one, other, values, bounds, compare, threshold):
    left, right = bounds[one], bounds[other]
    width, other_width = bounds[one + 1] - left, bounds[other + 1] - right
    if compare == SAME:
        return width == other_width and _equal_values(left, right, width, values) == width
    if min(width, other_width) == 0:
        return False
    if compare == ESTIMATE:
        return width == other_width and _equal_values(left, right, width, values) / width >= threshold
    if min(width, other_width) / max(width, other_width) < threshold:
        return False
    common = _common_members(left, left + width, right, right + other_width, values)
    return common / (width + other_width - common) >= threshold


@entry
def _connect(members, starts, values, bounds, compare, threshold, parents, waiting, edges):
    count = 0
    for run in range(len(starts) - 1):
        size = starts[run + 1] - starts[run]
        for i in range(size):
            waiting[i] = members[starts[run] + i]
        # A breadth-first search: each document before `reached` is connected with an earlier one or begins a component.
        following = reached = 0
        while following < size:
            reached = max(reached, following + 1)
            document = waiting[following]
            home = root(document, parents)
            for i in range(reached, size):
                other = waiting[i]
                away = root(other, parents)
                if away != home:
                    if not _alike(document, other, values, bounds, compare, threshold):
                        continue
                    parents[max(home, away)] = min(home, away)
                    home = min(home, away)
                    edges[count, 0], edges[count, 1] = document, other
                    count += 1
                waiting[i] = waiting[reached]
                waiting[reached] = other
                reached += 1
            following += 1
    return count
