"""Outcomes about the storage of a table: its files are those that were written, and no partition is lacking."""

from __future__ import annotations

from catalog.inventory import lacking_partitions
from catalog.lake import Lake
from catalog.storage.verify import Verified
from quality.outcome import Outcome

STORAGE, PARTITIONS = "storage", "partitions"
"""Labels of outcomes that are not expectations of a contract."""

KEYS_SHOWN = 5


FAULTS_SHOWN = 20
"""Faults of a table that `check` reports; `check --storage` reports all."""


def storage_outcomes(verified: Verified, *, every: bool = False) -> list[Outcome]:
    """A failure for each file that is missing or is not what was written, or one outcome that passes.

    Args:
        every: whether all faults have an outcome, or the first FAULTS_SHOWN of them and one for the others.
    """

    def outcome(passed: bool, observed: str) -> Outcome:
        return Outcome(
            table=verified.table,
            label=STORAGE,
            column=None,
            statement="every file as it was written",
            passed=passed,
            observed=observed,
            violations=int(not passed),
            rows=verified.rows,
            version=verified.version,
            seconds=verified.seconds,
        )

    shown = verified.faults if every else verified.faults[:FAULTS_SHOWN]
    outcomes = [outcome(False, str(fault)) for fault in shown] or [outcome(True, _observed(verified))]
    if more := len(verified.faults) - len(shown):
        outcomes.append(outcome(False, f"{more:,} more faults, which `watershed check --storage` names"))
    return outcomes


def partition_outcomes(lake: Lake, table: str) -> list[Outcome]:
    """Whether all partitions are made that the last run was to make; empty for a table without partitions."""
    expected, lacking = lacking_partitions(lake, table)
    if not expected:
        return []
    made = len(expected) - len(lacking)
    shown = ", ".join(lacking[:KEYS_SHOWN])
    more = f" and {len(lacking) - KEYS_SHOWN:,} more" if len(lacking) > KEYS_SHOWN else ""
    return [
        Outcome(
            table=table,
            label=PARTITIONS,
            column=None,
            statement="all partitions",
            passed=not lacking,
            observed=f"{made:,} of {len(expected):,} partitions" + (f", without {shown}{more}" if lacking else ""),
            violations=len(lacking),
            why=f"make the others with `watershed make {table}`, or accept them with --partial" if lacking else "",
        )
    ]


def _observed(verified: Verified) -> str:
    files = f"{verified.files:,} {'file' if verified.files == 1 else 'files'}"
    unknown = f", {verified.without:,} without checksums" if verified.without else ""
    return f"{files}, {verified.digested:,} of them read{unknown}"
