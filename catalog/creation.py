"""The creation of a Delta table from its contract, and its change when the contract gains columns."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.contract import Contract, Expectation
from catalog.errors import WatershedError
from catalog.evolution import changes, in_words
from catalog.files import alone
from catalog.literals import sql_literal
from catalog.object_store import is_object_store
from catalog.storage.records import write_records

if TYPE_CHECKING:
    from catalog.lake import Lake

TABLE_PROPERTIES = {
    # History is what time travel and fingerprints are read from; the default forgets it after 30 days.
    "delta.logRetentionDuration": "interval 3650 days",
    "delta.enableDeletionVectors": "false",
}

ATTEMPTS = 5
"""How often a commit is tried if other processes may make the same one."""


def create(lake: Lake, contract: Contract) -> None:
    """Do what `Lake.create` documents."""
    with _alone(lake):
        if not lake.exists(contract.name):
            _create(lake, contract)
            _constrain(lake, contract)
            write_records(lake.store(contract.name), since=0)
        elif _evolve(lake, contract).version() == 0:
            _constrain(lake, contract)


@contextmanager
def _alone(lake: Lake) -> Generator[None]:
    """Let one process at a time into the block, if the lake is a folder. In an object store, processes that create
    a table at the same time are reconciled by `_constrain`."""
    if is_object_store(lake.root):
        yield
        return
    with alone(Path(lake.root) / ".creating"):
        yield


def _create(lake: Lake, contract: Contract) -> None:
    from deltalake import CommitProperties, DeltaTable
    from deltalake.exceptions import DeltaError

    if not is_object_store(lake.root):
        Path(lake.path(contract.name)).mkdir(parents=True, exist_ok=True)
    try:
        DeltaTable.create(
            lake.path(contract.name),
            contract.schema,
            mode="ignore",
            name=contract.name,
            description=contract.description,
            partition_by=list(contract.partition_by),
            configuration=TABLE_PROPERTIES,
            storage_options=dict(lake.storage_options) or None,
            # Tried again, it would become a second creation after the first, with another identity.
            commit_properties=CommitProperties(max_commit_retries=0),
        )
    except DeltaError:
        # Another process was first.
        if not lake.exists(contract.name):
            raise


def _constrain(lake: Lake, contract: Contract) -> None:
    """Add the constraints to a new table, in a second commit, which the first process to get there makes. Rows are
    written only after it, so that all are checked."""
    from deltalake.exceptions import DeltaError

    wanted = {e.label: check for e in contract.expectations if (check := constraint_sql(e))}
    for attempt in range(ATTEMPTS):
        table = lake.table(contract.name)
        if table.file_uris():
            return
        known = table.metadata().configuration
        missing = {label: check for label, check in wanted.items() if f"delta.constraints.{label}" not in known}
        if not missing:
            return
        try:
            table.alter.add_constraint(missing)
        except DeltaError:
            # Here too: in the next round nothing is missing.
            if attempt == ATTEMPTS - 1:
                raise


def _evolve(lake: Lake, contract: Contract) -> Any:
    from deltalake import Schema

    table = lake.table(contract.name)
    stored = {field.name: field for field in table.schema().fields}
    wanted = {field.name: field for field in Schema.from_arrow(contract.schema).fields}
    gained = [field for name, field in wanted.items() if name not in stored]
    changed = [name for name, field in stored.items() if name not in wanted or wanted[name].type != field.type]
    changed += [field.name for field in gained if not field.nullable]
    if changed:
        # Nothing has been written: the rows that are there, and those who read them, are as before.
        from catalog.lineage.links import descendants

        found = [each for each in changes(table.schema(), Schema.from_arrow(contract.schema)) if each.column in changed]
        readers = [name for name in descendants(contract.name) if lake.exists(name)]
        also = f"; {', '.join(readers)} {'is' if len(readers) == 1 else 'are'} made from it" if readers else ""
        raise WatershedError(
            f"{lake.path(contract.name)}: stored columns differ from the contract: {', '.join(changed)} "
            f"({in_words(found)}){also}",
            "move the table's folder away and run it again: it is made anew from what it reads",
        )
    if gained:
        table.alter.add_columns(gained)
    return table


def constraint_sql(expectation: Expectation) -> str | None:
    """The Delta CHECK constraint of the expectation; None if it cannot be decided for each row alone."""
    column = expectation.column
    if expectation["mostly"] is not None or expectation.severity == "warn":
        return None
    if expectation.name == "expect_column_values_to_be_between":
        bounds = [
            f"{column} {sign} {sql_literal(expectation[key])}"
            for key, sign in (("min_value", ">="), ("max_value", "<="))
            if expectation[key] is not None
        ]
        return f"{column} IS NULL OR ({' AND '.join(bounds)})"
    if expectation.name == "expect_column_values_to_be_in_set":
        return f"{column} IS NULL OR {column} IN ({', '.join(map(sql_literal, expectation['value_set']))})"
    return None
