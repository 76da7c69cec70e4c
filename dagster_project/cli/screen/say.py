"""The only way to the terminal: every command prints through `say`, `data`, or a `SafeConsole`.

All of them replace characters that would drive the terminal (`catalog.printable`). Colours are added afterwards.
tests/dagster_project/cli/test_hostile_text.py fails for a command that prints in another way.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import click

from catalog.printable import printable

CHUNK = 1 << 20
"""Characters of a file that are held at a time."""


def say(text: str = "", *, label: str = "", err: bool = False, nl: bool = True, **style: Any) -> None:
    """Print text on stdout, or on stderr with `err`.

    Args:
        text: Any text; what is not printable is replaced.
        label: Words before the text. With a label, only these are styled.
        err: Print on stderr.
        nl: End with a line break.
        style: Arguments of `click.style`, such as `fg` and `bold`.
    """
    shown = printable(text)
    if label:
        shown = f"{click.style(label, **style)} {shown}"
    elif style:
        shown = click.style(shown, **style)
    click.echo(shown, err=err, nl=nl)


def data(text: str, *, nl: bool = True) -> None:
    """Print text that programs read (JSON, XML): exactly as it is, except on a terminal."""
    click.echo(printable(text) if sys.stdout.isatty() else text, nl=nl)


def data_file(path: Path) -> None:
    """Print a file of text that programs read (CSV, JSON): byte by byte, except on a terminal."""
    if not sys.stdout.isatty():
        import shutil

        sys.stdout.flush()
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        while chunk := file.read(CHUNK):
            click.echo(printable(chunk), nl=False)


def safe_console(file: IO[str] | None = None, **options: Any) -> Any:
    """Return a `rich.console.Console` whose text is printable. `options` are those of the console."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class SafeConsole(Console):
        """Replaces what is not printable in every piece of text, and leaves the control codes of rich itself."""

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

    return SafeConsole(file=file, **options)


def print_traceback(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    """Print the traceback of an unexpected error, as `sys.excepthook`; its message may quote a page."""
    import traceback as tracebacks

    sys.stderr.write(printable("".join(tracebacks.format_exception(kind, error, traceback))))
