"""The rows of a file of recorded replies: JSON lines, read one at a time and checked before they are scored."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.lines import bounded_lines

LONGEST_LINE = 64 << 20
"""Bytes. A longer line is refused before it is in memory as text."""
NAMES: dict[type, str] = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}


def lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """The lines of a file, or of standard input for `-`, with their numbers from 1.

    Empty lines are left out. A line that is too long is None.

    Raises:
        WatershedError: the file cannot be read.
    """
    try:
        if str(path) == "-":
            yield from bounded_lines(sys.stdin.buffer, LONGEST_LINE)
            return
        with path.open("rb") as file:
            yield from bounded_lines(file, LONGEST_LINE)
    except OSError as error:
        raise WatershedError(f"{path}: {error.strerror or error}", "give a file of JSON lines that exists") from None


def read_row(
    line: bytes | None,
    fields: Mapping[str, tuple[type, ...]],
    prepare: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """A line as an object that has an `id` and all `fields`, after `prepare`.

    Raises:
        WatershedError: the line is not such an object. The message does not name the file.
    """
    mend = f"write one JSON object a line with id, {', '.join(fields)}"
    if line is None:
        raise WatershedError(f"the line has more than {LONGEST_LINE >> 20} MiB", mend)
    try:
        row = json.loads(line.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise WatershedError("it is not UTF-8", "write the file as UTF-8") from None
    except RecursionError:
        raise WatershedError("it is nested too deeply", mend) from None
    except ValueError as error:
        raise WatershedError(f"it is not JSON: {str(error)[:100]}", mend) from None
    if not isinstance(row, dict):
        raise WatershedError("it is not a JSON object", mend)
    row = prepare(row) if prepare else row
    for name, types in {"id": (str, int), **fields}.items():
        if name not in row:
            raise WatershedError(f"the field {name!r} is missing", mend)
        value = row[name]
        if not isinstance(value, types) or isinstance(value, bool):
            expected = " or ".join(dict.fromkeys(NAMES[each] for each in types))
            raise WatershedError(f"the field {name!r} is not {expected}", mend)
    return row


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")
