"""The quality gate: whether the tables of the lake fulfil their contracts.

The blocking asset checks in Dagster and `watershed check` in CI both use it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.progress import track
from catalog.settings import Settings
from catalog.sql.engine import open_engine
from catalog.tables import CONTRACTS, contract
from quality.expectations import Reading, check_table
from quality.outcome import Outcome

if TYPE_CHECKING:
    Checker = Callable[[Reading], list[Outcome]]

ENGINES = ("duckdb", "gx")


def check(settings: Settings, tables: Sequence[str] = (), engine: str = "duckdb") -> list[Outcome]:
    """Evaluate every expectation of the contracts of `tables` on the latest versions in the lake.

    Args:
        settings: the settings of the lake.
        tables: names of tables or families; empty for every table that is made.
        engine: `duckdb`, or `gx` for Great Expectations on pandas, which reads whole tables into memory.

    Returns:
        An outcome per expectation, table by table, after one for the columns of the table.

    Raises:
        WatershedError: the lake has no table, a name is unknown, or a table in `tables` is not made or cannot be read.

    Example:
        >>> from catalog import load_settings
        >>> from quality.gate import check
        >>> outcomes = check(load_settings(), ["dclm.scores"])
        >>> [outcome.line() for outcome in outcomes if outcome.failed]
        []
        >>> outcomes[0].observed
        'all 5 columns'
    """
    lake = Lake.of(settings)
    made, _ = select(lake, tables)
    checker = _checker(engine)
    connection = open_engine(lake)
    outcomes: list[Outcome] = []
    try:
        with track("check", len(made), "tables") as task:
            for each in made:
                outcomes += checker(Reading.of(connection, lake, each))
                task.advance(note=each.name)
    finally:
        connection.close()
    return outcomes


def select(lake: Lake, names: Sequence[str] = ()) -> tuple[list[Contract], list[Contract]]:
    """The contracts of `names` (tables or families), or all: those whose table is made, and the others.

    Raises:
        WatershedError: a name is unknown, a table that is named is not made, or no table is made.
    """
    families = {each.family for each in CONTRACTS.values()}
    chosen: list[Contract] = []
    for name in names or sorted(families):
        chosen += [c for c in CONTRACTS.values() if c.family == name] if name in families else [contract(name)]
    chosen = [each for each in CONTRACTS.values() if each in chosen]
    made = [each for each in chosen if lake.exists(each.name)]
    missing = [each for each in chosen if each not in made]
    named = [each.name for each in missing if each.name in names]
    if named:
        raise WatershedError(
            f"{', '.join(named)} {'is' if len(named) == 1 else 'are'} not made yet, so there is nothing to check",
            f"materialise {named[0]} in Dagster, run `watershed demo`, or set [lake] root",
        )
    if not made:
        raise WatershedError(
            f"{lake.root}: no table of {', '.join(names) or 'the catalog'} is made here",
            "run `watershed demo`, or set [lake] root in watershed.toml",
        )
    return made, missing


def _checker(engine: str) -> Checker:
    if engine == "gx":
        from quality.suite import check_table_with_gx

        return check_table_with_gx
    if engine != "duckdb":
        raise WatershedError(f"no engine is called {engine!r}", f"choose one of {', '.join(ENGINES)}")
    return check_table
