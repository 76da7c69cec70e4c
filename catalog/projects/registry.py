"""The contracts of the current project, beside those of the package.

`catalog.settings.load_settings` calls `register`, so that every command, asset, check, view and search sees the tables
that a project declares. One project is current at a time: another one's contracts take the place of those before.
"""

from __future__ import annotations

import math
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from catalog.errors import WatershedError
from catalog.files import settled
from catalog.projects.contract_file import OwnTable, read_contract
from catalog.tables import CONTRACTS, FAMILIES

FOLDER = "contracts"
_LOCK = threading.Lock()
_TABLES: dict[str, OwnTable] = {}
AGE_S, LEAST = 0.5, 200
"""No file of a contract was looked at longer ago than AGE_S seconds when `register` returns. It looks at no fewer than
LEAST files, so that a project of up to as many sees every change at once."""
_READ: dict[str, tuple[tuple[int, int], OwnTable]] = {}
"""Contracts by file, with the time and size of the file that was read."""


@dataclass
class _Watch:
    """The files of one project's contracts, looked at again a few at a time.

    A file that is new, gone or replaced gives its folder a new time. One that is written in place does not, so that
    every file is looked at as well: each call takes as many, in turn, as bring all of them round within AGE_S. Calls
    that follow each other closely thus share the work of a round.
    """

    project: Path | None = None
    changed: int = 0
    """The time of the folder when its files were listed."""
    signs: list[tuple[str, tuple[int, int]]] = field(default_factory=list)
    """The files, each with its time and size when it was read."""
    next: int = 0
    """The file that was looked at longest ago."""
    looked: float = 0.0
    """When files were looked at last, on the monotonic clock."""

    def same(self, now: float) -> bool:
        """Whether the files whose turn it is are as they were read."""
        count = len(self.signs)
        due = min(count, max(LEAST, math.ceil(count * (now - self.looked) / AGE_S)))
        turn = self.signs[self.next : self.next + due]
        turn += self.signs[: due - len(turn)]
        self.next, self.looked = (self.next + due) % max(1, count), now
        try:
            return all(_sign(os.stat(path)) == sign for path, sign in turn)  # noqa: PTH116 (a Path costs ten times as much)
        except OSError:
            return False


_WATCH = _Watch()


def own_tables() -> dict[str, OwnTable]:
    """The tables that the current project declares, by name."""
    return dict(_TABLES)


def register(project: Path) -> None:
    """Make the contracts in the folder `contracts` of a project those of the current project.

    Raises:
        WatershedError: a file is not a contract, or two declare the same table, or one of the package's families.
    """
    global _WATCH  # noqa: PLW0603
    with _LOCK:
        folder = project / FOLDER
        changed = folder.stat().st_mtime_ns if folder.is_dir() else 0
        now = time.monotonic()
        if (_WATCH.project, _WATCH.changed) == (project, changed) and _WATCH.same(now):
            return
        # If a file cannot be read, the next call reads again.
        _WATCH.project = None
        found = _found(folder)
        signs = [(path, sign) for path, (sign, _) in _READ.items()]
        _WATCH = _Watch(project, changed if settled(changed) else -1, signs, looked=now)
        if found.keys() == _TABLES.keys() and all(_TABLES[name] is table for name, table in found.items()):
            return
        for name in _TABLES:
            CONTRACTS.pop(name, None)
        _TABLES.clear()
        _TABLES.update(found)
        CONTRACTS.update({name: table.contract for name, table in found.items()})


def _found(folder: Path) -> dict[str, OwnTable]:
    taken = {family.name for family in FAMILIES}
    tables: dict[str, OwnTable] = {}
    entries = [each for each in os.scandir(folder) if each.name.endswith(".toml")] if folder.is_dir() else []
    for entry in sorted(entries, key=lambda each: each.name):
        path, sign = entry.path, _sign(entry.stat())
        known = _READ.get(path)
        if known is None or known[0] != sign:
            known = _READ[path] = (sign, read_contract(Path(path)))
        table = known[1]
        if table.contract.family in taken or table.contract.family == "watershed":
            raise WatershedError(
                f"{path}: the family {table.contract.family!r} is one of Watershed's own",
                "give the table a family of your own",
            )
        if table.contract.name in tables:
            raise WatershedError(
                f"{path}: {table.contract.name} is declared in {tables[table.contract.name].path} too",
                "remove one of the files",
            )
        tables[table.contract.name] = table
    for path in _READ.keys() - {entry.path for entry in entries}:
        del _READ[path]
    return dict(sorted(tables.items()))


def _sign(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_mtime_ns, stat.st_size
