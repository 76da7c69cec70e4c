"""Names as people write them: exactly, or in other letters' case where that leaves one choice.

The catalog has the same in `catalog/names.py`, as a trainer imports no other room.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def find(name: str, known: Iterable[str]) -> str | None:
    """The known name that is meant: the same, or the only one that differs in the case of letters alone."""
    names = list(known)
    if name in names:
        return name
    alike = [each for each in names if each.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def close(name: str, known: Iterable[str]) -> str:
    """What a message adds after a name that is unknown: "; close: 70k, 270k", or nothing where none is."""
    spelt = {each.casefold(): each for each in known}
    found = difflib.get_close_matches(name.casefold(), spelt, n=3)
    return f"; close: {', '.join(spelt[each] for each in found)}" if found else ""
