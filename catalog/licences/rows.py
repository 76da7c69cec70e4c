"""The licences of single rows that a table takes from others: what each states, and why it may not be taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from catalog.contract import Contract
from catalog.licences.inherited import Held, licences_of
from catalog.licences.known import NOT_STATED
from catalog.licences.names import Reading, read_licence, read_licences
from catalog.licences.policy import forbidden
from catalog.settings import LicencesSettings

Stated = tuple[str, str]
"""The identifiers of a row's licences, joined by `and`, and why the row may not be taken; empty if it may."""


class RowLicences:
    """The licences of the rows of one table: what a row states, or else what its table does.

    Example:
        >>> from catalog.licences.names import read_licences
        >>> from catalog.licences.rows import RowLicences
        >>> from catalog.settings import LicencesSettings
        >>> rows = RowLicences(read_licences("MIT"), LicencesSettings(forbid=("CC-BY-NC-4.0",)))
        >>> rows.of(None)
        ('MIT', '')
        >>> rows.of("cc by nc 4.0")
        ('CC-BY-NC-4.0', 'CC-BY-NC-4.0: [licences] forbid names it')
    """

    def __init__(self, table: Sequence[Reading], settings: LicencesSettings) -> None:
        self.table, self.settings = tuple(table), settings
        self._known: dict[str | None, Stated] = {}

    def of(self, written: str | None) -> Stated:
        """The licences of a row that states `written`; None or the empty text if it states nothing."""
        if written not in self._known:
            readings = read_licences(written) if written and written.strip() else self.table
            faults = (fault for each in readings if (fault := self._fault(each)))
            self._known[written] = (" and ".join(each.shown for each in readings), next(faults, ""))
        return self._known[written]

    def _fault(self, reading: Reading) -> str:
        if reading.shown in self.settings.accept:
            return ""
        if reading.id == NOT_STATED:
            return "no licence is stated"
        if reading.id is None and not reading.candidates:
            return f"{reading.written!r} is {reading.problem}"
        held = Held(id=reading.shown, terms=reading.terms, tables=(), problem=reading.problem, written=())
        found = forbidden(held, self.settings)
        return f"{reading.shown}: {found.reason}" if found else ""


def table_licences(names: Sequence[str], contracts: Mapping[str, Contract]) -> tuple[Reading, ...]:
    """The licences that rows made from all of these tables have, by the contracts."""
    held = {each.id: each for name in names for each in licences_of(name, contracts)}
    return tuple(read_licence(each.written[0] if each.written else None) for each in held.values())
