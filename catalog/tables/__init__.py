"""Every contract of the lake, family by family, in the order in which data flows."""

from __future__ import annotations

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.names import close, find
from catalog.tables import dclm, evals, ladder, models, moe

CONTRACTS: dict[str, Contract] = {
    contract.name: contract for family in (dclm, models, evals, ladder, moe) for contract in family.CONTRACTS
}


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
