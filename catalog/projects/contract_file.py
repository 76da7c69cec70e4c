"""The contract of a project's own table as a TOML file, which `watershed add` proposes and people review."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catalog.contract import (
    Column,
    Contract,
    Expectation,
    between,
    matches,
    one_of,
    references,
    row_count,
    warned,
)
from catalog.errors import WatershedError
from catalog.projects.entries import NAME, Fault, known, read_toml, text, texts
from catalog.projects.types import arrow_type, sql_type

TABLE_KEYS = frozenset(
    "name description licence source owner primary_key partition_by tags modalities upstream named_by minimum_rows "
    "fresh_for_days command columns left_out search_name search_text".split()
)
COLUMN_KEYS = frozenset(
    "name from type description nullable personal_data derived_from minimum maximum one_of matches references "
    "warn why".split()
)


@dataclass(frozen=True, kw_only=True)
class OwnTable:
    """A table of a project: its contract, the file that declares it, and how its columns are called in the files."""

    contract: Contract
    path: Path
    names: Mapping[str, str] = field(default_factory=dict)
    """The name in the files of every column that is called otherwise in the table."""
    left_out: tuple[str, ...] = ()
    """Columns of the files that the table does not have."""
    search_name: str = ""
    """The column that search finds rows by; empty if it finds none."""
    search_text: tuple[str, ...] = ()
    """More columns that rows are found by; the first one is shown."""

    @property
    def files_list(self) -> Path:
        """The list of the files that the table is made of; it is missing if something else makes the table."""
        return self.path.with_suffix(".files.jsonl")

    def name_in_files(self, column: str) -> str:
        """How the files call a column of the table."""
        return self.names.get(column, column)


def read_contract(path: Path) -> OwnTable:
    """The contract in a file.

    Raises:
        WatershedError: the file is not TOML, or not a contract; the error names the entry.
    """
    found = read_toml(path, "a contract")
    try:
        return _own_table(found, path)
    except Fault as fault:
        raise WatershedError(
            f"{path}: {fault}", "correct the entry; docs/extending.md explains the contract of a table"
        ) from fault
    except WatershedError as error:
        raise WatershedError(f"{path}: {error.cause}", error.mend) from error


def _own_table(found: Mapping[str, Any], path: Path) -> OwnTable:
    known(found, TABLE_KEYS, "the file")
    name = text(found, "name", required=True)
    family, _, table = name.partition(".")
    if not NAME.fullmatch(family) or not NAME.fullmatch(table):
        raise Fault(f"name = {name!r} is not FAMILY.TABLE in lower-case letters, digits and underscores")
    entries = found.get("columns")
    if not isinstance(entries, list) or not entries or not all(isinstance(each, dict) for each in entries):
        raise Fault("there is no [[columns]]")
    columns = [_column(each) for each in entries]
    if twice := {each.name for each in columns if sum(other.name == each.name for other in columns) > 1}:
        raise Fault(f"two columns are called {min(twice)}")
    rows = found.get("minimum_rows", 1)
    days = found.get("fresh_for_days")
    for value, key in ((rows, "minimum_rows"), (days, "fresh_for_days")):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise Fault(f"{key} = {value!r} is not a whole number")
    expectations = [row_count(rows)] if rows else []
    expectations += [each for entry in entries for each in _expectations(entry)]
    key = texts(found, "primary_key")
    if not key:
        raise Fault("primary_key names no column")
    contract = Contract(
        name=name,
        description=text(found, "description", required=True),
        columns=tuple(columns),
        primary_key=key,
        partition_by=texts(found, "partition_by"),
        upstream=texts(found, "upstream"),
        source=text(found, "source") or "derived",
        licence=text(found, "licence") or "not stated",
        owner=text(found, "owner") or "data",
        freshness=datetime.timedelta(days=days) if days else None,
        expectations=tuple(expectations),
        named_by=texts(found, "named_by"),
        tags=texts(found, "tags"),
        modalities=texts(found, "modalities"),
        command=text(found, "command") or None,
    )
    names = {each["name"]: each["from"] for each in entries if "from" in each}
    table = OwnTable(
        contract=contract,
        path=path,
        names=names,
        left_out=texts(found, "left_out"),
        search_name=text(found, "search_name"),
        search_text=texts(found, "search_text"),
    )
    for column in (table.search_name, *table.search_text) if table.search_name or table.search_text else ():
        if column not in contract.schema.names:
            raise Fault(f"search_name and search_text name the column {column!r}, which is not declared")
        if column in contract.personal_data:
            raise Fault(f"search_name and search_text name {column!r}, which holds personal data")
    return table


def _column(entry: Mapping[str, Any]) -> Column:
    name = text(entry, "name", required=True)
    if not NAME.fullmatch(name):
        raise Fault(f"the column {name!r} is not in lower-case letters, digits and underscores")
    where = f"column {name}"
    known(entry, COLUMN_KEYS, where)
    text(entry, "from")
    try:
        type_ = arrow_type(text(entry, "type", required=True))
    except ValueError as error:
        raise Fault(f"{where}: {error}") from error
    nullable = entry.get("nullable", False)
    if not isinstance(nullable, bool):
        raise Fault(f"{where}: nullable = {nullable!r} is not true or false")
    return Column(
        name=name,
        type=type_,
        description=text(entry, "description", required=True),
        nullable=nullable,
        personal_data=text(entry, "personal_data") or None,
        derived_from=texts(entry, "derived_from"),
    )


def _expectations(entry: Mapping[str, Any]) -> Iterator[Expectation]:
    name, why = entry["name"], text(entry, "why")
    declared: list[Expectation] = []
    low, high = entry.get("minimum"), entry.get("maximum")
    for value in (low, high):
        if value is not None and (not isinstance(value, (int, float)) or isinstance(value, bool)):
            raise Fault(f"column {name}: {value!r} is not a number")
    if low is not None or high is not None:
        declared.append(between(name, low, high, why=why))
    if "one_of" in entry:
        values = entry["one_of"]
        if (
            not isinstance(values, list)
            or not values
            or not all(isinstance(v, (str, int, float, bool)) for v in values)
        ):
            raise Fault(f"column {name}: one_of is not a list of values")
        declared.append(one_of(name, tuple(values), why=why))
    if pattern := text(entry, "matches"):
        declared.append(matches(name, pattern, why=why))
    if target := text(entry, "references"):
        if len(target.split(".")) != 3:
            raise Fault(f"column {name}: references = {target!r} is not FAMILY.TABLE.COLUMN")
        declared.append(references(name, target, why=why))
    yield from (warned(each) if entry.get("warn") else each for each in declared)


def contract_toml(table: OwnTable, notes: Mapping[str, str], remarks: tuple[str, ...] = ()) -> str:
    """A contract as TOML.

    Args:
        notes: comments about columns, by name.
        remarks: lines of comment at the top.
    """
    contract = table.contract
    lines = [f"# {' '.join(line.split())}" for line in remarks]
    lines += ["", *_entry("name", contract.name), *_entry("description", contract.description)]
    lines += [
        *_entry("licence", contract.licence),
        *_entry("source", contract.source),
        *_entry("owner", contract.owner),
    ]
    for key, values in (
        ("primary_key", contract.primary_key),
        ("tags", contract.tags),
        ("modalities", contract.modalities),
    ):
        lines += _entry(key, list(values))
    by_column: dict[str, list[Expectation]] = {}
    for expectation in contract.expectations:
        if expectation.column:
            by_column.setdefault(expectation.column, []).append(expectation)
    for column in contract.columns:
        lines += ["", "[[columns]]", *_entry("name", column.name)]
        if column.name in table.names:
            lines += _entry("from", table.names[column.name])
        lines += [*_entry("type", sql_type(column.type)), *_entry("description", column.description)]
        lines += _entry("nullable", True) if column.nullable else []
        lines += _entry("personal_data", column.personal_data) if column.personal_data else []
        for expectation in by_column.get(column.name, ()):
            lines += _expectation_lines(expectation)
        if column.name in notes:
            lines.append(f"# {' '.join(notes[column.name].split())}")
    return "\n".join(lines).lstrip("\n") + "\n"


def _expectation_lines(expectation: Expectation) -> Iterator[str]:
    for key, entry in (
        ("min_value", "minimum"),
        ("max_value", "maximum"),
        ("value_set", "one_of"),
        ("regex", "matches"),
    ):
        value = expectation[key]
        if value is not None:
            yield from _entry(entry, list(value) if isinstance(value, tuple) else value)


def _entry(key: str, value: Any) -> list[str]:
    # JSON's strings, numbers, lists and truth values are TOML's, apart from the character that JSON leaves as it is.
    return [f"{key} = {json.dumps(value, ensure_ascii=False).replace(chr(0x7F), '')}"]
