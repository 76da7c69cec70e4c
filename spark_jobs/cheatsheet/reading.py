"""Reads a resource file of the cheatsheet: a JSON list of objects, from strangers. Every row is kept as it stands."""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError

LARGEST_FILE_BYTES = 16_000_000
LARGEST_ENTRY_BYTES = 32_000
"""Larger rows are rejected; the largest published one has 2 kB."""
TIMEOUT_S = 60
MEND = "give the cheatsheet's resource file (app/resources/resources.json), a JSON list of objects"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row of a resource file."""

    source: str
    """`published` or `starter`."""
    position: int
    """Position in its file, from 0."""
    text: str
    """The row as JSON."""
    fields: Mapping[str, Any] | None
    """The row; None if it is rejected."""
    rejected: str = ""
    """Why it is rejected."""

    @property
    def sha256(self) -> str:
        """Digest of the whole row."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()


def read_bytes(place: str) -> bytes:
    """The content of a file, or of an http(s) URL.

    Raises:
        WatershedError: it cannot be read, or has more than LARGEST_FILE_BYTES.
    """
    try:
        if place.startswith(("https://", "http://")):
            with urllib.request.urlopen(place, timeout=TIMEOUT_S) as answer:
                content = answer.read(LARGEST_FILE_BYTES + 1)
        else:
            with Path(place).expanduser().open("rb") as file:
                content = file.read(LARGEST_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise WatershedError(f"{place} cannot be read: {reason}", MEND) from error
    if len(content) > LARGEST_FILE_BYTES:
        raise WatershedError(f"{place} has more than {LARGEST_FILE_BYTES:,} bytes", MEND)
    return content


def read_entries(content: bytes, source: str, place: str) -> list[Entry]:
    """The rows of a resource file.

    A row that is not an object, has no name, or is larger than LARGEST_ENTRY_BYTES is an `Entry` that is rejected, so
    that it can be reported beside the others.

    Args:
        content: The file.
        source: `published` or `starter`.
        place: What to call the file in an error.

    Raises:
        WatershedError: the file is not a JSON list.

    Example:
        >>> read_entries(b'[{"name": "Lake", "date": "5-2024"}]', "starter", "lake.json")[0].fields["date"]
        '5-2024'
    """
    try:
        rows = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise WatershedError(f"{place} is not UTF-8: {error.reason} at byte {error.start:,}", MEND) from error
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise WatershedError(f"{place} is not JSON: {reason}", MEND) from error
    if not isinstance(rows, list):
        raise WatershedError(f"{place} holds {_kind(rows)}, not a list of resources", MEND)
    return [_entry(row, source, position) for position, row in enumerate(rows)]


def _entry(row: Any, source: str, position: int) -> Entry:
    text = json.dumps(row, ensure_ascii=False)
    size = len(text.encode("utf-8", "surrogatepass"))
    rejected = ""
    if not isinstance(row, dict):
        rejected = f"the row is {_kind(row)}, not an object"
    elif size > LARGEST_ENTRY_BYTES:
        rejected = f"the row has {size:,} bytes, more than {LARGEST_ENTRY_BYTES:,}"
    elif not isinstance(row.get("name"), str) or not any(map(str.isalnum, row["name"])):
        rejected = "the row has no name"
    return Entry(source=source, position=position, text=text, fields=None if rejected else row, rejected=rejected)


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return kinds.get(type(value), "a number")
