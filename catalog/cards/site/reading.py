"""What the pages of the site are made from: the lake, read once, and what is recorded about its tables elsewhere."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from catalog.cards.site.html import file_name
from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.inventory import TableState, table_state
from catalog.lake import Lake
from catalog.licences.inherited import Counts, Held, licences_of, rows_by_licence
from catalog.settings import Settings
from catalog.sql.query import connect
from catalog.sql.views import VIEWS
from catalog.tables import CONTRACTS

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, kw_only=True)
class CheckRun:
    """One evaluation of a check of a table, as the instance of Dagster has recorded it."""

    at: datetime.datetime
    check: str
    outcome: str
    """passed, warned or failed."""
    words: str


@dataclass(frozen=True, kw_only=True)
class SiteLake:
    """A lake as the site shows it."""

    settings: Settings
    lake: Lake
    connection: duckdb.DuckDBPyConnection
    states: Mapping[str, TableState]
    """The states of the tables that are made and can be read."""
    damaged: Mapping[str, str]
    """The tables that cannot be read, and why."""
    checks: Mapping[str, Sequence[CheckRun]] = field(default_factory=dict)
    """Evaluations by table, the last one first."""
    _held: dict[str, tuple[Held, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, checks: Mapping[str, Sequence[CheckRun]]) -> SiteLake:
        """Read the states of all tables.

        Raises:
            WatershedError: the object store of the lake does not answer.
        """
        lake = Lake.of(settings)
        lake.reach()
        states, damaged = {}, {}
        for contract in CONTRACTS.values():
            try:
                state = table_state(lake, contract)
            except WatershedError as error:
                damaged[contract.name] = error.cause
            else:
                if state.made:
                    states[contract.name] = state
        return cls(
            settings=settings,
            lake=lake,
            connection=connect(settings),
            states=states,
            damaged=damaged,
            checks=checks,
        )

    def made(self, *names: str) -> bool:
        """Whether all of these tables are made and can be read."""
        return all(name in self.states for name in names)

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows of a query over tables that are made, by column."""
        answer = self.connection.execute(sql, dict(parameters)) if parameters else self.connection.execute(sql)
        names = [column[0] for column in answer.description]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

    def licences(self, name: str) -> tuple[Held, ...]:
        """The licences that a table carries, its own and the inherited ones, those of rows included."""
        if name not in self._held:
            self._held[name] = licences_of(name, CONTRACTS, self.counts)
        return self._held[name]

    @cached_property
    def counts(self) -> Counts:
        """A function that counts the rows of a table by licence."""
        return rows_by_licence(self.lake)

    def address(self, name: str) -> str | None:
        """The page of a table or a view, relative to the root of the site; None if there is no such name."""
        return f"tables/{file_name(name)}.html" if name in CONTRACTS or name in VIEWS else None

    def owner(self, contract: Contract) -> str:
        """Who owns a table: whom `[dagster.owners]` names for its role, or the role."""
        return self.settings.dagster.owners.get(contract.owner, contract.owner)

    def late(self, contract: Contract) -> bool:
        """Whether a table is older than its contract allows."""
        state = self.states.get(contract.name)
        if state is None or contract.freshness is None or state.written_at is None:
            return False
        return datetime.datetime.now(datetime.UTC) - state.written_at > contract.freshness


def moment(when: datetime.datetime | None) -> str:
    """A time as pages show it, in UTC."""
    return f"{when:%Y-%m-%d %H:%M}" if when else ""
