"""Which tables exist in the lake, and when each was last written, seen again so cheaply that every search can look."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from operator import is_
from pathlib import Path

from catalog.files import settled
from catalog.lake import Lake
from catalog.storage.records import LOG

NONE: frozenset[str] = frozenset()
REQUESTS = 16
"""Requests to an object store at the same time."""


@dataclass
class MadeTables:
    """The tables of a lake, by name. `look` brings them up to date.

    In a folder, a family's folder has a new time when a table's folder is made or moved away, so that a look costs a
    call a family. A table whose folder has no log yet is looked at again each time.
    """

    lake: Lake
    _families: dict[str, tuple[int, frozenset[str]]] = field(default_factory=dict)
    _declared: list[str] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    _parts: list[frozenset[str]] = field(default_factory=list)
    _found: set[str] = field(default_factory=set)
    _pending: dict[str, set[str]] = field(default_factory=dict)

    def look(self, declared: list[str]) -> set[str]:
        """The names of the tables in the lake; of an object store, those of `declared` that exist."""
        if "://" in self.lake.root:
            with ThreadPoolExecutor(REQUESTS) as pool:
                return {name for name, made in zip(declared, pool.map(self.lake.exists, declared), strict=True) if made}
        if declared is not self._declared:
            self._declared = declared
            self._names = sorted({name.split(".", maxsplit=1)[0] for name in declared})
        parts = [self._family(family) for family in self._names]
        # The same object as long as nothing changes, so that the caller compares no names.
        if len(parts) != len(self._parts) or not all(map(is_, parts, self._parts)):
            self._parts, self._found = parts, set().union(*parts)
        return self._found

    def _family(self, family: str) -> frozenset[str]:
        place = f"{self.lake.root}/{family}"
        try:
            changed = os.stat(place).st_mtime_ns  # noqa: PTH116 (a Path costs ten times as much)
        except OSError:
            self._families.pop(family, None)
            return NONE
        known = self._families.get(family)
        folder = Path(place)
        if known is None or known[0] != changed:
            names = {entry.name for entry in os.scandir(folder) if entry.is_dir()}
            made = frozenset(f"{family}.{name}" for name in names if (folder / name / LOG).is_dir())
            self._pending[family] = {name for name in names if f"{family}.{name}" not in made}
            known = (changed if settled(changed) else -1, made)
            self._families[family] = known
        late = {f"{family}.{name}" for name in self._pending[family] if (folder / name / LOG).is_dir()}
        return known[1] | late if late else known[1]

    def forget(self) -> None:
        """Look at every folder again: a log was removed inside a table's folder."""
        self._families.clear()

    def sign(self, name: str) -> str:
        """What changes with every commit to the table."""
        if "://" in self.lake.root:
            return str(self.lake.version(name))
        # The log's last entry, not its folder's time: times are coarse.
        try:
            entries = [entry.name for entry in (Path(self.lake.path(name)) / LOG).iterdir() if entry.suffix == ".json"]
        except OSError:
            return ""
        return f"{max(entries, default='')} {len(entries)}"

    def exists(self, name: str) -> bool:
        """Whether the table is there at this moment. An object store is asked by `look` alone."""
        return "://" in self.lake.root or (Path(self.lake.path(name)) / LOG).is_dir()
