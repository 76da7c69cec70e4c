"""Lists of words that a recipe gives, inline or as a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from catalog.errors import WatershedError


def words_of(name: str, inline: str | Sequence[str], file: str | None) -> tuple[str, ...]:
    """The words that a statistic searches for; a file takes precedence over inline words.

    Args:
        name: of the statistic, for errors.
        inline: one word or several.
        file: a text file with one word per line. Blank lines, and white space around a word, are not part of the list.

    Raises:
        WatershedError: there are no words, or no such file.
    """
    words = _lines(name, file) if file else (inline,) if isinstance(inline, str) else tuple(inline)
    if not words:
        raise WatershedError(f"{name}: no word is given", "give `banlist`, or `file` with one word per line")
    return words


def any_of(words: Iterable[str]) -> str:
    """An expression that finds the longest of some words in time that hardly grows with their number.

    Args:
        words: taken as they are written; an empty one is left out.
    """
    return _prefix_tree(sorted(set(words) - {""}))


def _prefix_tree(words: list[str]) -> str:
    branches: list[str] = []
    rest = [word for word in words if word]
    while rest:
        letter = rest[0][0]
        same = [word[1:] for word in rest if word[0] == letter]
        branches.append(re.escape(letter) + (_prefix_tree(same) if same != [""] else ""))
        rest = rest[len(same) :]
    return f"(?:{'|'.join(branches)})" + "?" * ("" in words)


@cache
def _lines(name: str, file: str) -> tuple[str, ...]:
    path = Path(file).expanduser()
    try:
        # Some editors begin a file with a byte-order mark, which utf-8-sig skips.
        return tuple(word for line in path.read_text(encoding="utf-8-sig").splitlines() if (word := line.strip()))
    except (OSError, UnicodeDecodeError) as error:
        raise WatershedError(
            f"{name}: the list {path} cannot be read ({error})",
            f"put a text file with one word per line at {path.absolute()}, or set `file` to its path",
        ) from error
