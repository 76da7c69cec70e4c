"""The contract that files seem to keep: types, required columns, a key, ranges, sets of values, personal data.

It is a proposal, for a person to review. What it states holds of every row of the files; a range is the order of
magnitude of what was seen, so that a later file need not have the same extremes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from catalog.adding.names import column_names
from catalog.adding.personal import PATTERNS, SHARE, WITHIN, by_name
from catalog.adding.reading import (
    SOURCE_FILE,
    SOURCE_ROW,
    SPLIT,
    Opened,
    readable,
    rows_sql,
    stored_type,
)
from catalog.columns import integer, text
from catalog.contract import Column, Contract, Expectation, between, one_of, row_count
from catalog.errors import WatershedError
from catalog.literals import sql_literal
from catalog.personal import EMAIL
from catalog.projects.contract_file import OwnTable
from catalog.projects.types import arrow_type, quoted

PROFILED = "profiled_rows"
RANGE_VALUES, SET_VALUES = 5, 10
"""Values that a column has before a range or a set is proposed."""
LARGEST_SET, LONGEST_MEMBER, SET_SHARE = 12, 40, 0.3
"""Members of a set of values, their length, and their number as a share of the values, at most."""
KEY_NAMES = re.compile(r"(.*_)?(id|key|uuid|guid|doi|isbn|url|code|hash|digest|name)")
PROSE = 60
"""Mean characters of a column that holds text for people to read."""

PARSERS = (
    ("BOOLEAN", "lower(trim({0})) IN ('true', 'false')"),
    (
        "BIGINT",
        "regexp_full_match(trim({0}), '[+-]?(0|[1-9][0-9]{{0,18}})') AND TRY_CAST(trim({0}) AS BIGINT) IS NOT NULL",
    ),
    (
        "DOUBLE",
        "regexp_full_match(trim({0}), '[+-]?(0|[1-9][0-9]*)?(\\.[0-9]*)?([eE][+-]?[0-9]+)?') "
        "AND TRY_CAST(trim({0}) AS DOUBLE) IS NOT NULL",
    ),
    (
        "DATE",
        "regexp_full_match(trim({0}), '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') AND TRY_CAST(trim({0}) AS DATE) IS NOT NULL",
    ),
    (
        "TIMESTAMP",
        "regexp_full_match(trim({0}), '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ][0-9:.]+') "
        "AND TRY_CAST(trim({0}) AS TIMESTAMP) IS NOT NULL",
    ),
    (
        "TIMESTAMP WITH TIME ZONE",
        "regexp_matches(trim({0}), '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ][0-9:.]+(Z|[+-][0-9:]+)$') "
        "AND TRY_CAST(trim({0}) AS TIMESTAMPTZ) IS NOT NULL",
    ),
)
"""Types of text, each with the condition that a value is one of it. Numbers with leading zeros stay text."""


@dataclass(frozen=True)
class Proposal:
    """A contract, and the comments on its columns."""

    table: OwnTable
    notes: dict[str, str] = field(default_factory=dict)
    personal: dict[str, str] = field(default_factory=dict)
    rows: int = 0


@dataclass(frozen=True)
class Profile:
    """What was seen of a column's values."""

    rows: int
    present: int
    distinct: int
    low: Any = None
    high: Any = None
    mean_length: float = 0.0
    shares: Mapping[str, float] = field(default_factory=dict)
    emails_within: float = 0.0


def propose(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    files: Sequence[Opened],
    path: Path,
    *,
    key: Sequence[str] = (),
    description: str = "",
    licence: str = "",
) -> Proposal:
    """The contract that the rows of `files` keep.

    Args:
        connection: the connection that the files were opened with.
        name: FAMILY.TABLE.
        path: where the contract will be written.
        key: columns of the primary key, by their names in the files or in the table; by default one is looked for.

    Raises:
        WatershedError: there are no rows or columns, or a column of `key` does not exist.
    """
    table = _typed(connection, name, files, path)
    with readable(", ".join(each.listed.name for each in files[:3])):
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {PROFILED} AS {rows_sql(table, files)}")
    table = _with_text_where_types_fail(connection, table, files)
    profiles = {column.name: _profile(connection, column) for column in table.contract.columns}
    rows = next(iter(profiles.values())).rows
    if not rows:
        raise WatershedError(f"{files[0].listed.name} holds no rows", "name files with rows")
    named = _named_key(table, key)
    proposed = named or _found_key(connection, table, profiles)
    personal = {
        column.name: kind
        for column in table.contract.columns
        if column.name not in (SOURCE_FILE, SOURCE_ROW) and (kind := _personal(column, profiles[column.name]))
    }
    columns = tuple(_column(each, table, profiles[each.name], personal, proposed) for each in table.contract.columns)
    expectations, notes = [row_count(1)], dict[str, str]()
    for column in columns:
        if column.name in (*proposed, SOURCE_FILE, SOURCE_ROW):
            continue
        found, note = _values(connection, column, profiles[column.name], personal=column.name in personal)
        expectations += found
        if note:
            notes[column.name] = note
    contract = Contract(
        name=name,
        description=description or f"Rows of {_shown(files)}.",
        columns=columns,
        primary_key=proposed,
        source=_shown(files),
        licence=licence or "not stated",
        expectations=tuple(expectations),
        modalities=_modalities(columns, profiles),
    )
    return Proposal(replace(table, contract=contract), notes, personal, rows)


def _shown(files: Sequence[Opened]) -> str:
    first = files[0].listed.name
    return first if len(files) == 1 else f"{first} and {len(files) - 1} more files"


def _typed(connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[Opened], path: Path) -> OwnTable:
    """A table with a nullable column for each of the files', of the type that all of them can be stored as."""
    found: dict[str, str] = {}
    for each in files:
        for original, type_ in each.types.items():
            stored = stored_type(type_) or "VARCHAR"
            known = found.setdefault(original, stored)
            if known != stored:
                found[original] = _wider(known, stored)
    if not found:
        raise WatershedError(f"{files[0].listed.name} has no columns", "name files with columns")
    if files[0].values == "text":
        found = _parsed_types(connection, files, list(found))
    names = column_names(found)
    described = {name: words for each in reversed(files) for name, words in each.descriptions.items()}
    columns = [
        Column(
            name=names[original],
            type=arrow_type(type_),
            description=described.get(original, f"Column {original!r} of the files."),
            nullable=True,
        )
        for original, type_ in found.items()
    ]
    taken = {column.name for column in columns}
    if SPLIT not in taken and any(each.listed.split for each in files):
        columns.append(text(SPLIT, "Split of the data set, by the name of the file.", nullable=True))
    if SOURCE_FILE not in taken and SOURCE_ROW not in taken:
        columns += [
            text(SOURCE_FILE, "Name of the file that the row comes from."),
            integer(SOURCE_ROW, "Number of the row in this file, from 1."),
        ]
    contract = Contract(name=name, description=name, columns=tuple(columns), primary_key=(columns[0].name,))
    return OwnTable(contract=contract, path=path, names={new: old for old, new in names.items() if old != new})


WIDENED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "DOUBLE")


def _wider(first: str, second: str) -> str:
    """The type that stores values of both types: of numbers the larger one, otherwise text."""
    if first in WIDENED and second in WIDENED:
        return max(first, second, key=WIDENED.index)
    return "DOUBLE" if {first, second} <= {*WIDENED, "FLOAT"} else "VARCHAR"


def _parsed_types(connection: duckdb.DuckDBPyConnection, files: Sequence[Opened], names: list[str]) -> dict[str, str]:
    """The types of columns of text: the first of PARSERS that all values are of, or text."""
    selected = []
    for each in files:
        columns = ", ".join(f"{each.columns.get(name, 'NULL::VARCHAR')} AS c{at}" for at, name in enumerate(names))
        selected.append(f"SELECT {columns} FROM {each.scan}")
    answers = []
    for at, _ in enumerate(names):
        given = f"(c{at} IS NOT NULL AND trim(c{at}) <> '')"
        answers.append(f"count(*) FILTER (WHERE {given})")
        answers += [f"count(*) FILTER (WHERE {given} AND ({test.format(f'c{at}')}))" for _, test in PARSERS]
    with readable(", ".join(each.listed.name for each in files[:3])):
        row = connection.sql(f"SELECT {', '.join(answers)} FROM ({' UNION ALL '.join(selected)})").fetchall()[0]
    width = len(PARSERS) + 1
    found = {}
    for at, name in enumerate(names):
        given, *counts = row[at * width : (at + 1) * width]
        fitting = (kind for (kind, _), count in zip(PARSERS, counts, strict=True) if given and count == given)
        found[name] = next(fitting, "VARCHAR")
    return found


def _with_text_where_types_fail(
    connection: duckdb.DuckDBPyConnection, table: OwnTable, files: Sequence[Opened]
) -> OwnTable:
    """The table with text in place of the types that some values do not have; its rows are profiled again."""
    columns = table.contract.columns
    tests = ", ".join(f'count(*) FILTER (WHERE "bad {at}")' for at in range(len(columns)))
    counts = connection.execute(f"SELECT {tests} FROM {PROFILED}").fetchall()[0]
    if not any(counts):
        return table
    large = {name for each in files for name, type_ in each.types.items() if type_.id in ("ubigint", "hugeint")}
    changed = tuple(
        replace(column, type=pa.decimal128(38, 0) if table.name_in_files(column.name) in large else pa.string())
        if count
        else column
        for column, count in zip(columns, counts, strict=True)
    )
    table = replace(table, contract=replace(table.contract, columns=changed))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {PROFILED} AS {rows_sql(table, files)}")
    return table


def _profile(connection: duckdb.DuckDBPyConnection, column: Column) -> Profile:
    name = quoted(column.name)
    nested = pa.types.is_nested(column.type)
    ordered = not nested and not pa.types.is_boolean(column.type) and not pa.types.is_binary(column.type)
    finite = f"FILTER (WHERE NOT isnan({name}))" if pa.types.is_floating(column.type) else ""
    answers = ["count(*)", f"count({name})"]
    answers.append("0" if nested or pa.types.is_binary(column.type) else f"count(DISTINCT {name})")
    answers += [f"min({name}) {finite}", f"max({name}) {finite}"] if ordered else ["NULL", "NULL"]
    is_text = pa.types.is_string(column.type)
    answers.append(f"coalesce(avg(length({name})), 0)" if is_text else "0")
    words = name if is_text else f"to_json({name})::VARCHAR" if nested else ""
    answers.append(f"count(*) FILTER (WHERE regexp_matches({words}, {sql_literal(EMAIL)}))" if words else "0")
    for pattern in PATTERNS.values():
        matched = f"count(*) FILTER (WHERE regexp_full_match({name}, {sql_literal(pattern)}))"
        answers.append(matched if is_text else "0")
    rows, present, distinct, low, high, length, within, *matched = connection.execute(
        f"SELECT {', '.join(answers)} FROM {PROFILED}"
    ).fetchall()[0]
    shares = {kind: count / present for kind, count in zip(PATTERNS, matched, strict=True)} if present else {}
    return Profile(rows, present, distinct, low, high, float(length), shares, within / present if present else 0.0)


def _named_key(table: OwnTable, key: Sequence[str]) -> tuple[str, ...]:
    by_original = {table.name_in_files(column.name): column.name for column in table.contract.columns}
    found = []
    for name in key:
        column = by_original.get(name) or (name if name in table.contract.schema.names else None)
        if column is None:
            raise WatershedError(f"no column is called {name!r}", f"choose one of {', '.join(by_original)}")
        found.append(column)
    return tuple(dict.fromkeys(found))


def _found_key(
    connection: duckdb.DuckDBPyConnection, table: OwnTable, profiles: Mapping[str, Profile]
) -> tuple[str, ...]:
    """A column that names every row and is called like one that does; otherwise the file and the number in it."""
    table_id = f"{table.contract.table.rstrip('s')}_id"
    candidates = [
        column.name
        for column in table.contract.columns
        if column.name not in (SOURCE_FILE, SOURCE_ROW)
        and KEY_NAMES.fullmatch(column.name)
        and (pa.types.is_integer(column.type) or pa.types.is_string(column.type))
        and profiles[column.name].distinct == profiles[column.name].rows
        and profiles[column.name].mean_length <= 4 * PROSE
    ]
    ranked = sorted(candidates, key=lambda name: (name not in ("id", "uuid", table_id), not name.endswith("id")))
    if ranked:
        return (ranked[0],)
    if {SOURCE_FILE, SOURCE_ROW} <= set(table.contract.schema.names):
        return (SOURCE_FILE, SOURCE_ROW)
    raise WatershedError(
        "no column names every row, and the files have columns called source_file or source_row",
        "name the key with --key COLUMN",
    )


def _personal(column: Column, profile: Profile) -> str | None:
    if not profile.present:
        return None
    for kind, share in profile.shares.items():
        if share >= SHARE:
            return kind
    promised = by_name(column.name)
    if promised:
        return promised
    return "text with e-mail addresses" if profile.emails_within >= WITHIN else None


def _column(
    column: Column, table: OwnTable, profile: Profile, personal: Mapping[str, str], key: Sequence[str]
) -> Column:
    return replace(
        column,
        nullable=profile.present < profile.rows and column.name not in key,
        personal_data=personal.get(column.name),
    )


def _values(
    connection: duckdb.DuckDBPyConnection, column: Column, profile: Profile, *, personal: bool
) -> tuple[list[Expectation], str]:
    """The range or the set of a column's values, and a remark about what was seen."""
    if not profile.present:
        return [], "no file has a value of this column"
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if numeric and profile.low is not None:
        seen = f"seen: {profile.low} to {profile.high}"
        called_like_a_name = bool(re.fullmatch(r"(.*_)?id", column.name))
        if profile.present < RANGE_VALUES or called_like_a_name or not _finite(profile.low, profile.high):
            return [], seen
        whole = pa.types.is_integer(column.type)
        low, high = _range(profile.low, profile.high)
        return [between(column.name, int(low) if whole else low, int(high) if whole else high)], seen
    few = profile.distinct <= min(LARGEST_SET, SET_SHARE * profile.present)
    if pa.types.is_string(column.type) and few and profile.present >= SET_VALUES and not personal:
        name = quoted(column.name)
        found = connection.execute(
            f"SELECT DISTINCT {name} FROM {PROFILED} WHERE {name} IS NOT NULL ORDER BY 1"
        ).fetchall()
        values = tuple(value for (value,) in found)
        if all(len(value) <= LONGEST_MEMBER for value in values):
            return [one_of(column.name, values)], ""
    if not pa.types.is_nested(column.type) and not personal and profile.low is not None and not numeric:
        count = f"{profile.distinct:,} {'value' if profile.distinct == 1 else 'different values'}"
        return [], f"seen: {count} in {profile.present:,} rows"
    return [], ""


def _finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)


def _range(low: float, high: float) -> tuple[float, float]:
    """The range of the order of magnitude of what was seen: shares stay in 0..1, and counts stay positive."""
    if low >= 0 and high <= 1:
        return 0, 1
    return (0 if low >= 0 else -_magnitude(-low)), (0 if high <= 0 else _magnitude(high))


def _magnitude(value: float) -> float:
    """The first of 1, 2, 5, 10, 20, 50 ... that is a quarter more than `value`."""
    power = 10.0 ** math.floor(math.log10(value * 1.25))
    return max(1.0, next(step * power for step in (1, 2, 5, 10) if step * power >= value * 1.25))


def _modalities(columns: Sequence[Column], profiles: Mapping[str, Profile]) -> tuple[str, ...]:
    """What the rows hold for models: pictures and sound by the names of columns of bytes, text by its length."""
    found = set()
    for column in columns:
        held = pa.types.is_binary(column.type) or pa.types.is_struct(column.type)
        found |= {kind for kind in ("image", "audio", "video") if held and kind in column.name}
        if pa.types.is_string(column.type) and profiles[column.name].mean_length >= PROSE:
            found.add("text")
    return tuple(sorted(found)) or ("tabular",)
