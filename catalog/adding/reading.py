"""Files of strangers as rows of a contract: each value with its type, and whether it had another one.

DuckDB reads the files. Values of CSV arrive as text and those of JSON lines as JSON, so that a value of the wrong type
is a fault of its row, which can be named, and not the end of the file.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

import duckdb
import pyarrow as pa

from catalog.errors import WatershedError
from catalog.lines import opened as opened_bytes
from catalog.literals import sql_literal
from catalog.projects.contract_file import OwnTable
from catalog.projects.files_list import ListedFile
from catalog.projects.types import arrow_type, quoted, sql_type

SOURCE_FILE, SOURCE_ROW, SPLIT = "source_file", "source_row", "split"
"""Columns that say where a row comes from: the name of its file, its number in the file from 1, and its split."""

DELIMITERS = (",", "\t", ";", "|")
HEAD_BYTES = 1_000_000
LARGEST_OBJECT = 256_000_000
"""Bytes of the largest JSON object that is read."""

RAW_CHARACTERS = 100
"""Characters of a value of the wrong type that are kept for a message."""

INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Opened:
    """A file that DuckDB can read.

    `scan` is a FROM clause. Its columns are `row number`, from 1, and those that `columns` names for each name in the
    file; their values are text, JSON, or of the types of the file.
    """

    listed: ListedFile
    scan: str
    columns: dict[str, str]
    values: Literal["text", "json", "typed"]
    types: dict[str, Any]
    """DuckDB's types of the columns by their names in the file; of CSV, text."""
    descriptions: Mapping[str, str] = field(default_factory=dict)
    """What the file itself says of columns, by their names in it."""


def open_files(connection: duckdb.DuckDBPyConnection, files: Sequence[ListedFile], project: Path) -> list[Opened]:
    """The files, ready to be read through `connection`, which `catalog.sql.engine.open_engine` opened.

    Raises:
        WatershedError: a file is not of its format.
    """
    return [_open(connection, each, project, number) for number, each in enumerate(files)]


def _open(connection: duckdb.DuckDBPyConnection, listed: ListedFile, project: Path, number: int) -> Opened:
    place = listed.place(project)
    with readable(listed.name):
        if listed.format == "csv":
            return _open_csv(listed, place)
        if listed.format == "jsonl":
            return _open_json(connection, listed, place)
        if listed.format == "parquet":
            scan, row = f"read_parquet({_path(place)})", "row_number() OVER ()"
        elif listed.format == "delta":
            scan, row = f"delta_scan({sql_literal(str(place))}, version => {listed.version})", "row_number() OVER ()"
        else:
            name = f"arrow_{number}_{listed.digest[:16]}"
            connection.register(name, _arrow_table(place))
            scan, row = name, "row_number() OVER ()"
        found = connection.sql(f"FROM {scan}")
        types = dict(zip(found.columns, found.types, strict=True))
        described = _descriptions(place) if listed.format == "parquet" else {}
    names = {name: quoted(name) for name in types}
    return Opened(listed, f"(SELECT *, {row} AS {ROW_NUMBER} FROM {scan})", names, "typed", types, described)


LONGEST_DESCRIPTION = 1_000


def _descriptions(place: Path) -> dict[str, str]:
    """The metadata `comment` or `description` of a Parquet file's columns, as one line each."""
    import pyarrow.parquet as pq

    found = {}
    with suppress(pa.ArrowException):
        for each in pq.read_schema(place):
            metadata = each.metadata or {}
            text = (metadata.get(b"comment") or metadata.get(b"description") or b"").decode("utf-8", errors="replace")
            if words := " ".join(text.split())[:LONGEST_DESCRIPTION]:
                found[each.name] = words
    return found


ROW_NUMBER = '"row number"'
"""A column that no file is likely to have, so that files may have a column `row`."""


class readable:
    """Turn the errors of readers inside the block into a WatershedError about the file."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, (duckdb.Error, OSError, UnicodeDecodeError, EOFError, csv.Error, gzip.BadGzipFile)):
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            cause = "; ".join(lines[:2]) or type(error).__name__
            raise WatershedError(
                f"{self.name} cannot be read: {cause}", "correct the file; nothing was changed"
            ) from error


def _path(place: Path) -> str:
    """A path as DuckDB's readers take it: not as a pattern."""
    return sql_literal(re.sub(r"([\[*?])", r"[\1]", str(place)))


def _open_csv(listed: ListedFile, place: Path) -> Opened:
    with opened_bytes(place) as file:
        head = file.read(HEAD_BYTES)
    text = head.decode("utf-8-sig", errors="strict" if len(head) < HEAD_BYTES else "ignore")
    if not text.strip():
        raise WatershedError(f"{listed.name} is empty", "name a file with rows")
    delimiter = "\t" if ".tsv" in place.name.lower() else _delimiter(text)
    first = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    # A first line of numbers alone is a row, and the columns have no names.
    headed = not all(NUMBER.fullmatch(cell.strip()) for cell in first)
    names = _unique(
        [cell.strip() for cell in first] if headed else [f"column {n}" for n, _ in enumerate(first, start=1)]
    )
    columns = {name: f"c{at}" for at, name in enumerate(names)}
    declared = ", ".join(f"{column}: 'VARCHAR'" for column in columns.values())
    skipped = _header_lines(text, delimiter) if headed else 0
    scan = (
        f"read_csv({_path(place)}, columns = {{{declared}}}, auto_detect = false, delim = {sql_literal(delimiter)}, "
        f"quote = '\"', escape = '\"', header = false, skip = {skipped}, strict_mode = true, null_padding = false, "
        f"max_line_size = {LARGEST_OBJECT // 8}, parallel = true)"
    )
    return Opened(
        listed,
        f"(SELECT *, row_number() OVER () AS {ROW_NUMBER} FROM {scan})",
        columns,
        "text",
        dict.fromkeys(names, duckdb.sqltype("VARCHAR")),
    )


def _header_lines(text: str, delimiter: str) -> int:
    """Lines of the header: a quoted name may hold line breaks."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    next(reader)
    return reader.line_num


def _delimiter(text: str) -> str:
    """The character that cuts most lines into the same number of at least two cells."""

    def score(delimiter: str) -> tuple[float, int]:
        rows = [len(row) for row in islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), 200) if row]
        # The last row may be cut off.
        rows = rows[:-1] if len(rows) > 2 else rows
        same = sum(count == rows[0] for count in rows) / len(rows)
        return (same if rows[0] > 1 else 0.0, rows[0])

    return max(DELIMITERS, key=score)


def _unique(names: Sequence[str]) -> list[str]:
    """The names with a number after each that is there before, in any case of letters."""
    taken: set[str] = set()
    found = []
    for name in names:
        unique, number = name, 2
        while unique.casefold() in taken:
            unique, number = f"{name} {number}", number + 1
        taken.add(unique.casefold())
        found.append(unique)
    return found


def _open_json(connection: duckdb.DuckDBPyConnection, listed: ListedFile, place: Path) -> Opened:
    options = f"format = 'auto', maximum_object_size = {LARGEST_OBJECT}"
    objects = f"read_json_objects({_path(place)}, {options})"
    others = f"SELECT count(*) FROM {objects} WHERE json_type(json) <> 'OBJECT'"
    if connection.sql(others).fetchall() != [(0,)]:
        raise WatershedError(f"{listed.name} holds values that are no objects", "write a JSON object on each line")
    found = connection.sql(f"FROM read_json({_path(place)}, {options}, sample_size = -1, maximum_depth = -1)")
    types = dict(zip(found.columns, found.types, strict=True))
    keys = {key for (key,) in connection.sql(f"SELECT DISTINCT unnest(json_keys(json)) FROM {objects}").fetchall()}
    if keys != types.keys():
        # DuckDB gives new names to empty ones and to those that differ in the case of letters alone.
        names = [name for name in types if name in keys] + sorted(keys - types.keys())
        picked = ", ".join(f"found[{at}] AS c{at - 1}" for at, _ in enumerate(names, start=1))
        pointers = ", ".join(map(_pointer, names))
        scan = f"(SELECT {picked}, row_number() OVER () AS {ROW_NUMBER} "
        scan += f"FROM (SELECT json_extract(json, [{pointers}]) AS found FROM {objects}))"
        known = {name: types.get(name, duckdb.sqltype("JSON")) for name in names}
        return Opened(listed, scan, {name: f"c{at}" for at, name in enumerate(names)}, "json", known)
    columns = {name: f"c{at}" for at, name in enumerate(types)}
    declared = ", ".join(f"{sql_literal(name)}: 'JSON'" for name in columns)
    renamed = ", ".join(f"{quoted(name)} AS {column}" for name, column in columns.items())
    scan = f"read_json({_path(place)}, {options}, columns = {{{declared}}})"
    scan = f"(SELECT {renamed}, row_number() OVER () AS {ROW_NUMBER} FROM {scan})"
    return Opened(listed, scan, columns, "json", types)


def _arrow_table(place: Path) -> Any:
    mapped = pa.memory_map(str(place))
    try:
        return pa.ipc.open_stream(mapped).read_all()
    except pa.ArrowInvalid:
        try:
            return pa.ipc.open_file(mapped).read_all()
        except pa.ArrowInvalid as error:
            raise WatershedError(f"{place.name} is not an Arrow file: {error}", "correct the file") from error


def stored_type(found: Any) -> str | None:
    """The SQL type that a table stores values of a type of DuckDB as; None if they are stored as JSON text.

    Unsigned integers take the next larger type. Structs are kept if Delta and SQL accept the names of their fields.
    """
    kind = found.id
    if kind in ("list", "array", "map", "struct"):
        # An array has its length as a second child.
        children = found.children[:1] if kind in ("list", "array") else found.children
        inner = [(name, stored_type(child)) for name, child in children]
        if not inner or not all(type_ for _, type_ in inner):
            return None
        if kind == "struct":
            simple = all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", name) for name, _ in inner)
            alone = len({name.casefold() for name, _ in inner}) == len(inner)
            fields = ", ".join(f"{quoted(name)} {type_}" for name, type_ in inner)
            return f"STRUCT({fields})" if simple and alone else None
        return f"{inner[0][1]}[]" if kind != "map" else f"MAP({inner[0][1]}, {inner[1][1]})"
    return str(found) if kind == "decimal" else _STORED.get(str(found).upper(), "VARCHAR")


_STORED = {
    **{name: name for name in ("BOOLEAN", *INTEGERS, "FLOAT", "DOUBLE", "DATE", "TIMESTAMP", "BLOB", "VARCHAR")},
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP WITH TIME ZONE",
    **dict.fromkeys(("TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "TIMESTAMP"),
    "UTINYINT": "SMALLINT",
    "USMALLINT": "INTEGER",
    "UINTEGER": "BIGINT",
    # Most values fit; a column with one that does not is a decimal (catalog.adding.proposal).
    "UBIGINT": "BIGINT",
    "HUGEINT": "BIGINT",
}


def value_sql(opened: Opened, name: str, wanted: str) -> tuple[str, str]:
    """SQL of a column's value as the type `wanted`, and of whether the file has a value that is not of this type."""
    if name not in opened.columns:
        return f"NULL::{wanted}", "false"
    raw = opened.columns[name]
    if opened.values == "typed":
        return _typed(raw, opened.types[name], wanted)
    if opened.values == "json":
        given = f"({raw} IS NOT NULL AND json_type({raw}) <> 'NULL')"
        text = f"({raw} ->> '$')"
        if _is_nested(wanted):
            return f"CASE WHEN {given} THEN TRY_CAST({raw} AS {wanted}) END", _json_fault(raw, arrow_type(wanted))
    else:
        given, text = f"({raw} IS NOT NULL)", raw
    if wanted == "VARCHAR":
        return text, "false"
    if opened.values == "text":
        given = f"({raw} IS NOT NULL AND trim({raw}) <> '')"
    return _parsed(text, given, wanted)


def _is_nested(wanted: str) -> bool:
    return wanted.endswith("]") or wanted.startswith(("STRUCT", "MAP"))


def _json_fault(raw: str, found: pa.DataType, depth: int = 0) -> str:
    """SQL of whether JSON holds a value that is not of a type, or a key that the type lacks, at any depth.

    DuckDB's own cast makes nulls of them.
    """
    given = f"{raw} IS NOT NULL AND json_type({raw}) <> 'NULL'"
    if pa.types.is_struct(found):
        fields = [found.field(at) for at in range(found.num_fields)]
        names = ", ".join(sql_literal(field.name) for field in fields)
        inner = [_json_fault(f"json_extract({raw}, {_pointer(each.name)})", each.type, depth) for each in fields]
        faults = (
            f"json_type({raw}) <> 'OBJECT' OR NOT list_has_all([{names}], json_keys({raw})) OR {' OR '.join(inner)}"
        )
    elif pa.types.is_list(found):
        inner_fault = _json_fault(f"e{depth}", found.value_type, depth + 1)
        elements = f"list_transform(TRY_CAST({raw} AS JSON[]), lambda e{depth}: {inner_fault})"
        faults = f"json_type({raw}) <> 'ARRAY' OR list_bool_or({elements})"
    elif pa.types.is_map(found):
        pointer = f"'/' || replace(replace(k{depth}, '~', '~0'), '/', '~1')"
        inner_fault = _json_fault(f"json_extract({raw}, {pointer})", found.item_type, depth + 1)
        values = f"list_transform(json_keys({raw}), lambda k{depth}: {inner_fault})"
        faults = f"json_type({raw}) <> 'OBJECT' OR list_bool_or({values})"
    else:
        wanted = sql_type(found)
        return "false" if wanted == "VARCHAR" else _parsed(f"({raw} ->> '$')", f"({given})", wanted)[1]
    return f"coalesce({given} AND ({faults}), false)"


def _pointer(key: str) -> str:
    """A key of JSON as a JSON pointer (RFC 6901), which takes any character, as a literal of SQL."""
    return sql_literal(f"/{key.replace('~', '~0').replace('/', '~1')}")


def _parsed(text: str, given: str, wanted: str) -> tuple[str, str]:
    """Text as a value: whole numbers have no fraction, and times are written as ISO 8601 has them."""
    value = f"TRY_CAST(trim({text}) AS {wanted})"
    fits = f"{value} IS NOT NULL"
    if wanted in INTEGERS or wanted.startswith("DECIMAL"):
        pattern = r"[+-]?[0-9]+" if wanted in INTEGERS else r"[+-]?[0-9]+(\.[0-9]+)?"
        fits = f"({fits} AND regexp_full_match(trim({text}), '{pattern}'))"
    elif wanted == "BOOLEAN":
        fits = f"({fits} AND lower(trim({text})) IN ('true', 'false', 't', 'f', '1', '0', 'yes', 'no'))"
    elif wanted.startswith(("DATE", "TIMESTAMP")):
        fits = f"({fits} AND regexp_matches(trim({text}), '^[0-9]{{4}}-'))"
    return f"CASE WHEN {fits} THEN {value} END", f"({given} AND NOT ({fits}))"


def _typed(raw: str, found: Any, wanted: str) -> tuple[str, str]:
    kind = str(found)
    if kind.upper() == wanted.upper() or (_is_nested(wanted) and stored_type(found) == wanted):
        return raw, "false"
    if wanted == "VARCHAR":
        return (
            f"to_json({raw})::VARCHAR" if found.id in ("struct", "map", "list", "array") else f"{raw}::VARCHAR"
        ), "false"
    if found.id == "varchar" and not _is_nested(wanted) and wanted != "BLOB":
        return _parsed(raw, f"({raw} IS NOT NULL AND trim({raw}) <> '')", wanted)
    value = f"TRY_CAST({raw} AS {wanted})"
    bad = f"({raw} IS NOT NULL AND {value} IS NULL)"
    if _is_nested(wanted):
        # An inner value that was lost or rounded.
        bad = f"({raw} IS NOT NULL AND to_json({value})::VARCHAR IS DISTINCT FROM to_json({raw})::VARCHAR)"
    if wanted in INTEGERS and found.id in ("float", "double", "decimal"):
        bad = f"({raw} IS NOT NULL AND ({value} IS NULL OR {value} <> {raw}))"
    return value, bad


def rows_sql(table: OwnTable, files: Sequence[Opened]) -> str:
    """A query of the files' rows in the columns of the contract.

    The columns `bad 0`, `bad 1` ... say whether the value of the first, second ... column is of another type than the
    contract says, and `raw 0`, `raw 1` ... how such a value begins.
    """
    return " UNION ALL ".join(f"({_rows_of(table, each)})" for each in files)


def _rows_of(table: OwnTable, opened: Opened) -> str:
    places = {
        SOURCE_FILE: f"{sql_literal(opened.listed.name)}::VARCHAR",
        SOURCE_ROW: f"{ROW_NUMBER}::BIGINT",
        SPLIT: f"{sql_literal(opened.listed.split)}::VARCHAR",
    }
    selected = []
    for at, column in enumerate(table.contract.columns):
        name = table.name_in_files(column.name)
        if column.name in places and name not in opened.columns:
            value, bad, raw = places[column.name], "false", "NULL"
        else:
            value, bad = value_sql(opened, name, sql_type(column.type))
            raw = opened.columns.get(name, "NULL")
        selected += [f"{value} AS {quoted(column.name)}", f'{bad} AS "bad {at}"']
        selected.append(f'CASE WHEN "bad {at}" THEN left({raw}::VARCHAR, {RAW_CHARACTERS}) END AS "raw {at}"')
    return f"SELECT {', '.join(selected)} FROM {opened.scan}"


def batches(connection: duckdb.DuckDBPyConnection, table: OwnTable, files: Sequence[Opened]) -> Iterator[Any]:
    """The rows of the files as Arrow record batches of the contract's columns."""
    names = ", ".join(quoted(column.name) for column in table.contract.columns)
    with readable(", ".join(each.listed.name for each in files[:3])):
        reader = connection.sql(f"SELECT {names} FROM ({rows_sql(table, files)})").to_arrow_reader(65_536)
        yield from cast(Any, reader)
