"""How much dialogues differ from each other: near-duplicates among them, and distinct n-grams."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

SHINGLE = 3
"""Words of a shingle."""
SIMILAR = 0.5
"""The Jaccard similarity of shingles from which on two dialogues are near-duplicates."""
PERMUTATIONS = 128

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return [word.casefold() for word in _WORD.findall(text)]


def distinct(texts: Iterable[str], n: int) -> float | None:
    """Return the distinct n-grams of all texts over their n-grams, 0..1; None if there are none."""
    seen: set[tuple[str, ...]] = set()
    count = 0
    for text in texts:
        tokens = words(text)
        grams = [tuple(tokens[place : place + n]) for place in range(len(tokens) - n + 1)]
        seen.update(grams)
        count += len(grams)
    return len(seen) / count if count else None


def near_duplicates(texts: Sequence[str]) -> int:
    """Return how many texts are near-duplicates of an earlier one.

    Pairs are found by MinHash and locality-sensitive hashing, and compared by their shingles.
    """
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=SIMILAR * 0.8, num_perm=PERMUTATIONS)
    shingles: dict[int, frozenset[str]] = {}
    by_text: dict[frozenset[str], list[int]] = defaultdict(list)
    count = 0
    for place, text in enumerate(texts):
        tokens = words(text)
        found = frozenset(
            " ".join(tokens[start : start + SHINGLE]) for start in range(max(1, len(tokens) - SHINGLE + 1))
        )
        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([shingle.encode() for shingle in found])
        alike = [*by_text.get(found, ()), *(int(str(key)) for key in index.query(sketch))]
        count += any(len(found & shingles[other]) >= SIMILAR * len(found | shingles[other]) for other in alike)
        if found not in by_text:
            index.insert(str(place), sketch)
            shingles[place] = found
            by_text[found].append(place)
    return count
