"""Personal data that is not shown: columns that contracts name, and patterns in any other text.

A column may hold personal data because its contract says so, or because its values come from such a column upstream.
Patterns find what is written anywhere else: addresses of electronic mail, telephone numbers, addresses of machines, and
keys. A pattern misses what is written unusually, so that it is no proof that a text holds none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from catalog.contract import Contract

EMAIL = r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"
IPV4 = r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b"
IPV6 = r"\b(?:[0-9a-fA-F]{1,4}:){4,7}[0-9a-fA-F]{1,4}\b"
PATTERNS = (
    ("e-mail address", EMAIL),
    ("key", r"\b(?:sk-|ghp_|gho_|hf_|xox[bap]-|AKIA)[A-Za-z0-9_-]{12,}"),
    ("IP address", IPV4),
    ("IP address", IPV6),
    ("telephone number", r"(?:\+\d{1,3}[ .-]?|\(\d{2,4}\)[ .-]?)\d{2,4}(?:[ .-]?\d{2,4}){2,3}\b"),
)
"""What is replaced in text, by kind: regular expressions that Python and DuckDB (RE2) both read."""
_COMPILED = tuple((kind, re.compile(pattern)) for kind, pattern in PATTERNS)


def masked(text: str) -> str:
    """`text` with what looks like personal data replaced by its kind.

    Example:
        >>> from catalog.personal import masked
        >>> masked("write to jane.doe@lake.example or +49 40 123 4567 from 192.168.0.17")
        'write to [e-mail address] or [telephone number] from [IP address]'
    """
    for kind, pattern in _COMPILED:
        text = pattern.sub(f"[{kind}]", text)
    return text


def personal_columns(contract: Contract, contracts: Mapping[str, Contract]) -> dict[str, str]:
    """The columns of a table that may hold personal data, with its kind, those that come from such a column included.

    Example:
        >>> from catalog import CONTRACTS
        >>> from catalog.personal import personal_columns
        >>> personal_columns(CONTRACTS["dclm.documents"], CONTRACTS)["url"]
        'may name a person'
    """
    found = {}
    for column in contract.columns:
        if kind := _kind(f"{contract.name}.{column.name}", contracts, set()):
            found[column.name] = kind
    return found


def _kind(place: str, contracts: Mapping[str, Contract], seen: set[str]) -> str | None:
    table, _, name = place.rpartition(".")
    if place in seen or table not in contracts or name not in contracts[table].schema.names:
        return None
    seen.add(place)
    column = contracts[table].column(name)
    if column.personal_data:
        return column.personal_data
    return next((kind for origin in column.derived_from if (kind := _kind(origin, contracts, seen))), None)
