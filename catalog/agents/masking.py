"""What is shown of columns that hold personal data: nothing, or running text without addresses and numbers."""

from __future__ import annotations

import pyarrow as pa

from catalog.contract import Column, Contract
from catalog.literals import sql_literal
from catalog.projects.types import quoted, sql_type

WHOLE = frozenset(
    (
        *("name", "names", "opinion", "names of persons", "e-mail addresses", "telephone numbers", "addresses"),
        *("dates of birth", "IP addresses", "identity numbers", "bank accounts", "social security numbers"),
        "what identifies a person",
    )
)
"""Kinds of personal data that fill a whole value. A column of any other kind holds running text."""

WITHIN = (
    ("e-mail address", r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"),
    ("IP address", r"\b((25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(25[0-5]|2[0-4]\d|1?\d?\d)\b"),
    ("telephone number", r"\+\d{1,3}[ .-]?(\(?\d{1,4}\)?[ .-]?){2,5}\d{2,4}"),
)
"""What is replaced in running text, as regular expressions."""


def masked_sql(contract: Contract, scan: str, *, texts: bool = False) -> str:
    """A query of a table with its personal data masked.

    Args:
        scan: the table in a FROM clause.
        texts: whether running text is shown, with e-mail addresses, IP addresses and telephone numbers replaced.
    """
    masked = [f"{_masked(each, texts)} AS {quoted(each.name)}" for each in contract.columns if each.personal_data]
    return f"SELECT * REPLACE ({', '.join(masked)}) FROM {scan}" if masked else f"FROM {scan}"


def _masked(column: Column, texts: bool) -> str:
    name = quoted(column.name)
    if not pa.types.is_string(column.type):
        return f"CAST(NULL AS {sql_type(column.type)})"
    if texts and column.personal_data not in WHOLE:
        for kind, pattern in WITHIN:
            name = f"regexp_replace({name}, {sql_literal(pattern)}, {sql_literal(f'[{kind}]')}, 'g')"
        return name
    return f"CASE WHEN {name} IS NOT NULL THEN {sql_literal(f'[personal data: {column.personal_data}]')} END"
