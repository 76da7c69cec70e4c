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


DEVELOPMENT = 5
"""One problem in so many is of the development split."""


def in_development(row: Mapping[str, Any]) -> bool:
    """Whether a problem is of the development split, on which wordings of prompts are compared.

    It has a label, and its id decides, so that the split is the same whichever problems are beside it.
    """
    digest = hashlib.sha256(f"development {row['problem']}".encode()).digest()
    return bool(row["standards"]) and int.from_bytes(digest[:8]) % DEVELOPMENT == 0


def development_problems(rows: Iterable[Mapping[str, Any]], each: int) -> list[Mapping[str, Any]]:
    """At most `each` problems of every collection on which wordings are compared; none for 0."""
    return chosen_problems([row for row in rows if in_development(row)], each) if each else []


def asked_problems(rows: Iterable[Mapping[str, Any]], each: int, *, compared: bool) -> list[Mapping[str, Any]]:
    """The problems that results are about, as `chosen_problems`.

    Args:
        rows: of mathfish.problems.
        each: the most problems of a collection; 0 for all.
        compared: whether wordings are compared. Then the development split is left out, whole.
    """
    return chosen_problems([row for row in rows if not (compared and in_development(row))], each)
