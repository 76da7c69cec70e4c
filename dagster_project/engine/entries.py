"""Rows that people enter on a local page, in a table of the lake: one row a primary key, which a later one replaces."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from catalog.contract import Contract
from catalog.errors import OvertakenError
from catalog.fingerprint import fingerprint
from catalog.lake import Lake
from catalog.reads import not_recorded

LONGEST_NAME = 60
ATTEMPTS = 50
"""How often a row is tried to be entered if other processes write the table at the same time."""

Row = dict[str, Any]


def is_name(rater: object) -> bool:
    """Whether a text can be the name of a person who enters rows: one line of 1 to 60 characters.

    Example:
        >>> is_name("Ada"), is_name(" "), is_name("a\\nb")
        (True, False, False)
    """
    return isinstance(rater, str) and 0 < len(rater.strip()) <= LONGEST_NAME and rater.isprintable()


class Entries:
    """The rows of one table. Threads and processes that enter rows at the same time lose none of each other's.

    Args:
        lake: the lake.
        contract: the table.
        order: the columns that rows are sorted by.
    """

    def __init__(self, lake: Lake, contract: Contract, order: Sequence[str]) -> None:
        self.lake, self.contract, self.order = lake, contract, tuple(order)
        # Threads of one process would overtake each other for nothing.
        self._lock = threading.Lock()

    def rows(self) -> list[Row]:
        """The rows of the table; none if it does not exist."""
        with not_recorded():
            return self.lake.read(self.contract.name).to_pylist() if self.lake.exists(self.contract.name) else []

    def enter(self, row: Mapping[str, Any]) -> None:
        """Enter a row in place of the one with the same primary key.

        Raises:
            WatershedError: the row breaks the contract, or other processes wrote at each of many attempts.
        """
        with self._lock:
            self.lake.create(self.contract)
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    self._enter(row)
                except OvertakenError:
                    # One of the others was not overtaken, so that all come to their turn.
                    if attempt == ATTEMPTS:
                        raise
                else:
                    return

    @not_recorded()
    def _enter(self, row: Mapping[str, Any]) -> None:
        import pyarrow as pa

        key = self.contract.primary_key
        table = self.lake.table(self.contract.name)
        others = [one for one in table.to_pyarrow_table().to_pylist() if any(one[name] != row[name] for name in key)]
        rows = sorted([*others, dict(row)], key=lambda one: tuple(one[name] for name in self.order))
        made = fingerprint(self.contract.name, rows)
        new = pa.Table.from_pylist(rows, schema=self.contract.schema)
        self.lake.replace(self.contract, new, made, after=table.version())
