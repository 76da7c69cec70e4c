"""Entries of the TOML files of a project, read one by one: what is unknown, missing or of a wrong type is a fault."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""What a family, a table and a column may be called: as SQL, Delta, Spark and folders all accept it."""
LARGEST_FILE = 16_000_000


class Fault(Exception):
    """An entry of a file that is not what it should be; the reader of the file adds its path."""


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The entries of a file.

    Raises:
        WatershedError: it is too large, is not UTF-8, or is not TOML.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise WatershedError(f"{path} is larger than {LARGEST_FILE:,} bytes", f"{what} is a short file")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WatershedError(f"{path}: {error}", "correct the file, or remove it") from error


def known(found: Mapping[str, Any], keys: Collection[str], where: str) -> None:
    """Refuse entries that are not among `keys`."""
    if unknown := sorted(found.keys() - set(keys)):
        raise Fault(f"{where} has the unknown entry {unknown[0]!r}; known are {', '.join(sorted(keys))}")


def text(found: Mapping[str, Any], key: str, *, required: bool = False) -> str:
    """A text; empty if it is missing and may be."""
    value = found.get(key)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value.strip()):
        raise Fault(f"{key} is missing" if value is None else f"{key} = {value!r} is not a text")
    return value


def texts(found: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A list of texts, or one text as a list of it."""
    value = found.get(key, [])
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Fault(f"{key} = {value!r} is not a list of texts")
    return tuple(value)


def whole(found: Mapping[str, Any], key: str, default: int | None, least: int) -> int | None:
    """A whole number of at least `least`."""
    value = found.get(key, default)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
        raise Fault(f"{key} = {value!r} is not a whole number of at least {least:,}")
    return value


def real(found: Mapping[str, Any], key: str, default: float | None, low: float, high: float) -> float | None:
    """A number from `low` to `high`."""
    value = found.get(key, default)
    if value is not None and (
        not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high
    ):
        raise Fault(f"{key} = {value!r} is not a number from {low:g} to {high:g}")
    return value


def choice(found: Mapping[str, Any], key: str, choices: tuple[str, ...]) -> str:
    """One of several words; by default the first."""
    value = found.get(key, choices[0])
    if value not in choices:
        raise Fault(f"{key} = {value!r} is none of {', '.join(choices)}")
    return value
