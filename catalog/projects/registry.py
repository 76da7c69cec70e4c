"""The contracts of the current project, beside those of the package.

`catalog.settings.load_settings` calls `register`, so that every command, asset, check, view and search sees the tables
that a project declares. One project is current at a time: another one's contracts take the place of those before.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from catalog.errors import WatershedError
from catalog.projects.contract_file import OwnTable, read_contract
from catalog.tables import CONTRACTS, FAMILIES

FOLDER = "contracts"
_LOCK = threading.Lock()
_TABLES: dict[str, OwnTable] = {}
MANY, AGE_S = 200, 0.5
"""From this number of contracts on, their files are looked at once in these seconds, unless one is new or gone."""
_SEEN: tuple[Path | None, int, float] = (None, 0, 0.0)
"""The project that was registered last, the time of its folder of contracts, and when its files were looked at."""
_READ: dict[str, tuple[tuple[int, int], OwnTable]] = {}
"""Contracts by file, with the time and size of the file that was read."""


def own_tables() -> dict[str, OwnTable]:
    """The tables that the current project declares, by name."""
    return dict(_TABLES)


def register(project: Path) -> None:
    """Make the contracts in the folder `contracts` of a project those of the current project.

    Raises:
        WatershedError: a file is not a contract, or two declare the same table, or one of the package's families.
    """
    global _SEEN  # noqa: PLW0603
    with _LOCK:
        folder = project / FOLDER
        changed = folder.stat().st_mtime_ns if folder.is_dir() else 0
        now = time.monotonic()
        if len(_TABLES) >= MANY and _SEEN[:2] == (project, changed) and now - _SEEN[2] < AGE_S:
            return
        found = _found(folder)
        _SEEN = (project, changed, now)
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
        stat, path = entry.stat(), entry.path
        sign = (stat.st_mtime_ns, stat.st_size)
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
    return dict(sorted(tables.items()))
