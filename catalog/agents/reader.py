"""Queries of strangers within limits: of time, of memory, of rows and of the length of a value."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import Any

import duckdb

from catalog.agents.guard import check_query
from catalog.agents.masking import masked_sql
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.literals import sql_literal
from catalog.names import close
from catalog.projects.registry import register
from catalog.settings import Settings
from catalog.sql.engine import confine, open_engine
from catalog.sql.views import VIEWS
from catalog.tables import CONTRACTS

VALUE_CHARACTERS = 2_000
"""Characters of a text that are shown."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a query may take."""

    seconds: float = 10.0
    rows: int = 200
    memory: str = "2GB"


@dataclass(frozen=True)
class Answer:
    """The rows of a query. `more` is whether it has others, which are not shown."""

    columns: list[str]
    types: list[str]
    rows: list[list[Any]]
    more: bool


@dataclass
class Reader:
    """A connection to the lake that reads tables with their personal data masked, and nothing else.

    Example:
        >>> from catalog import load_settings
        >>> from catalog.agents.reader import Reader
        >>> reader = Reader(load_settings())
        >>> reader.query("SELECT DISTINCT url FROM dclm.documents WHERE url IS NOT NULL").rows
        [['[personal data: may name a person]']]
    """

    settings: Settings
    limits: Limits = Limits()
    texts: bool = False
    """Whether running text is shown; see `catalog.agents.masking`."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _declared: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.lake = Lake.of(self.settings)
        self._connection = open_engine(self.lake)
        run = self._connection.execute
        run(f"SET memory_limit = {sql_literal(self.limits.memory)}; SET python_enable_replacements = false")
        run("SET max_expression_depth = 200")
        confine(self._connection, [self.lake.root])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def query(self, sql: str) -> Answer:
        """The rows of a query, in the lake as it is now.

        Raises:
            WatershedError: the query is refused or not valid, reads a table that is not made, or takes too long.
        """
        named = check_query(sql)
        with self._lock:
            register(self.settings.project)
            for name in sorted(named.tables):
                self._declare(name)
            return self._run(sql.strip().rstrip(";"))

    def _declare(self, name: str) -> None:
        if name in VIEWS:
            for table in VIEWS[name].tables:
                self._declare_table(table)
            sql = VIEWS[name].sql
        elif name in CONTRACTS:
            self._declare_table(name)
            return
        else:
            known = (*CONTRACTS, *VIEWS)
            raise WatershedError(f"no table is called {name!r}{close(name, known)}", "search for the table by words")
        self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name.split('.', maxsplit=1)[0]}")
        self._connection.execute(f"CREATE OR REPLACE VIEW {name} AS {sql}")

    def _declare_table(self, name: str) -> None:
        contract = CONTRACTS[name]
        if not self.lake.exists(name):
            self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {contract.family}; DROP VIEW IF EXISTS {name}")
            raise WatershedError(f"{name} is declared and not made yet", "choose a table that is made")
        if damage := self.lake.damage(name):
            raise damage
        scan = masked_sql(contract, f"delta_scan({sql_literal(self.lake.path(name))})", texts=self.texts)
        self._connection.execute(
            f"CREATE SCHEMA IF NOT EXISTS {contract.family}; CREATE OR REPLACE VIEW {name} AS {scan}"
        )

    def _run(self, sql: str) -> Answer:
        cursor = self._connection.cursor()
        timer = threading.Timer(self.limits.seconds, cursor.interrupt)
        timer.start()
        try:
            relation = cursor.sql(f"SELECT * FROM (\n{sql}\n) LIMIT {self.limits.rows + 1}")
            found = relation.fetchall()
            columns, types = relation.columns, [str(each) for each in relation.types]
        except duckdb.InterruptException as error:
            raise WatershedError(
                f"the query took more than {self.limits.seconds:g} s", "select fewer rows, or aggregate less"
            ) from error
        except duckdb.Error as error:
            raise WatershedError(str(error).splitlines()[0], "correct the query") from error
        finally:
            timer.cancel()
            cursor.close()
        rows = [[_shown(value) for value in row] for row in found[: self.limits.rows]]
        return Answer(columns, types, rows, len(found) > self.limits.rows)


def _shown(value: Any) -> Any:
    """A value as JSON has it, cut to VALUE_CHARACTERS."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (list, tuple)):
        return [_shown(each) for each in value[:VALUE_CHARACTERS]]
    if isinstance(value, dict):
        return {str(key): _shown(each) for key, each in value.items()}
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    text = str(value)
    return text if len(text) <= VALUE_CHARACTERS else f"{text[:VALUE_CHARACTERS]}… ({len(text):,} characters)"
