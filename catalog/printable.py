"""Text of strangers on a terminal: characters that would drive the terminal, or reorder what it shows, are replaced.

A crawl holds pages, addresses and ids that anyone wrote. Printed as they are, an escape sequence can clear the screen,
set the title or write to the clipboard, and U+202E shows the rest of a line backwards. Everything that is printed
passes through one of the functions below (dagster_project/cli/screen/say.py).
"""

from __future__ import annotations

REPLACEMENT = "·"
"""Stands for a character that is not shown."""
BREAK = "⏎"
"""Stands for a line break in text of one line."""


def printable(text: str) -> str:
    """Return `text` with every character that is not printable replaced, apart from line breaks and tabs.

    Not printable are control characters (such as ESC and the 8-bit CSI), the controls of bidirectional text, other
    characters without width, and separators other than the space, as `str.isprintable` defines them.

    Example:
        >>> from catalog.printable import printable
        >>> printable("a\\x1b[2Jb" + chr(0x202E) + "c")
        'a·[2Jb·c'
    """
    if text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\r", BREAK)
    return "".join(each if each.isprintable() or each in "\n\t" else REPLACEMENT for each in text)


def one_line(text: str, limit: int | None = None) -> str:
    """Return `text` as `printable` does, on one line, and cut to `limit` characters if there is a limit.

    Example:
        >>> from catalog.printable import one_line
        >>> one_line("first\\nsecond", 8)
        'first⏎s…'
    """
    # A document may be megabytes long, of which a few characters are shown.
    text = text if limit is None else text[: 4 * limit]
    text = printable(text).replace("\n", BREAK).replace("\t", " ")
    return text if limit is None or len(text) <= limit else text[: limit - 1] + "…"


def human_bytes(count: int) -> str:
    """Return a size in decimal units, such as 12.3 MB."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
