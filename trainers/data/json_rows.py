"""Rows of JSON lines as they come from others: bounded, and refused with file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trainers.process.errors import TrainerError

LONGEST_LINE = 32 * 1024 * 1024
"""Bytes of a row."""


def read_rows(paths: Sequence[Path]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of some files, numbered from 0 over all of them.

    Raises:
        TrainerError: a file cannot be read, or a line is not a JSON object.
    """
    number = 0
    for path in paths:
        try:
            with path.open("rb") as file:
                for line_number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), b""), start=1):
                    if line.strip():
                        yield number, _row(line, f"{path}, line {line_number}")
                        number += 1
        except OSError as error:
            raise TrainerError(f"{path} cannot be read: {error.strerror}", "give a file of JSON lines") from None


def _row(line: bytes, place: str) -> dict[str, Any]:
    if len(line) > LONGEST_LINE:
        raise TrainerError(f"{place} has more than {LONGEST_LINE:,} bytes", "leave that row out")
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise TrainerError(f"{place} is not JSON", "write one JSON object a line") from None
    if not isinstance(row, dict):
        raise TrainerError(f"{place} is not a JSON object", "write one JSON object a line")
    return row
