"""The shard of each archive: kept once it is registered, and new archives are placed behind those that are.

A shard that gets an archive is read again as a whole. New archives therefore open new shards while there are any, and
only then join shards that hold others.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence

from catalog.tables.dclm import SHARDS

POOL_SHARDS = SHARDS * SHARDS
"""The number of shards of a pool: 10 global shards of 10 local shards each."""


def place(names: Sequence[str], placed: Mapping[str, int], files_per_shard: int) -> list[int]:
    """The shard, 0 to 99, of each of the archives `names`.

    An archive in `placed` stays where it is. The others are placed in the order of `names`: `files_per_shard` to a
    shard in shards that hold none, beginning behind the last one in use; evenly over these shards if there are more
    archives than that; and in the shards with the fewest archives once a free shard would hold more than the fullest.

    Args:
        names: the archives, each once.
        placed: the shards of archives that were registered before. Others than `names` are ignored.
        files_per_shard: archives in a shard.

    Example:
        >>> place(["a", "b", "c"], {}, files_per_shard=2)
        [0, 0, 1]
        >>> place(["_", "a", "b", "c"], {"a": 0, "b": 0, "c": 1}, files_per_shard=2)
        [2, 0, 0, 1]
    """
    found = {name: placed[name] for name in names if name in placed}
    new = [name for name in names if name not in found]
    held = Counter(found.values())
    last = max(held, default=-1)
    free = [shard for shard in (*range(last + 1, POOL_SHARDS), *range(last)) if not held[shard]]
    fullest = max(files_per_shard, *held.values()) if held else files_per_shard
    if len(new) <= len(free) * files_per_shard:
        chosen = [free[number // files_per_shard] for number in range(len(new))]
    elif len(new) <= len(free) * fullest or not held:
        chosen = [free[number * len(free) // len(new)] for number in range(len(new))]
    else:
        chosen = _least_full(held, len(new))
    found |= zip(new, chosen, strict=True)
    return [found[name] for name in names]


def _least_full(held: Mapping[int, int], archives: int) -> list[int]:
    """The shards of `archives` more archives, in order, if each goes where the fewest are."""
    fill = [(held.get(shard, 0), shard) for shard in range(POOL_SHARDS)]
    heapq.heapify(fill)
    more: list[int] = []
    for _ in range(archives):
        count, shard = fill[0]
        heapq.heapreplace(fill, (count + 1, shard))
        more.append(shard)
    return sorted(more)
