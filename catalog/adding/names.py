"""Names of columns: those of files may be anything, those of tables are words that SQL needs no quotes for."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 60

RESERVED = frozenset(
    "all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create default "
    "deferrable desc describe distinct do else end except false fetch for foreign from grant group having in initially "
    "intersect into lambda lateral leading limit not null offset on only or order pivot placing primary qualify "
    "references returning select show some summarize symmetric table then to trailing true union unique unpivot using "
    "variadic when where window with".split()
)
"""Words that SQL reserves; a column of this name would need quotes everywhere."""


def column_names(found: Iterable[str]) -> dict[str, str]:
    """The name in the table of each name in the files: lower case, words joined by underscores, each one unique.

    Example:
        >>> from catalog.adding.names import column_names
        >>> column_names(["First Name", "größe", "order", "first_name", "2024", ""])
        {'First Name': 'first_name', 'größe': 'grosse', 'order': 'order_', 'first_name': 'first_name_2', '2024': \
'column_2024', '': 'column_6'}
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for place, original in enumerate(found, start=1):
        name = column_name(original) or f"column_{place}"
        unique, number = name, 2
        while unique in taken:
            unique, number = f"{name}_{number}", number + 1
        taken.add(unique)
        names[original] = unique
    return names


def column_name(original: str) -> str:
    """One name, without regard to others; empty if nothing is left of it."""
    from anyascii import anyascii

    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", anyascii(original[: 4 * LONGEST]))
    name = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:LONGEST].strip("_")
    if name[:1].isdigit():
        name = f"column_{name}"
    return f"{name}_" if name in RESERVED else name
