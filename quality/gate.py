"""The quality gate: whether the tables of the lake fulfil their contracts.

The blocking asset checks in Dagster and `watershed check` in CI both use it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.lake import WHOLE, Lake
from catalog.licences.inherited import rows_by_licence
from catalog.progress import track
from catalog.settings import Settings
from catalog.sql.engine import open_engine
from catalog.storage.verify import Verified, stored_bytes, verify
from catalog.tables import CONTRACTS, contract
from quality.expectations import Reading, check_table
from quality.licences import LICENCES, licence_outcomes
from quality.outcome import Outcome
from quality.storage import PARTITIONS, STORAGE, partition_outcomes, storage_outcomes

if TYPE_CHECKING:
    Checker = Callable[[Reading], list[Outcome]]

ENGINES = ("duckdb", "gx")

MEGABYTE = 1e6


def check(
    settings: Settings,
    tables: Sequence[str] = (),
    engine: str = "duckdb",
    *,
    partial: bool = False,
    outdated: Mapping[str, Sequence[Mapping[str, Any]]] = MappingProxyType({}),
) -> list[Outcome]:
    """Evaluate every expectation of the contracts of `tables` on the latest versions in the lake.

    The files of each table are looked for as well: all of them by size, and some, chosen at random, by their digests.
    `check_storage` computes all digests.

    Args:
        settings: the settings of the lake.
        tables: names of tables or families; empty for every table that is made.
        engine: `duckdb`, or `gx` for Great Expectations on pandas, which reads whole tables into memory.
        partial: whether tables may lack partitions that the last run was to make.
        outdated: partitions that are to be made again, by table: their rows are not compared with those of other
            partitions and tables. Only the engine `duckdb` leaves them out.

    Returns:
        An outcome per expectation, table by table, after one for the columns of the table, and then one for its files.
        Licences that do not go together, or that the settings forbid, are failures after these.
        A table whose log is damaged has an outcome for each fault alone.

    Raises:
        WatershedError: the lake has no table, a name is unknown, or a table in `tables` is not made.

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
    counts = rows_by_licence(lake)
    outcomes: list[Outcome] = []
    try:
        with track("check", len(made), "tables") as task:
            for each in made:
                due = outdated.get(each.name, ())
                outcomes += _checked(
                    lake, each, lambda table=each, due=due: checker(Reading.of(connection, lake, table, due))
                )
                outcomes += [] if partial else partition_outcomes(lake, each.name)
                outcomes += licence_outcomes(settings, each, counts)
                task.advance(note=each.name)
    finally:
        connection.close()
    return outcomes


def remember(lake: Lake, outcomes: Sequence[Outcome]) -> None:
    """Record in the lake which partitions break their contract, so that they are due.

    An expectation about a table as a whole, such as its number of rows, is broken by every partition.
    """
    for table in dict.fromkeys(outcome.table for outcome in outcomes):
        judged = [outcome for outcome in outcomes if outcome.table == table and outcome.version is not None]
        judged = [outcome for outcome in judged if outcome.label not in (STORAGE, PARTITIONS, LICENCES)]
        broken: dict[str, str] = {}
        for outcome in judged:
            if outcome.failed:
                keys = [key for key, _ in outcome.partitions] or list(lake.written(table)) or [WHOLE]
                broken |= {key: outcome.label for key in keys if key not in broken}
        if judged and judged[0].version is not None:
            lake.record_broken(table, judged[0].version, broken)


def check_storage(settings: Settings, tables: Sequence[str] = ()) -> list[Verified]:
    """Verify existence, size and digest of every file of `tables`: logs, data files, shards, checkpoints and others.

    Args:
        settings: the settings of the lake.
        tables: names of tables or families; empty for every table that is made.

    Raises:
        WatershedError: the lake has no table, a name is unknown, or a table in `tables` is not made.

    Example:
        >>> from catalog import load_settings
        >>> from quality.gate import check_storage
        >>> [verified.faults for verified in check_storage(load_settings(), ["dclm.scores"])]
        [()]
    """
    lake = Lake.of(settings)
    made, _ = select(lake, tables)
    total = sum(stored_bytes(lake, each) for each in made)
    with track("check storage", total / MEGABYTE, "MB") as task:
        return [verify(lake, each, advance=lambda size: task.advance(size / MEGABYTE)) for each in made]


def _checked(lake: Lake, contract: Contract, evaluate: Callable[[], list[Outcome]]) -> list[Outcome]:
    """The outcomes of a table's expectations, if its rows can be read, and of its files."""
    verified = verify(lake, contract, sampled=True)
    stored = storage_outcomes(verified)
    try:
        return [*([] if lake.damage(contract.name) else evaluate()), *stored]
    except WatershedError:
        # The faults of its files are the reason.
        if not verified.faults:
            raise
        return stored


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
