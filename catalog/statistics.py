"""Statistics of every column of a table: nulls, distinct values, range, mean, and a histogram.

Two queries of DuckDB read a table once each, whatever the number of columns. A table of more than ROWS rows is
described by some of its files, drawn at random with a seed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalog.contract import Column, Contract
from catalog.lake import Lake

if TYPE_CHECKING:
    import duckdb

ROWS = 1_000_000
"""Rows that are read of a table; of a larger one, as many files as hold at least that many."""
BINS = 24
"""Bars of the histogram of numbers, times and lengths."""
VALUES = 12
"""Values whose counts are shown, of a column of text with no more distinct values than FEW."""
FEW = 40
COUNTED = 200_000
"""Rows of a table up to which distinct values are counted exactly."""
SEED = 0
MEASURED = ("number", "time", "text", "entries", "bytes")
"""Kinds of columns that have a range and a histogram: of their values, or of their lengths."""


@dataclass(frozen=True, kw_only=True)
class ColumnStatistics:
    """What is known of the values of a column. Numbers of list, text and binary columns are about lengths."""

    column: str
    kind: str
    """number, time, truth, text, entries (of lists), bytes, or other."""
    rows: int
    nulls: int
    distinct: int | None = None
    """Distinct values; None if they are not counted."""
    exact: bool = True
    """Whether distinct values were counted, rather than estimated by HyperLogLog within about a tenth."""
    low: Any = None
    high: Any = None
    mean: float | None = None
    bins: tuple[int, ...] = ()
    """Values in each of the equal intervals from `low` to `high`, of finite numbers, times and lengths."""
    values: tuple[tuple[str, int], ...] = ()
    """The most frequent values of a text or a truth value and their rows, where there are few different ones."""


@dataclass(frozen=True, kw_only=True)
class TableStatistics:
    """The statistics of all columns of one version of a table."""

    rows: int
    read: int
    """Rows that were read; fewer than `rows` if files were drawn."""
    columns: Mapping[str, ColumnStatistics]


def table_statistics(
    connection: duckdb.DuckDBPyConnection, lake: Lake, contract: Contract, hidden: Mapping[str, str], rows: int = ROWS
) -> TableStatistics:
    """The statistics of the latest version of the table of `contract`.

    Args:
        connection: a connection of DuckDB, in whose memory the table is a view for as long as this takes.
        hidden: columns that may hold personal data, of which no value is given, only counts and lengths.
        rows: the most rows to read; a whole file is always read.

    Raises:
        WatershedError: the table does not exist, or cannot be read.
    """
    present, total = _dataset(lake, contract.name, rows)
    kinds = {each.name: _kind(each) for each in contract.columns if each.name in present.schema.names}
    with _registered(connection, present) as view:
        exact = total <= COUNTED
        read, first = _first(connection, view, kinds, exact)
        found = {
            column.name: replace(_measured(column, kinds[column.name], read, first[column.name], hidden), exact=exact)
            for column in contract.columns
            if column.name in kinds
        }
        found |= _second(connection, view, found, hidden)
    return TableStatistics(rows=total, read=read, columns=found)


def _dataset(lake: Lake, name: str, rows: int) -> tuple[Any, int]:
    """The table as a dataset of Arrow, or some of its files, and its number of rows."""
    import pyarrow.dataset as ds

    table = lake.table(name)
    with lake.readable(name):
        whole = table.to_pyarrow_dataset()
        counts = table.get_add_actions(flatten=True).column("num_records").to_pylist()
    total = sum(count or 0 for count in counts)
    if total <= rows:
        return whole, total
    fragments = list(whole.get_fragments())
    random.Random(SEED).shuffle(fragments)
    chosen, read = [], 0
    for fragment in fragments:
        chosen.append(fragment)
        read += fragment.count_rows()
        if read >= rows:
            break
    return ds.FileSystemDataset(chosen, whole.schema, fragments[0].format, fragments[0].filesystem), total


@contextmanager
def _registered(connection: duckdb.DuckDBPyConnection, dataset: Any) -> Generator[str]:
    name = "statistics_rows"
    connection.register(name, dataset)
    try:
        yield name
    finally:
        connection.unregister(name)


def _kind(column: Column) -> str:
    type_ = column.type
    if pa.types.is_boolean(type_):
        return "truth"
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return "number"
    if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
        return "time"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return "text"
    if pa.types.is_list(type_):
        return "entries"
    return "bytes" if pa.types.is_binary(type_) else "other"


def _number(name: str, kind: str, type_: str = "DOUBLE") -> str:
    """The number of a value that a histogram is about; null for one that is not finite."""
    quoted = f'"{name}"'
    if kind == "number":
        return f"CASE WHEN isfinite({quoted}::{type_}) THEN {quoted}::{type_} END"
    if kind == "time":
        return f"epoch_us({quoted}::TIMESTAMP)::DOUBLE"
    measure = {"text": f"length({quoted})", "entries": f"len({quoted})", "bytes": f"octet_length({quoted})"}[kind]
    return f"{measure}::DOUBLE"


def _first(
    connection: duckdb.DuckDBPyConnection, view: str, kinds: Mapping[str, str], exact: bool
) -> tuple[int, dict[str, dict[str, Any]]]:
    """The number of rows, and by column: c (values), d (distinct), l (low), h (high) and m (mean)."""
    parts = ["count(*)"]
    for position, (name, kind) in enumerate(kinds.items()):
        quoted = f'"{name}"'
        parts.append(f"count({quoted}) AS c{position}")
        if kind in ("number", "time", "text", "truth"):
            distinct = f"count(DISTINCT {quoted})" if exact else f"approx_count_distinct({quoted})"
            parts.append(f"{distinct} AS d{position}")
        if kind in MEASURED:
            number = _number(name, kind)
            parts += [f"min({number}) AS l{position}", f"max({number}) AS h{position}", f"avg({number}) AS m{position}"]
    answer = connection.execute(f"SELECT {', '.join(parts)} FROM {view}")
    labels = [each[0] for each in answer.description]
    rows, *values = answer.fetchall()[0]
    found: dict[str, dict[str, Any]] = {name: {} for name in kinds}
    names = list(kinds)
    for label, value in zip(labels[1:], values, strict=True):
        found[names[int(label[1:])]][label[0]] = value
    return rows, found


def _measured(
    column: Column, kind: str, rows: int, first: Mapping[str, Any], hidden: Mapping[str, str]
) -> ColumnStatistics:
    low, high, mean = (first.get(letter) for letter in "lhm")
    whole = kind in ("text", "entries", "bytes", "time") or pa.types.is_integer(column.type)
    return ColumnStatistics(
        column=column.name,
        kind=kind,
        rows=rows,
        nulls=rows - first["c"],
        distinct=first.get("d"),
        low=None if _withheld(column, kind, hidden) else int(low) if low is not None and whole else low,
        high=None if _withheld(column, kind, hidden) else int(high) if high is not None and whole else high,
        mean=None if mean is None or math.isnan(mean) or kind == "time" else mean,
    )


def _withheld(column: Column, kind: str, hidden: Mapping[str, str]) -> bool:
    """Whether the smallest and the largest value would show personal data; lengths do not."""
    return column.name in hidden and kind in ("number", "time")


def _second(
    connection: duckdb.DuckDBPyConnection,
    view: str,
    found: Mapping[str, ColumnStatistics],
    hidden: Mapping[str, str],
) -> dict[str, ColumnStatistics]:
    """The histograms, where the first query found a range or few values."""
    parts, wanted = [], []
    for name, each in found.items():
        if each.kind == "truth" or (each.kind == "text" and (each.distinct or 0) <= FEW and name not in hidden):
            parts.append(f'histogram("{name}"::VARCHAR)')
            wanted.append((name, "values"))
        elif each.low is not None and each.high is not None and each.high > each.low:
            width = (float(each.high) - float(each.low)) / BINS
            place = f"floor(({_number(name, each.kind)} - {float(each.low)!r}) / {width!r})"
            parts.append(f"histogram(least({BINS - 1}, greatest(0, {place}))::INTEGER)")
            wanted.append((name, "bins"))
    if not parts:
        return {}
    (row,) = connection.execute(f"SELECT {', '.join(parts)} FROM {view}").fetchall()
    better = {}
    for (name, what), counts in zip(wanted, row, strict=True):
        counted = dict(counts or {})
        if what == "bins":
            better[name] = replace(found[name], bins=tuple(counted.get(place, 0) for place in range(BINS)))
        else:
            ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:VALUES]
            better[name] = replace(found[name], values=tuple((str(value), count) for value, count in ordered))
    return better
