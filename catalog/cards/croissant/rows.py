"""Rows of files in the formats of Croissant: CSV, TSV, JSON, JSON lines, Parquet, and text by lines.

A CSV file's values are texts until a field says what they are, so that "007" stays what it is; an empty one is null.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from catalog.cards.croissant.resources import Member
from catalog.errors import WatershedError

Row = dict[str, Any]
CSV_FIELD = 50_000_000
"""Most characters of a value in a CSV file."""
PROPERTIES = ("content", "filename", "filepath", "fullpath", "lines", "lineNumbers")
"""What `fileProperty` may name. Rows have them under keys that no column has: `(property, name)`."""


def rows_of(members: Iterable[Member], media_type: str, by_line: bool, paths: Iterable[str]) -> list[dict[Any, Any]]:
    """The rows of files, one file after the other, with the properties of the file.

    Args:
        media_type: `encodingFormat` of the files.
        by_line: whether text is read line by line.
        paths: JSON paths that fields extract from a JSON file: the values of each are a column.

    Raises:
        WatershedError: a file is not of its format.
    """
    found: list[dict[Any, Any]] = []
    wanted = list(paths)
    for member in members:
        content = member.read()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        properties = {
            ("property", "filename"): member.filename,
            ("property", "filepath"): member.fullpath,
            ("property", "fullpath"): member.fullpath,
        }
        try:
            inner = _parsed(content, media_type, by_line, wanted)
        except (ValueError, OSError, csv.Error, KeyError) as error:
            raise WatershedError(
                f"{member.fullpath} is not {media_type}: {str(error)[:200]}", "correct encodingFormat, or the file"
            ) from error
        found += [{**row, **properties} for row in inner]
    return found


def _parsed(content: bytes, media_type: str, by_line: bool, paths: list[str]) -> list[dict[Any, Any]]:
    if media_type in PARSERS:
        return PARSERS[media_type](content)
    if media_type == "application/json":
        return _json_rows(json.loads(content), paths)
    if by_line:
        lines = content.decode().splitlines()
        return [{("property", "lines"): line, ("property", "lineNumbers"): at} for at, line in enumerate(lines)]
    return [{("property", "content"): content.decode() if media_type.startswith("text/") else content}]


def _delimited(content: bytes, dialect: str) -> list[dict[Any, Any]]:
    csv.field_size_limit(CSV_FIELD)
    reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), dialect=dialect)
    return [{name: value or None for name, value in row.items() if name is not None} for row in reader]


def _json_lines(content: bytes) -> list[dict[Any, Any]]:
    return [json.loads(line) for line in content.decode().splitlines() if line.strip()]


def _parquet(content: bytes) -> list[dict[Any, Any]]:
    import pyarrow.parquet as pq

    return pq.read_table(io.BytesIO(content)).to_pylist()


def _json_rows(whole: Any, paths: list[str]) -> list[dict[Any, Any]]:
    if not paths:
        return [{("property", "content"): whole}]
    columns = {path: json_values(whole, path) for path in paths}
    if len({len(values) for values in columns.values()}) > 1:
        raise ValueError(f"the paths {', '.join(paths)} have different numbers of values")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


PARSERS: dict[str, Callable[[bytes], list[dict[Any, Any]]]] = {
    "text/csv": partial(_delimited, dialect="excel"),
    "text/tab-separated-values": partial(_delimited, dialect="excel-tab"),
    **dict.fromkeys(("application/jsonlines", "application/x-ndjson", "application/jsonl"), _json_lines),
    **dict.fromkeys(("application/x-parquet", "application/vnd.apache.parquet"), _parquet),
}
"""Formats whose files are tables."""


def json_values(value: Any, path: str) -> list[Any]:
    """The values at a JSON path of names, `[*]` and numbers: `$.annotations[*].id`.

    Raises:
        ValueError: the path has another form.
    """
    steps = re.findall(r"\.([\w-]+)|\['([^']+)'\]|\[(\*|\d+)\]", path.removeprefix("$"))
    if "".join(f".{a}" if a else f"['{b}']" if b else f"[{c}]" for a, b, c in steps) != path.removeprefix("$"):
        raise ValueError(f"{path} is a path of names, [*] and numbers only")
    found = [value]
    for name, quoted, place in steps:
        key = name or quoted
        after: list[Any] = []
        for each in found:
            if key and isinstance(each, dict) and key in each:
                after.append(each[key])
            elif key and isinstance(each, list):
                after += [inner[key] for inner in each if isinstance(inner, dict) and key in inner]
            elif place == "*" and isinstance(each, list):
                after += each
            elif place and place != "*" and isinstance(each, list) and int(place) < len(each):
                after.append(each[int(place)])
        found = after
    return found
