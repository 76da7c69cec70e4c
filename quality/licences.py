"""Outcomes about the licences of a table: those that it carries go together, and the settings allow them."""

from __future__ import annotations

from catalog.contract import Contract
from catalog.licences.inherited import Counts, licences_of
from catalog.licences.policy import conflicts
from catalog.settings import Settings
from catalog.tables import CONTRACTS
from quality.outcome import Outcome

LICENCES = "licences"
"""Label of an outcome that is not an expectation of a contract."""


def licence_outcomes(settings: Settings, contract: Contract, counts: Counts) -> list[Outcome]:
    """A failure for each combination of licences that the table may not carry; none if there is no such combination.

    Args:
        counts: what `catalog.licences.inherited.rows_by_licence` returns for the lake.
    """
    held = licences_of(contract.name, CONTRACTS, counts)
    return [
        Outcome(
            table=contract.name,
            label=LICENCES,
            column=None,
            statement="the licences that it carries go together, and [licences] allows them",
            passed=False,
            observed=f"{conflict.name}: {conflict.reason}; stated by {', '.join(conflict.tables)}",
            why="`[licences] accept` in watershed.toml accepts a conflict by its name",
        )
        for conflict in conflicts(contract, held, settings.licences)
    ]
