"""Rows and numbers on the terminal, and files that are written atomically."""

from __future__ import annotations

import datetime
import json
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from catalog.printable import one_line
from dagster_project.cli.screen.say import safe_console

PIPE_WIDTH = 160
"""The width of a table in a file or pipe. The environment variable COLUMNS overrides it."""
WIDEST, NARROWEST = 60, 12
"""The largest and smallest width of a column of long values."""
READABLE = 32
"""The least width of a shown column if not all columns fit. It is the length of a doc_id."""
GAP = 2
RECORDS = 5
"""The largest number of rows that are shown as records if their columns do not fit side by side."""
BYTES_SHOWN = 8


def console(file: IO[str] | None = None) -> Console:
    """Return a console as wide as its terminal, or `PIPE_WIDTH` columns wide for a file or pipe."""
    file = file or sys.stdout
    found = safe_console(file, highlight=False)
    return found if found.is_terminal or "COLUMNS" in os.environ else safe_console(file, width=PIPE_WIDTH)


def print_rows(screen: Console, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> int:
    """Print rows as a table, or as records if there are few rows and they are too wide for a table.

    Returns:
        The number of columns that were left out because they do not fit.
    """
    cells = [[cell(value) for value in row] for row in rows]
    natural = [max([len(name), *(len(row[at]) for row in cells)]) for at, name in enumerate(names)]
    narrow = [min(width, max(NARROWEST, len(name))) for width, name in zip(natural, names, strict=True)]
    room = screen.width
    if sum(narrow) + GAP * (len(names) - 1) > room:
        if len(rows) <= RECORDS:
            _print_records(screen, names, rows)
            return 0
        narrow = [min(width, max(READABLE, len(name))) for width, name in zip(natural, names, strict=True)]
        shown = _columns_that_fit(narrow, room)
    else:
        shown = list(range(len(names)))
    widths = _share(room - GAP * (len(shown) - 1), [natural[at] for at in shown], [narrow[at] for at in shown])
    table = plain_table()
    for at, width in zip(shown, widths, strict=True):
        justify = "right" if _are_numbers([row[at] for row in rows]) else "left"
        table.add_column(Text(names[at]), width=width, justify=justify, no_wrap=True, overflow="ellipsis")
    for row, texts in zip(rows, cells, strict=True):
        table.add_row(*(_styled(row[at], texts[at]) for at in shown))
    screen.print(table)
    return len(names) - len(shown)


def plain_table(*columns: str, title: str | None = None) -> Table:
    """Return a table without lines, in the style of the project."""
    table = Table(
        *columns,
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, GAP, 0, 0),
        header_style="bold",
    )
    table.collapse_padding = True
    return table


def cell(value: Any, limit: int = WIDEST) -> str:
    """Return a value as text of one line and at most `limit` characters."""
    return one_line(_format(value), limit)


def moment(time: datetime.datetime | None) -> str:
    """Return a time in UTC, to the second, or an empty text for None."""
    return f"{time.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S}" if time else ""


@contextmanager
def written_atomically(path: Path) -> Generator[Path]:
    """Return a path to write to. The file replaces `path` if the block succeeds, and is deleted if it fails."""
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _are_numbers(values: Sequence[Any]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(v, (int, float, Decimal)) and not isinstance(v, bool) for v in known)


def _format(value: Any) -> str:
    match value:
        case None:
            text = "NULL"
        case bool():
            text = str(value).lower()
        case float():
            text = f"{value:.6g}"
        case datetime.datetime():
            text = moment(value) if value.tzinfo else value.isoformat(" ", "seconds")
        case bytes():
            more = "…" if len(value) > BYTES_SHOWN else ""
            text = f"0x{value[:BYTES_SHOWN].hex()}{more} ({len(value)} bytes)"
        case list() | tuple() | dict():
            text = json.dumps(value, default=_format, ensure_ascii=False)
        case _:
            text = str(value)
    return text


def _styled(value: Any, text: str) -> Text:
    return Text(text, style="dim" if value is None else "")


def _columns_that_fit(widths: Sequence[int], room: int) -> list[int]:
    shown: list[int] = []
    for at, width in enumerate(widths):
        room -= width + (GAP if shown else 0)
        if room < 0:
            break
        shown.append(at)
    return shown or [0]


def _share(room: int, natural: Sequence[int], narrow: Sequence[int]) -> list[int]:
    """Return widths between `narrow` and `natural` that fit in `room`. The widest columns are narrowed first."""
    widths = list(natural)
    while sum(widths) > room:
        widest = max(
            (at for at in range(len(widths)) if widths[at] > narrow[at]), key=lambda at: widths[at], default=None
        )
        if widest is None:
            break
        widths[widest] -= 1
    return widths


def _print_records(screen: Console, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    width = max(len(name) for name in names)
    for number, row in enumerate(rows, start=1):
        if len(rows) > 1:
            screen.print(Text(f"row {number}", style="bold"))
        for name, value in zip(names, row, strict=True):
            text = cell(value, max(NARROWEST, screen.width - width - GAP))
            screen.print(Text(f"{name:<{width + GAP}}", style="dim") + _styled(value, text), soft_wrap=True)
