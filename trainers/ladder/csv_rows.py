"""CSV tables of strangers, read with every fault named by file, line and column."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainers.ladder.laws import Array
from trainers.names import close
from trainers.process.errors import TrainerError

MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class CsvTable:
    """The cells of a file, stripped of white space around them."""

    path: Path
    header: tuple[str, ...]
    rows: list[dict[str, str]]
    lines: list[int]
    """The line on which each row ends."""

    def require(self, *names: str) -> None:
        """TrainerError where a column is missing."""
        for name in names:
            if name not in self.header:
                near = close(name, self.header)
                raise TrainerError(f"{self.path}: no column {name!r}{near}", f"columns: {', '.join(self.header[:12])}")

    def numbers(
        self, name: str, rows: Sequence[Mapping[str, str]] = (), *, positive: bool = False, may_lack: bool = False
    ) -> Array:
        """A column as numbers.

        Args:
            name: of a column that the table has.
            rows: some of the table's; all where none is given.
            positive: refuse zero and less.
            may_lack: an empty cell is NaN, and refused otherwise.

        Raises:
            TrainerError: a cell is not a finite number.
        """
        wanted = rows or self.rows
        found = np.full(len(wanted), np.nan)
        line = {id(row): at for row, at in zip(self.rows, self.lines, strict=True)}
        for at, row in enumerate(wanted):
            text, place = row[name], f"{self.path}, line {line.get(id(row), at + 2)}"
            if not text:
                if may_lack:
                    continue
                raise TrainerError(f"{place}: {name!r} is empty", "fill it in, or leave the row out")
            try:
                found[at] = float(text)
            except ValueError:
                raise TrainerError(
                    f"{place}: column {name!r} is not all numbers: {text[:40]!r}", "correct it"
                ) from None
            if not np.isfinite(found[at]):
                raise TrainerError(f"{place}: {name!r} is not finite: {text[:40]}", "leave that row out")
            if positive and found[at] <= 0:
                raise TrainerError(
                    f"{place}: {name!r} is {found[at]:g}, not positive", "correct it, or leave the row out"
                )
        return found


def read_csv(path: Path) -> CsvTable:
    """The table in a CSV file; a byte-order mark before its first column's name is passed by.

    Raises:
        TrainerError: the file cannot be read, is not UTF-8 text, has no row, has a column twice, or a row of another
            number of cells.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise TrainerError(f"{path} has more than {MOST_BYTES:,} bytes", "give a row a checkpoint")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise TrainerError(f"{path}: {error.strerror}", "name the file, or its folder, as it is called") from None
    except UnicodeDecodeError as error:
        raise TrainerError(f"{path} is not UTF-8 at byte {error.start}", "write the file as UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: tuple[str, ...] = ()
    rows, lines = [], []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = tuple(cell.strip() for cell in cells)
                continue
            if len(cells) != len(header):
                raise TrainerError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells under {len(header)} columns",
                    "write every row in full",
                )
            rows.append(dict(zip(header, (cell.strip() for cell in cells), strict=True)))
            lines.append(reader.line_num)
    except csv.Error as error:
        raise TrainerError(f"{path}, line {reader.line_num}: not CSV: {error}", "export the file again") from None
    if twice := next((name for name in header if header.count(name) > 1), None):
        raise TrainerError(f"{path} has the column {twice!r} twice", "keep one of them")
    if not rows:
        raise TrainerError(
            f"{path}: holds no checkpoints" if header else f"{path} is empty", "give a row a run or checkpoint"
        )
    return CsvTable(path, header, rows, lines)
