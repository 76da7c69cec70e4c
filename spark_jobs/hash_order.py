"""Choosing and shuffling by hash, so that no choice depends on the order of rows or the number of workers.

A key is the first 64 bits of SHA-256 over the seed, the purpose and the identifiers, as 16 hex digits, so that
strings order as numbers do. Every SQL engine has SHA-256, so any choice can be repeated in a query,
`substr(sha256(concat_ws(chr(31), '0', 'split', doc_id)), 1, 16)` in DuckDB. Two purposes give independent choices.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import Column

SEPARATOR = "\x1f"
DIGITS = 16
"""Hex digits of a key: 64 bits."""


def hash_key(seed: int, purpose: str, *parts: object) -> str:
    """The key of `parts` for one purpose: 16 hex digits."""
    text = SEPARATOR.join((str(seed), purpose, *map(str, parts)))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def hash_number(seed: int, purpose: str, *parts: object) -> int:
    """The same key as a number in [0, 2^64)."""
    return int(hash_key(seed, purpose, *parts), 16)


def hash_key_column(seed: int, purpose: str, *columns: str) -> Column:
    """`hash_key` of every row's `columns`, computed by Spark."""
    from pyspark.sql import functions as F

    parts = [F.col(name).cast("string") for name in columns]
    return F.substring(F.sha2(F.concat_ws(SEPARATOR, F.lit(str(seed)), F.lit(purpose), *parts), 256), 1, DIGITS)


def key_of_share(share: float) -> str:
    """The key below which a `share` (0..1) of all keys lies; for 1, a string greater than every key."""
    return f"{int(share * 2**64):0{DIGITS}x}" if share < 1 else "g"
