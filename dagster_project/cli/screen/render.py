"""Rows and numbers as a terminal shows them, and files that appear whole or not at all."""

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

PIPE_WIDTH = 160
"""Columns of a table that is written to a file or pipe; COLUMNS overrides it."""
WIDEST, NARROWEST = 60, 12
"""Bounds of a column that holds long values."""
READABLE = 32
"""Where not all columns fit, those that are shown are shown this wide: a doc_id is whole."""
GAP = 2
RECORDS = 5
"""So many rows, at most, are shown as records where their columns do not fit side by side."""
BYTES_SHOWN = 8


def console(file: IO[str] | None = None) -> Console:
    """A console as wide as its terminal, or wide enough for a file."""
    found = Console(file=file or sys.stdout, highlight=False)
    return found if found.is_terminal or "COLUMNS" in os.environ else Console(file=file or sys.stdout, width=PIPE_WIDTH)


def print_rows(screen: Console, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> int:
    """Print rows as a table, or as records where a few are too wide for one; returns the columns left out."""
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
    for row, said in zip(rows, cells, strict=True):
        table.add_row(*(_styled(row[at], said[at]) for at in shown))
    screen.print(table)
    return len(names) - len(shown)


def plain_table(*columns: str, title: str | None = None) -> Table:
    """A table without lines: the project's look."""
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
    """A value on one line, cut to `limit` characters."""
    said = _say(value)
    for control, sign in (("\r\n", "⏎"), ("\n", "⏎"), ("\r", "⏎"), ("\t", " ")):
        said = said.replace(control, sign)
    said = "".join(character if character.isprintable() else "·" for character in said[: 4 * limit])
    return said if len(said) <= limit else said[: limit - 1] + "…"


def human_bytes(count: int) -> str:
    """A size in decimal units: 12.3 MB."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"


def moment(time: datetime.datetime | None) -> str:
    """A time to the second, in UTC."""
    return f"{time.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S}" if time else ""


@contextmanager
def written_atomically(path: Path) -> Generator[Path]:
    """A path to write to; what was written takes the place of `path` when the block ends well, else nothing does."""
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


def _say(value: Any) -> str:
    match value:
        case None:
            said = "NULL"
        case bool():
            said = str(value).lower()
        case float():
            said = f"{value:.6g}"
        case datetime.datetime():
            said = moment(value) if value.tzinfo else value.isoformat(" ", "seconds")
        case bytes():
            more = "…" if len(value) > BYTES_SHOWN else ""
            said = f"0x{value[:BYTES_SHOWN].hex()}{more} ({len(value)} bytes)"
        case list() | tuple() | dict():
            said = json.dumps(value, default=_say, ensure_ascii=False)
        case _:
            said = str(value)
    return said


def _styled(value: Any, said: str) -> Text:
    return Text(said, style="dim" if value is None else "")


def _columns_that_fit(widths: Sequence[int], room: int) -> list[int]:
    shown: list[int] = []
    for at, width in enumerate(widths):
        room -= width + (GAP if shown else 0)
        if room < 0:
            break
        shown.append(at)
    return shown or [0]


def _share(room: int, natural: Sequence[int], narrow: Sequence[int]) -> list[int]:
    """Widths between narrow and natural that fill the room: the widest columns give way first."""
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
            said = cell(value, max(NARROWEST, screen.width - width - GAP))
            screen.print(Text(f"{name:<{width + GAP}}", style="dim") + _styled(value, said), soft_wrap=True)
