"""A Croissant file as plain Python: keys without prefixes, in versions 1.0 and 1.1."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError

LARGEST = 64_000_000
"""Most bytes of a Croissant file."""
_PREFIX = re.compile(
    r"^(?:cr|sc|ml|schema|croissant|https?://schema\.org/|https?://mlcommons\.org/(?:croissant|schema)/):?"
)
WORDS = ("name", "description")
"""Properties whose values may be given by language."""


def read_document(path: Path) -> dict[str, Any]:
    """The content of a Croissant file.

    Raises:
        WatershedError: it does not exist, is too large, or is not a Croissant file.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= LARGEST else b""
    except OSError as error:
        raise WatershedError(f"{path}: {error.strerror}", "name a croissant.json") from error
    if size > LARGEST:
        raise WatershedError(f"{path} has {size:,} bytes, more than {LARGEST:,}", "name a croissant.json")
    try:
        found = plain(json.loads(content))
    except (ValueError, RecursionError) as error:
        raise WatershedError(f"{path} is not JSON: {str(error)[:200]}", "name a croissant.json") from error
    if not isinstance(found, dict) or not isinstance(found.get("recordSet"), (list, dict)):
        raise WatershedError(f"{path} has no recordSet", "name a Croissant file of version 1.0 or 1.1")
    return found


def plain(value: Any) -> Any:
    """`value` with keys without prefixes, and names and descriptions in one language."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for key, inner in value.items():
        name = key if key in ("@context", "data") else _PREFIX.sub("", key)
        if name == "@context":
            continue
        found[name] = inner if name in ("data", "cr:data") else plain(inner)
        if name in WORDS and isinstance(inner, dict):
            found[name] = str(inner.get("@value") or inner.get("en") or next(iter(inner.values()), ""))
    return found


def many(value: Any) -> list[Any]:
    """A value that may be given alone or in a list, as a list."""
    return value if isinstance(value, list) else [] if value is None else [value]


def identifier(value: Any) -> str | None:
    """The `@id` that a reference names, or None for no reference."""
    if isinstance(value, dict):
        found = value.get("@id")
        return str(found) if found is not None else None
    return str(value) if isinstance(value, str) else None
