"""Fingerprints: a hash of the literals from which a table version is made.

Literals are recipes, seeds, source versions and code versions. Paths, hosts, devices, times and numbers of workers are
not, so that a laptop and a cluster give the same fingerprint.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any


def fingerprint(*literals: Any) -> str:
    """16 hex digits (64 bits of BLAKE2b) that identify `literals`.

    Args:
        literals: JSON values, tuples, frozen dataclasses, and dictionaries and lists of them.
    """
    text = json.dumps(literals, sort_keys=True, separators=(",", ":"), default=_plain, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is not a literal: {value!r}")
