"""The leaders that an index finds are those of comparing every two sets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from spark_jobs.kernels import similar_sets
from spark_jobs.kernels.near_copies import ESTIMATE, JACCARD, LARGE, MANY, Marks, connect, lead, runs, similarities
from spark_jobs.kernels.similar_sets import lead_large
from spark_jobs.kernels.union_find import UnionFind, connected_components


def marks_of(sets: Sequence[set[int]]) -> Marks:
    values = [sorted(members) for members in sets]
    bounds = np.concatenate([[0], np.cumsum([len(members) for members in values])]).astype(np.int64)
    return Marks(np.array([member for members in values for member in members], np.uint32), bounds)


def alike(one: set[int], other: set[int], threshold: float) -> bool:
    return bool(one and other) and len(one & other) / len(one | other) >= threshold


def leaders(
    sets: Sequence[set[int]], fixed: npt.NDArray[np.bool_], threshold: float, founding: bool, equal: Sequence[int] = ()
) -> list[int]:
    """By definition: each set is compared with every leader before it, unless it equals an earlier one."""
    found: list[int] = []
    for i, members in enumerate(sets):
        before = (j for j in range(i) if found[j] == j and alike(members, sets[j], threshold))
        if fixed[i]:
            found.append(i)
        elif equal and equal[i] != i:
            found.append(found[equal[i]])
        else:
            found.append(next(before, i if founding else -1))
    return found


def families(draw: np.random.Generator, count: int) -> list[set[int]]:
    """Sets of few families, with similarities from 0 to 1, and some empty ones."""
    bases = [draw.integers(0, 2**32, draw.integers(5, 80)).tolist() for _ in range(6)]
    sets = []
    for _ in range(count):
        base = bases[draw.integers(len(bases))]
        kept = [member for member in base if draw.random() > draw.choice([0.0, 0.02, 0.1, 0.3])]
        sets.append(
            {*kept, *draw.integers(0, 2**32, draw.choice([0, 0, 3, 12])).tolist()} if draw.random() > 0.03 else set()
        )
    return sets


@pytest.mark.parametrize("threshold", [0.3, 0.8, 0.95])
@pytest.mark.parametrize("founding", [True, False])
def test_leaders_are_those_of_comparing_every_two_sets(
    threshold: float, founding: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, chunk in enumerate((7, 1 << 16)):
        monkeypatch.setattr(similar_sets, "CHUNK_SETS", chunk)
        draw = np.random.default_rng(seed)
        sets = families(draw, LARGE + 20)
        marks, fixed = marks_of(sets), draw.random(len(sets)) < (0.02 if founding else 0.2)
        expected = leaders(sets, fixed, threshold, founding)
        assert len(set(expected)) < len(sets)
        places = np.arange(len(sets))
        found = lead_large(places, fixed, *marks, threshold=threshold, founding=founding)
        assert found.tolist() == expected
        # The same groups, small and large, side by side and with repeated documents.
        starts = np.array([0, 0, 10, len(sets)])
        equal = places.copy()
        equal[[3, 9]] = 1
        equal[starts[2] + 90] = starts[2] + 60
        # Documents that are fixed come first in their group.
        fixed = np.isin(places, [*range(8), *range(starts[2], starts[2] + 8)])
        twin = [sets[i] for i in equal]
        grouped = []
        for a, b in pairwise(starts.tolist()):
            found = leaders(twin[a:b], fixed[a:b], threshold, founding, [i - a for i in equal[a:b].tolist()])
            grouped += [leader + a if leader >= 0 else -1 for leader in found]
        given = {"compare": JACCARD, "threshold": threshold, "founding": founding}
        assert lead(starts, places, equal, fixed, marks, **given).tolist() == grouped


def test_members_that_share_a_counter_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(9)
    sets = families(draw, 300)
    marks, fixed = marks_of(sets), np.zeros(300, np.bool_)
    expected = lead_large(np.arange(300), fixed, *marks, threshold=0.6, founding=True).tolist()
    monkeypatch.setattr(similar_sets, "COUNTERS", 3)
    monkeypatch.setattr(similar_sets, "BUCKETS", 2)
    assert lead_large(np.arange(300), fixed, *marks, threshold=0.6, founding=True).tolist() == expected


def test_similarities_are_those_of_sets_and_of_signatures() -> None:
    draw = np.random.default_rng(3)
    sets = families(draw, 60)
    left, right = draw.integers(0, 60, 200), draw.integers(0, 60, 200)
    expected = [
        len(sets[i] & sets[j]) / len(sets[i] | sets[j]) if sets[i] and sets[j] else 0.0
        for i, j in zip(left.tolist(), right.tolist(), strict=True)
    ]
    assert similarities(left, right, marks_of(sets), compare=JACCARD).tolist() == expected
    values = draw.integers(0, 3, (60, 16)).astype(np.uint32)
    signatures = Marks(values.ravel(), np.arange(61, dtype=np.int64) * 16)
    found = similarities(left, right, signatures, compare=ESTIMATE)
    assert found.tolist() == (values[left] == values[right]).mean(axis=1).tolist()


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.8])
def test_documents_that_distances_rule_out_are_no_copies(threshold: float) -> None:
    for seed in range(2):
        sets = families(np.random.default_rng(seed), 240)
        # Two clusters of many documents that are nearly copies of each other.
        apart = round(70 * (1 - threshold))
        sets += [{*range(80), 1000 + i} for i in range(40)]
        sets += [{*range(apart, 80 + apart), 2000 + i} for i in range(40)]
        pairs = [(i, j) for i, one in enumerate(sets) for j in range(i) if alike(one, sets[j], threshold)]
        left, right = np.array(pairs).T
        expected = connected_components(left, right, len(sets)).tolist()
        assert max(np.bincount(expected)) > 4 * MANY
        found = UnionFind(len(sets))
        connect(runs(np.zeros(len(sets), np.int64)), marks_of(sets), found, compare=JACCARD, threshold=threshold)
        assert found.labels().tolist() == expected
