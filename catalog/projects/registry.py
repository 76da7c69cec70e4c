"""The contracts of the current project, beside those of the package: of its own tables, and of its mixtures.

`catalog.settings.load_settings` calls `register`, so that every command, asset, check, view and search sees the tables
that a project declares. One project is current at a time: another one's contracts take the place of those before.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from catalog.errors import WatershedError
from catalog.files import settled
from catalog.projects.contract_file import OwnTable, read_contract
from catalog.projects.mixture_file import FAMILY, MixtureRecipe, read_mixture
from catalog.tables import CONTRACTS, FAMILIES, redeclare

if TYPE_CHECKING:
    from catalog.family import Family
    from catalog.projects.mixture_tables import Mixture

FOLDER, MIXTURES = "contracts", "mixtures"
_LOCK = threading.Lock()
_TABLES: dict[str, OwnTable] = {}
_MIXTURES: dict[str, Mixture] = {}
_FAULTS: dict[str, WatershedError] = {}
"""Mixtures whose sources do not exist, or lack a column: all other tables can be used."""
AGE_S, LEAST = 0.5, 200
"""No file of a contract was looked at longer ago than AGE_S seconds when `register` returns. It looks at no fewer than
LEAST files, so that a project of up to as many sees every change at once."""
Sign = tuple[int, int]
"""Time and size of a file."""
Kind = TypeVar("Kind", OwnTable, MixtureRecipe)


class _Files(Generic[Kind]):
    """The files of one kind in a folder of the project, each read once for each time and size."""

    def __init__(self, folder: str, read: Callable[[Path], Kind]) -> None:
        self.folder, self.read = folder, read
        self.known: dict[str, tuple[Sign, Kind]] = {}

    def changed(self, project: Path) -> int:
        """The time of the folder; 0 if there is none."""
        folder = project / self.folder
        return folder.stat().st_mtime_ns if folder.is_dir() else 0

    def found(self, project: Path) -> list[Kind]:
        """What the files hold, in the order of their names.

        Raises:
            WatershedError: a file cannot be read.
        """
        folder = project / self.folder
        entries = [each for each in os.scandir(folder) if each.name.endswith(".toml")] if folder.is_dir() else []
        for path in self.known.keys() - {entry.path for entry in entries}:
            del self.known[path]
        kinds = []
        for entry in sorted(entries, key=lambda each: each.name):
            sign, known = _sign(entry.stat()), self.known.get(entry.path)
            if known is None or known[0] != sign:
                known = self.known[entry.path] = (sign, self.read(Path(entry.path)))
            kinds.append(known[1])
        return kinds

    def signs(self) -> list[tuple[str, Sign]]:
        """The files that were read."""
        return [(path, sign) for path, (sign, _) in self.known.items()]


_CONTRACTS: _Files[OwnTable] = _Files(FOLDER, read_contract)
_RECIPES: _Files[MixtureRecipe] = _Files(MIXTURES, read_mixture)


@dataclass
class _Watch:
    """The files of one project's contracts, looked at again a few at a time.

    A file that is new, gone or replaced gives its folder a new time. One that is written in place does not, so that
    every file is looked at as well: each call takes as many, in turn, as bring all of them round within AGE_S. Calls
    that follow each other closely thus share the work of a round.
    """

    project: Path | None = None
    changed: tuple[int, int] = (0, 0)
    """The times of the folders when their files were listed."""
    signs: list[tuple[str, Sign]] = field(default_factory=list)
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


def own_mixtures() -> dict[str, Mixture]:
    """The mixtures that the current project declares, by the names of their first tables: mixture.NAME."""
    return dict(_MIXTURES)


def register(project: Path) -> None:
    """Make the contracts and mixtures of a project those of the current project.

    Raises:
        WatershedError: a file is not a contract or a recipe, two declare the same table, or one of the package's
            families.
    """
    global _WATCH  # noqa: PLW0603
    with _LOCK:
        changed = (_CONTRACTS.changed(project), _RECIPES.changed(project))
        now = time.monotonic()
        if (_WATCH.project, _WATCH.changed) == (project, changed) and _WATCH.same(now):
            return
        # If a file cannot be read, the next call reads again.
        _WATCH.project = None
        tables, recipes = _found(_CONTRACTS.found(project)), _RECIPES.found(project)
        same = tables.keys() == _TABLES.keys() and all(_TABLES[name] is table for name, table in tables.items())
        mixtures, faults = _mixtures(recipes, tables, same)
        _WATCH = _Watch(
            project,
            changed if all(map(settled, changed)) else (-1, -1),
            [*_CONTRACTS.signs(), *_RECIPES.signs()],
            looked=now,
        )
        if same and list(mixtures.values()) == list(_MIXTURES.values()) and faults == _FAULTS:
            return
        gone = [*_TABLES, *(contract.name for mixture in _MIXTURES.values() for contract in mixture.tables)]
        _TABLES.clear()
        _TABLES.update(tables)
        _MIXTURES.clear()
        _MIXTURES.update(mixtures)
        _FAULTS.clear()
        _FAULTS.update(faults)
        made = [contract for mixture in mixtures.values() for contract in mixture.tables]
        redeclare(gone, [*(table.contract for table in tables.values()), *made], faults, _families(mixtures))


def _mixtures(
    recipes: Sequence[MixtureRecipe], tables: Mapping[str, OwnTable], same: bool
) -> tuple[dict[str, Mixture], dict[str, WatershedError]]:
    """The mixtures of recipes over the tables of the package and the project, and why others cannot be used.

    Args:
        recipes: what the files hold.
        tables: the project's own tables.
        same: whether these are the tables that were current before.
    """
    if same and not _FAULTS and [each.recipe for each in _MIXTURES.values()] == list(recipes):
        return dict(_MIXTURES), {}
    from catalog.projects.mixture_tables import mixture_of
    from catalog.sql.views import VIEWS

    package = {name: each for name, each in CONTRACTS.items() if name not in _TABLES and each.family != FAMILY}
    contracts = package | {name: table.contract for name, table in tables.items()}
    found: dict[str, Mixture] = {}
    faults: dict[str, WatershedError] = {}
    for recipe in recipes:
        try:
            found[recipe.table] = mixture_of(recipe, contracts, VIEWS)
        except WatershedError as error:
            faults[recipe.table] = error
    return found, faults


def _families(mixtures: Mapping[str, Mixture]) -> list[Family]:
    """The family of the mixtures, if there are any."""
    if not mixtures:
        return []
    from catalog.projects.mixture_models import family_of

    return [family_of(FAMILY, mixtures.values())]


def _found(read: Sequence[OwnTable]) -> dict[str, OwnTable]:
    taken = {*(family.name for family in FAMILIES), "watershed", FAMILY}
    tables: dict[str, OwnTable] = {}
    for table in read:
        if table.contract.family in taken:
            raise WatershedError(
                f"{table.path}: the family {table.contract.family!r} is one of Watershed's own",
                "give the table a family of your own",
            )
        if table.contract.name in tables:
            raise WatershedError(
                f"{table.path}: {table.contract.name} is declared in {tables[table.contract.name].path} too",
                "remove one of the files",
            )
        tables[table.contract.name] = table
    return dict(sorted(tables.items()))


def _sign(stat: os.stat_result) -> Sign:
    return stat.st_mtime_ns, stat.st_size
