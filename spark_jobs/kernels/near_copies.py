"""Comparison of documents that share an LSH key, the clusters that the copies among them form, and their leaders.

Copies are joined in a union-find, and two documents that are already connected are not compared. A run of a thousand
copies of one page therefore takes a thousand comparisons instead of half a million. Two large clusters in a run would
still be compared document by document, so their distances from the first document of one of them are computed: by the
triangle inequality, documents whose distances differ too much are not copies. The clusters are the same as if
every two documents of every run were compared, and they depend neither on the order of the runs nor on the order of the
documents within a run.

`lead` forms clusters in which every document is a copy of the leader. `connect` follows copies of copies.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.similar_sets import lead_large, read_only
from spark_jobs.kernels.union_find import UnionFind, root

SAME, ESTIMATE, JACCARD = range(3)
"""How two documents are compared: all values are equal; the share of equal values of two signatures; the Jaccard
similarity of two sets."""


LARGE = 256
"""Documents of a group from which on its sets are compared with the help of an index."""


MANY = 8
"""Documents of a cluster after which distances from its first document are computed."""


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
    waiting, far = np.empty(longest, np.int32), np.empty(longest, np.float64)
    count = _connect(*read_only(*found, *marks), compare, threshold, sets.parents, waiting, far, edges)
    return edges[:count]


def lead(
    starts: npt.NDArray[np.int64],
    places: npt.NDArray[np.int64],
    equal: npt.NDArray[np.int64],
    fixed: npt.NDArray[np.bool_],
    marks: Marks,
    *,
    compare: int,
    threshold: float,
    founding: bool = True,
) -> npt.NDArray[np.int64]:
    """The leader of each document: the first in its group that is a leader and of which the document is a copy.

    Documents come in the order of their rank. A document that is a copy of no leader before it is a leader itself.

    Args:
        starts: bounds of the groups; group i consists of the documents from `starts[i]` to `starts[i + 1]`.
        places: the index of each document in `marks`; not read for a document that equals an earlier one.
        equal: for each document, the first document of its group with the same text; itself if it is the first.
        fixed: documents that are leaders, whatever they are copies of.
        marks: values of the documents.
        compare: ESTIMATE or JACCARD.
        threshold: smallest similarity of a copy and its leader.
        founding: whether documents that are not `fixed` may be leaders.

    Returns:
        the index of the leader, which is the document itself for a leader; -1 without one.
    """
    leaders = np.full(len(places), -1, np.int64)
    sizes = np.diff(starts)
    large = sizes > LARGE if compare == JACCARD else np.zeros(len(sizes), np.bool_)
    found = np.empty(int(sizes[~large].max(initial=0)), np.int64)
    bounds = np.ascontiguousarray(starts[:-1][~large]), np.ascontiguousarray(starts[1:][~large])
    given = read_only(*bounds, places, equal, fixed, *marks)
    _lead(*given, compare, threshold, founding, leaders, found)
    for group in np.flatnonzero(large):
        some = slice(starts[group], starts[group + 1])
        distinct = starts[group] + np.flatnonzero(equal[some] == np.arange(some.start, some.stop))
        led = lead_large(places[distinct], fixed[distinct], *marks, threshold=threshold, founding=founding)
        leaders[distinct] = np.where(led >= 0, distinct[led], -1)
        leaders[some] = np.where(fixed[some], np.arange(some.start, some.stop), leaders[equal[some]])
    return leaders


def similarities(
    left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], marks: Marks, *, compare: int
) -> npt.NDArray[np.float64]:
    """The similarity, from 0 to 1, of each left document and the right one at the same index; 0 without values."""
    found = np.empty(len(left), np.float64)
    _similarities(*read_only(left, right, *marks), compare, found)
    return found


@inner
def _equal_values(left, right, width, values):
    equal = 0
    for i in range(width):
        equal += values[left + i] == values[right + i]
    return equal


@inner
def _common_members(left, left_end, right, right_end, values, least):
    """The number of common members of two sets, or any smaller number if there are fewer than `least`."""
    first, other_first = left, right
    spare, other_spare = left_end - left - least, right_end - right - least
    common = 0
    while left < left_end and right < right_end:
        one, other = values[left], values[right]
        common += one == other
        left += one <= other
        right += other <= one
        if left - first - common > spare or right - other_first - common > other_spare:
            break
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
    # One fewer than needed: what decides is the division below.
    least = np.int64(threshold * (width + other_width) / (1 + threshold)) - 1
    common = _common_members(left, left + width, right, right + other_width, values, least)
    return common / (width + other_width - common) >= threshold


@entry
def _lead(starts, stops, places, equal, fixed, values, bounds, compare, threshold, founding, leaders, found):
    for group in range(len(starts)):
        count = 0
        for document in range(starts[group], stops[group]):
            first = equal[document]
            if fixed[document]:
                leaders[document] = document
            elif first != document:
                leaders[document] = leaders[first]
                continue
            else:
                for i in range(count):
                    if _alike(places[found[i]], places[document], values, bounds, compare, threshold):
                        leaders[document] = found[i]
                        break
                if leaders[document] < 0 and founding:
                    leaders[document] = document
            # Of equal leaders, the first is found before the others.
            if leaders[document] == document and first == document:
                found[count] = document
                count += 1


@inner
def _similarity(one, other, values, bounds, compare):
    left, right = bounds[one], bounds[other]
    width, other_width = bounds[one + 1] - left, bounds[other + 1] - right
    if min(width, other_width) == 0:
        return 0.0
    if compare == JACCARD:
        common = _common_members(left, left + width, right, right + other_width, values, 0)
        return common / (width + other_width - common)
    return _equal_values(left, right, width, values) / width if width == other_width else 0.0


@entry
def _similarities(left, right, values, bounds, compare, found):
    for pair in range(len(left)):
        found[pair] = _similarity(left[pair], right[pair], values, bounds, compare)


@entry
def _connect(members, starts, values, bounds, compare, threshold, parents, waiting, far, edges):
    count = 0
    # The share of unequal values and the Jaccard distance are metrics. What is further apart is not a copy.
    most = 1.0 - threshold + 1e-9
    for run in range(len(starts) - 1):
        size = starts[run + 1] - starts[run]
        for i in range(size):
            waiting[i] = members[starts[run] + i]
        # A breadth-first search: each document before `reached` is connected with an earlier one or begins a component.
        following = reached = begin = 0
        while following < size:
            if following == reached:
                begin = following
                reached += 1
            document = waiting[following]
            if following - begin == MANY and compare != SAME:
                for i in range(following, size):
                    far[i] = 1.0 - _similarity(waiting[begin], waiting[i], values, bounds, compare)
            measured = following - begin >= MANY and compare != SAME
            home = root(document, parents)
            for i in range(reached, size):
                other = waiting[i]
                away = root(other, parents)
                if away != home:
                    if measured and abs(far[following] - far[i]) > most:
                        continue
                    if not _alike(document, other, values, bounds, compare, threshold):
                        continue
                    parents[max(home, away)] = min(home, away)
                    home = min(home, away)
                    edges[count, 0], edges[count, 1] = document, other
                    count += 1
                waiting[i] = waiting[reached]
                waiting[reached] = other
                far[i], far[reached] = far[reached], far[i]
                reached += 1
            following += 1
    return count
