"""Every table of the lake, family by family, in the order in which data flows.

To add a family, write `catalog/tables/<family>.py`, or a folder of that name where one file would be too long. It
declares the family's contracts and, as `FAMILY`, what the engines need to know of them (see `catalog.family`). Then add
that `FAMILY` to `FAMILIES` below. Nothing else in `catalog` or `quality` changes.
"""

from __future__ import annotations

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

CONTRACTS: dict[str, Contract] = {contract.name: contract for family in FAMILIES for contract in family.contracts}


def contract(name: str) -> Contract:
    """The contract of the table `name` (`family.table`).

    Raises:
        WatershedError: no table has that name.
    """
    found = find(name, CONTRACTS)
    if found is None:
        raise WatershedError(
            f"no table is called {name!r}{close(name, CONTRACTS)}", f"choose one of {', '.join(CONTRACTS)}"
        )
    return CONTRACTS[found]
