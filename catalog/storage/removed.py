"""The versions of a table that cannot be read any more: rows of them were removed by order, or nothing needed them.

lake/dclm/documents/_checksums/removed.json
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from catalog.errors import WatershedError
from catalog.storage.records import RECORDS, sealed, unsealed
from catalog.storage.store import Store

REMOVED = f"{RECORDS}/removed.json"


@dataclass(frozen=True)
class Removed:
    """What removals did to a table."""

    orders: Mapping[str, str] = field(default_factory=dict)
    """The orders that were carried out on it, and when each was given."""
    unreadable: tuple[int, ...] = ()
    """Versions that held a removed row. Their files are deleted."""
    unused: tuple[int, ...] = ()
    """Versions whose files `watershed unused --delete` deleted."""

    @property
    def words(self) -> str:
        """For a card: how many orders there were, and which versions cannot be read."""
        parts = []
        if self.orders:
            count = "1 order" if len(self.orders) == 1 else f"{len(self.orders):,} orders"
            parts.append(f"{count} to forget, the last of {max(self.orders.values())[:10]}")
        if gone := {*self.unreadable, *self.unused}:
            parts.append(f"versions that cannot be read any more: {spans(tuple(gone))}")
        return "; ".join(parts)


def read_removed(store: Store) -> Removed:
    """What removals did to the table; nothing if there were none, or the record is damaged."""
    if store.size(REMOVED) is None:
        return Removed()
    try:
        found = unsealed(store.read(REMOVED))
        unreadable, unused = (tuple(map(int, found.get(part, ()))) for part in ("unreadable", "unused"))
        return Removed(dict(found["orders"]), unreadable, unused)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Removed()


def write_removed(store: Store, removed: Removed) -> None:
    """Record what removals did to the table."""
    if removed != read_removed(store):
        versions = {"unreadable": list(removed.unreadable), "unused": list(removed.unused)}
        store.write(REMOVED, sealed({"orders": dict(removed.orders), **versions}))


def refuse_unreadable(store: Store, name: str, version: int) -> None:
    """Refuse a version whose rows were removed.

    Raises:
        WatershedError: the version cannot be read any more.
    """
    removed = read_removed(store)
    if version in removed.unreadable:
        raise WatershedError(
            f"version {version} of {name} held rows that were removed by order on "
            f"{max(removed.orders.values())[:10]}, and cannot be read any more",
            f"read a later version; `watershed describe {name}` lists those that cannot be read",
        )
    if version in removed.unused:
        raise WatershedError(
            f"version {version} of {name} was deleted by `watershed unused --delete`",
            f"read a later version; `watershed describe {name}` lists those that cannot be read",
        )


def spans(versions: tuple[int, ...]) -> str:
    """Versions in words: `0 to 3, 5`."""
    runs: list[list[int]] = []
    for version in sorted(versions):
        if runs and runs[-1][-1] == version - 1:
            runs[-1].append(version)
        else:
            runs.append([version])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)
