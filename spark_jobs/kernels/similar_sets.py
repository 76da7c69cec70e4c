"""The leaders of a large group of sets, found by an index of their rarest members.

In a group of pages that one template made, no page may be a copy of another, and comparing every two would take hours.
Two sets of Jaccard similarity t or more have a member in common among the first few of each, whatever order the members
are put in (prefix filtering: Chaudhuri, Ganti and Kaushik 2006), and the place of that member bounds how much they have
in common (PPJoin: Xiao, Wang, Lin and Yu 2008, section 3). With rare members first, few pairs are left to be compared.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spark_jobs.kernels.compiled import entry, inner

COUNTERS = 1 << 22
"""Counters of members. Members with the same counter are taken to be as frequent as both together."""
BUCKETS = 1 << 24
"""Most buckets of the index."""
CHUNK_SETS, CHUNK_MEMBERS = 1 << 16, 1 << 22
"""Most sets and about how many members are put in order at once."""
_ROUNDING = 1e-9


def lead_large(
    places: npt.NDArray[np.int64],
    fixed: npt.NDArray[np.bool_],
    values: npt.NDArray[np.uint32],
    bounds: npt.NDArray[np.int64],
    *,
    threshold: float,
    founding: bool,
) -> npt.NDArray[np.int64]:
    """The leader of each set of one group, as `near_copies.lead` defines it.

    Args:
        places: the index in `bounds` of each set, in the order of rank.
        fixed: sets that are leaders, whatever they are similar to.
        values: members of the sets in ascending order; those of set i are `values[bounds[i] : bounds[i + 1]]`.
        bounds: see `values`.
        threshold: smallest Jaccard similarity of a set and its leader.
        founding: whether sets that are not `fixed` may be leaders.

    Returns:
        the leader of each set, as an index in `places`; -1 without one.
    """
    places, fixed, values, bounds = read_only(places, fixed, values, bounds)
    sizes = bounds[places + 1] - bounds[places]
    counters = np.zeros(COUNTERS, np.uint32)
    _count(places, values, bounds, counters)
    (prefixes,) = read_only(_prefix_sizes(sizes, threshold))
    entries = int(prefixes.sum())
    buckets = np.full(1 << min(max(entries, 1).bit_length(), BUCKETS.bit_length() - 1), -1, np.int64)
    # Only the parts that leaders fill are ever touched.
    index = np.empty(entries, np.uint32), np.empty(entries, np.int32), np.empty(entries, np.int32)
    following = np.empty(entries, np.int64)
    leaders, met = np.full(len(places), -1, np.int64), np.full(len(places), -1, np.int64)
    filled = start = 0
    ends = np.cumsum(sizes)
    while start < len(places):
        before = ends[start - 1] if start else 0
        stop = int(np.searchsorted(ends, before + CHUNK_MEMBERS, "right"))
        stop = min(max(stop, start + 1), start + CHUNK_SETS)
        packed = np.empty(int(ends[stop - 1] - before), np.uint64)
        _pack(places[start:stop], values, bounds, counters, packed)
        packed.sort()
        filled = _lead_chunk(
            start, packed, places[start:stop], places, prefixes, fixed, values, bounds, threshold, founding,
            buckets, *index, following, filled, met, leaders,
        )  # fmt: skip
        start = stop
    return leaders


def read_only(*arrays: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Views of arrays that cannot be written. A kernel is compiled for one kind of array, and files are read-only."""
    given = [array.view(np.ndarray) for array in arrays]
    for array in given:
        array.flags.writeable = False
    return given


def _prefix_sizes(sizes: npt.NDArray[np.int64], threshold: float) -> npt.NDArray[np.int64]:
    """For each set, of how many first members one is in any set that is as similar as the threshold."""
    least = np.maximum(sizes[sizes > 0].min(initial=np.iinfo(np.int64).max), np.ceil(threshold * sizes - _ROUNDING))
    common = np.ceil(threshold / (1 + threshold) * (sizes + least) - _ROUNDING)
    return np.clip(sizes - common + 1, 0, sizes).astype(np.int64)


@entry
def _count(places, values, bounds, counters):
    for place in places:
        for i in range(bounds[place], bounds[place + 1]):
            counters[values[i] % np.uint32(len(counters))] += np.uint32(1)


@entry
def _pack(places, values, bounds, counters, packed):
    """Write each member such that sorting orders them by set, then by frequency."""
    size = 0
    for i in range(len(places)):
        for j in range(bounds[places[i]], bounds[places[i] + 1]):
            value = values[j]
            count = min(counters[value % np.uint32(len(counters))], np.uint32(0xFFFF))
            packed[size] = np.uint64(i) << np.uint64(48) | np.uint64(count) << np.uint64(32) | np.uint64(value)
            size += 1


@inner
def _similar(one, one_end, other, other_end, values, threshold):
    width, other_width = one_end - one, other_end - other
    # One fewer than needed: what decides is the division below.
    least = np.int64(threshold * (width + other_width) / (1 + threshold)) - 1
    first, other_first, common = one, other, 0
    while one < one_end and other < other_end:
        left, right = values[one], values[other]
        common += left == right
        one += left <= right
        other += right <= left
        if one - first - common > width - least or other - other_first - common > other_width - least:
            return False
    return common / (width + other_width - common) >= threshold


@entry
def _lead_chunk(
    start, packed, chunk, places, prefixes, fixed, values, bounds, threshold, founding,
    buckets, tokens, owners, positions, following, filled, met, leaders,
):  # fmt: skip
    mask = np.uint64(len(buckets) - 1)
    share = threshold / (1 + threshold)
    begin = 0
    for i in range(len(chunk)):
        document, place = start + i, chunk[i]
        width = bounds[place + 1] - bounds[place]
        if not fixed[document]:
            for position in range(prefixes[document]):
                token = np.uint32(packed[begin + position] & np.uint64(0xFFFFFFFF))
                at = buckets[_bucket(token, mask)]
                while at >= 0:
                    if tokens[at] == token:
                        other = owners[at]
                        # The first common member that is met decides whether two sets are compared.
                        if met[other] != document:
                            met[other] = document
                            away = places[other]
                            other_width = bounds[away + 1] - bounds[away]
                            most = min(width - position, other_width - positions[at])
                            if (
                                (leaders[document] < 0 or other < leaders[document])
                                and most >= share * (width + other_width) - 1e-9
                                and _similar(
                                    bounds[place], bounds[place + 1], bounds[away], bounds[away + 1], values, threshold
                                )
                            ):
                                leaders[document] = other
                    at = following[at]
        if fixed[document] or (leaders[document] < 0 and founding):
            leaders[document] = document
            for position in range(prefixes[document]):
                token = np.uint32(packed[begin + position] & np.uint64(0xFFFFFFFF))
                bucket = _bucket(token, mask)
                tokens[filled], owners[filled], positions[filled] = token, document, position
                following[filled] = buckets[bucket]
                buckets[bucket] = filled
                filled += 1
        begin += width
    return filled


@inner
def _bucket(token, mask):
    return np.int64((np.uint64(token) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)) & mask)
