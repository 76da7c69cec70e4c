"""Every table of the lake, family by family, in the order in which data flows.

To add a family, write `catalog/tables/<family>.py`, or a folder of that name where one file would be too long. It
declares the family's contracts and, as `FAMILY`, what the engines need to know of them (see `catalog.family`). Then add
that `FAMILY` to `FAMILIES` below. Nothing else in `catalog` or `quality` changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.family import Family
from catalog.names import close, find
from catalog.tables import (
    cheatsheet,
    dclm,
    dialogues,
    evals,
    ladder,
    mathfish,
    models,
    moe,
    pixmo,
    router,
    scholar,
    tulu,
)

FAMILIES: tuple[Family, ...] = (
    dclm.FAMILY,
    models.FAMILY,
    evals.FAMILY,
    ladder.FAMILY,
    moe.FAMILY,
    dialogues.FAMILY,
    tulu.FAMILY,
    cheatsheet.FAMILY,
    scholar.FAMILY,
    router.FAMILY,
    mathfish.FAMILY,
    pixmo.FAMILY,
)

_OWN: list[Family] = []
"""The families that the current project declares: mixtures."""

UNUSABLE: dict[str, WatershedError] = {}
"""Tables that the project declares and that cannot be made, such as a mixture of a table that does not exist yet."""
_GENERATION = [0]

CONTRACTS: dict[str, Contract] = {contract.name: contract for family in FAMILIES for contract in family.contracts}


def families() -> tuple[Family, ...]:
    """The families of the package, and those that the current project declares."""
    return (*FAMILIES, *_OWN)


def redeclare(
    gone: Iterable[str],
    contracts: Iterable[Contract],
    unusable: Mapping[str, WatershedError] | None = None,
    own: Iterable[Family] = (),
) -> None:
    """Replace tables that are not of the package: those of the project that was current before, by those of another.

    Args:
        gone: the names of the tables that were declared before.
        contracts: the tables of the other project.
        unusable: those that cannot be made, with the reason.
        own: what the project declares about some of its tables.
    """
    _OWN[:] = own
    UNUSABLE.clear()
    UNUSABLE.update(unusable or {})
    for name in gone:
        CONTRACTS.pop(name, None)
    CONTRACTS.update({each.name: each for each in contracts})
    _GENERATION[0] += 1


def generation() -> int:
    """A number that changes whenever CONTRACTS does, for what is computed from all contracts."""
    return _GENERATION[0]


def contract(name: str) -> Contract:
    """The contract of the table `name` (`family.table`).

    Raises:
        WatershedError: no table has that name, or it is a mixture whose recipe cannot be used.
    """
    found = find(name, CONTRACTS)
    if found is None and name in UNUSABLE:
        raise UNUSABLE[name]
    if found is None:
        raise WatershedError(
            f"no table is called {name!r}{close(name, CONTRACTS)}", f"choose one of {', '.join(CONTRACTS)}"
        )
    return CONTRACTS[found]
