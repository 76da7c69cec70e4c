"""Which tables exist in the lake, and when each was last written, seen again so cheaply that every search can look."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from catalog.lake import Lake
from catalog.storage.records import LOG

COARSE_NS = 50_000_000
"""A folder that changed as recently as this may change again under the same time: the clock of a file system ticks."""
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
    _pending: dict[str, set[str]] = field(default_factory=dict)

    def look(self, declared: list[str]) -> set[str]:
        """The names of the tables in the lake; of an object store, those of `declared` that exist."""
        if "://" in self.lake.root:
            with ThreadPoolExecutor(REQUESTS) as pool:
                return {name for name, made in zip(declared, pool.map(self.lake.exists, declared), strict=True) if made}
        found: set[str] = set()
        for family in sorted({name.split(".", maxsplit=1)[0] for name in declared}):
            found |= self._family(family)
        return found

    def _family(self, family: str) -> frozenset[str] | set[str]:
        folder = Path(self.lake.root) / family
        try:
            changed = folder.stat().st_mtime_ns
        except OSError:
            self._families.pop(family, None)
            return set()
        known = self._families.get(family)
        if known is None or known[0] != changed:
            names = {entry.name for entry in os.scandir(folder) if entry.is_dir()}
            made = frozenset(f"{family}.{name}" for name in names if (folder / name / LOG).is_dir())
            self._pending[family] = {name for name in names if f"{family}.{name}" not in made}
            settled = time.time_ns() - changed > COARSE_NS
            known = (changed if settled else -1, made)
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
