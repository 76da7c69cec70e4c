"""Progress bars with the estimated time left, and a line for every table that has been made."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from catalog.progress import listening
from dagster_project.cli.screen.say import safe_console

PIPE_WIDTH = 160
"""The width of output that is not a terminal, so that tables in a log are complete."""


def wide_console() -> Console:
    """Return a console as wide as its terminal, or `PIPE_WIDTH` columns wide without a terminal."""
    console = safe_console()
    return console if console.is_terminal else safe_console(width=PIPE_WIDTH)


class Bars:
    """A `catalog.progress.Listener` that draws bars on a terminal. On a file or pipe it prints only lines."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.began: dict[TaskID, float] = {}

    @contextmanager
    def listening(self) -> Generator[None]:
        """Draw progress until the block ends."""
        with self.progress, listening(self):
            yield

    def begin(self, label: str, total: float, unit: str) -> object:
        """Add a bar for a piece of work."""
        task = self.progress.add_task(label, total=total or None, unit=unit, note="")
        self.began[task] = time.monotonic()
        return task

    def advance(self, handle: object, done: float, total: float | None, note: str) -> None:
        """Move the bar."""
        assert isinstance(handle, int)
        self.progress.update(TaskID(handle), completed=done, total=total, note=note)

    def end(self, handle: object) -> None:
        """Remove the bar. For a table, print a line with the seconds that it took, and say if it was not all made."""
        assert isinstance(handle, int)
        task = next(task for task in self.progress.tasks if task.id == handle)
        # Contracts are imported here because they need Arrow, which commands without tables do not import.
        from catalog.tables import CONTRACTS

        if task.description in CONTRACTS:
            seconds = time.monotonic() - self.began[task.id]
            note = str(task.fields["note"])
            made, total = int(task.completed), int(task.total or 0)
            if made < total:
                note = f"{made} of {total} {task.fields['unit']}" if made else note
                self.console.print(f"[red]not made[/] {task.description:<18} {seconds:6.1f} s  [dim]{escape(note)}[/]")
            elif total:
                self.console.print(f"[green]made[/] {task.description:<22} {seconds:6.1f} s  [dim]{escape(note)}[/]")
        self.progress.remove_task(task.id)
