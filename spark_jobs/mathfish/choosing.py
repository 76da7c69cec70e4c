"""Which problems models are asked about, where not all are."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import chain, zip_longest
from typing import Any

ORDER = ("", "K", "5", "HS", "2", "7", "3", "8", "1", "6", "4")
"""Grades in the order in which problems are taken, so that the first few are far from one another."""


def chosen_problems(rows: Iterable[Mapping[str, Any]], each: int) -> list[Mapping[str, Any]]:
    """At most `each` problems of every collection, spread over the grades of their standards; 0 for all.

    Problems with a positive label or an answer come first, as nothing is asked about others. The choice depends on ids
    alone, and a larger `each` keeps the problems of a smaller one.
    """
    collections: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: hashlib.sha256(row["problem"].encode()).hexdigest()):
        if row["standards"] or row["answer"]:
            collections[row["collection"]].append(row)
    found: list[Mapping[str, Any]] = []
    for _, own in sorted(collections.items()):
        grades: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in own:
            grades[row["grades"][0] if row["grades"] else ""].append(row)
        turns = zip_longest(*(grades[grade] for grade in ORDER if grade in grades))
        spread = [row for row in chain.from_iterable(turns) if row is not None]
        found += spread[:each] if each else spread
    return found
