"""Tables on the terminal: the list of all tables, and the description of one."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from catalog.cards.card import because, card, facts, statement, type_name
from catalog.contract import Column, Contract
from catalog.errors import WatershedError
from catalog.inventory import TableState, table_state
from catalog.lake import Lake
from catalog.names import find
from catalog.printable import human_bytes
from catalog.settings import Settings
from catalog.sql.views import VIEWS
from catalog.tables import CONTRACTS
from dagster_project.cli.screen.render import cell, moment, plain_table
from dagster_project.cli.screen.say import say

if TYPE_CHECKING:
    import duckdb

SAMPLED_ROWS = 200
VERSIONS_SHOWN = 10
SAMPLE_WIDTH = 36


def print_tables(screen: Console, settings: Settings, due: Mapping[str, str] = MappingProxyType({})) -> None:
    """Print one line for each table, by family, and then the views.

    `due` says in words what is due of a table, for those of which something is.
    """
    lake = Lake.of(settings)
    # Without this, an error of the object store would be reported once for every table.
    lake.reach()
    table = plain_table()
    for name, justify in (("table", "left"), ("rows", "right"), ("size", "right"), ("version", "right")):
        table.add_column(name, justify=justify, no_wrap=True)
    table.add_column("written, UTC", no_wrap=True)
    table.add_column("state")
    states: list[TableState] = []
    for family, contracts in groupby(CONTRACTS.values(), key=lambda contract: contract.family):
        if family != next(iter(CONTRACTS.values())).family:
            table.add_row()
        for contract in contracts:
            table.add_row(*_line(lake, contract, states, due))
    screen.print(table)
    size = human_bytes(sum(state.bytes for state in states))
    made = sum(state.made for state in states)
    say(f"{made} of {len(CONTRACTS)} tables made, {size}, lake {lake.root}", err=True)
    say(f"views: {', '.join(VIEWS)}, watershed.tables, watershed.history", err=True)


def print_card(settings: Settings, name: str) -> None:
    """Print the data card of a table."""
    contract = _contract(name)
    say(card(contract, table_state(Lake.of(settings), contract)), nl=False)


def print_description(screen: Console, settings: Settings, name: str) -> None:
    """Print facts, columns with example values, expectations and versions of a table, or the SQL of a view."""
    if (view := find(name, VIEWS)) is not None:
        _print_view(screen, view)
        return
    from catalog.sql.query import connect

    contract, lake = _contract(name), Lake.of(settings)
    state = table_state(lake, contract)
    connection = connect(settings) if state.made else None
    screen.print(Text(contract.name, style="bold") + Text(f"  {state.path}", style="dim"), soft_wrap=True)
    screen.print(Text(contract.description))
    screen.print()
    _print_facts(screen, contract, state)
    screen.print()
    screen.print(_columns(contract, _samples(connection, contract) if connection else {}))
    screen.print()
    expectations = plain_table("expected", "why")
    for expectation in (*contract.all_expectations()[-len(contract.expectations) - 1 :],):
        expectations.add_row(Text(statement(expectation)), Text(because(expectation), style="dim"))
    screen.print(expectations)
    if connection:
        screen.print()
        _print_versions(screen, connection, state)


def _contract(name: str) -> Contract:
    from catalog.tables import contract

    return contract(name)


def _line(lake: Lake, contract: Contract, states: list[TableState], due: Mapping[str, str]) -> tuple[Text | str, ...]:
    try:
        state = table_state(lake, contract)
    except WatershedError as error:
        return contract.name, "", "", "", "", Text(error.cause, style="red")
    states.append(state)
    if not state.made:
        return Text(contract.name, style="dim"), "", "", "", "", Text(state.summary, style="dim")
    return (
        contract.name,
        f"{state.rows:,}",
        human_bytes(state.bytes),
        str(state.version),
        moment(state.written_at),
        Text(state.summary, style="yellow" if state.drift else "green")
        + Text(f"; {due[contract.name]}" if contract.name in due else "", style="yellow"),
    )


def _print_facts(screen: Console, contract: Contract, state: TableState) -> None:
    table = plain_table()
    table.show_header = False
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in facts(contract, state):
        table.add_row(name, Text(value))
    screen.print(table)


def _columns(contract: Contract, samples: dict[str, Any]) -> Any:
    table = plain_table()
    table.add_column("column", no_wrap=True)
    table.add_column("type", style="cyan", max_width=24)
    table.add_column("meaning", ratio=1)
    table.add_column("e.g.", no_wrap=True, max_width=SAMPLE_WIDTH, overflow="ellipsis")
    for column in contract.columns:
        sample = samples.get(column.name)
        example = "" if sample is None else cell(sample, SAMPLE_WIDTH)
        table.add_row(_named(contract, column), Text(type_name(column)), _meaning(column), Text(example, style="dim"))
    return table


def _named(contract: Contract, column: Column) -> Text:
    return Text(column.name, style="bold" if column.name in contract.primary_key else "")


def _meaning(column: Column) -> Text:
    meaning = Text(column.description)
    if column.derived_from:
        meaning += Text(f"  from {', '.join(column.derived_from)}", style="dim")
    if column.personal_data:
        meaning += Text(f"  personal data: {column.personal_data}", style="yellow")
    return meaning


def _samples(connection: duckdb.DuckDBPyConnection, contract: Contract) -> dict[str, Any]:
    """Return an example value of every column that the table has: the first that is not null."""
    relation = connection.sql(f"FROM {contract.name} LIMIT {SAMPLED_ROWS}")
    names = relation.columns
    found = relation.aggregate(", ".join(f'any_value("{name}")' for name in names)).fetchall()
    return dict(zip(names, found[0], strict=True)) if found else {}


def _print_versions(screen: Console, connection: duckdb.DuckDBPyConnection, state: TableState) -> None:
    rows = connection.execute(
        "SELECT version, any_value(written_at), any_value(operation), "
        "if(count(*) = 1, any_value(partition), count(*) || ' partitions'), "
        "if(count(*) = 1, any_value(fingerprint), NULL) FROM watershed.history "
        f"WHERE name = '{state.contract.name}' GROUP BY version ORDER BY version DESC LIMIT {VERSIONS_SHOWN}"
    ).fetchall()
    table = plain_table("version", "written, UTC", "operation", "partition", "fingerprint")
    for version, written_at, operation, partition, fingerprint in rows:
        part = "whole" if partition == "" else partition or ""
        table.add_row(str(version), moment(written_at), (operation or "").lower(), part, fingerprint or "")
    screen.print(table)
    older = (state.version or 0) + 1 - len(rows)
    if older > 0:
        query = f"FROM watershed.history WHERE name = '{state.contract.name}'"
        screen.print(Text(f"{older} older: {query}", style="dim"), soft_wrap=True)


def _print_view(screen: Console, name: str) -> None:
    import textwrap

    view = VIEWS[name]
    screen.print(Text(name, style="bold") + Text("  a view", style="dim"))
    screen.print(Text(view.description))
    screen.print(Text(f"needs {', '.join(view.tables)}", style="dim"))
    screen.print()
    screen.print(Text(textwrap.dedent(view.sql).strip()), soft_wrap=True)
