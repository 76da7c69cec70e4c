"""What is shown of columns that hold personal data: nothing, or running text without addresses and numbers."""

from __future__ import annotations

import pyarrow as pa

from catalog.contract import Column, Contract
from catalog.literals import sql_literal
from catalog.personal import PATTERNS, personal_columns
from catalog.projects.types import quoted, sql_type
from catalog.tables import CONTRACTS

WHOLE = frozenset(
    (
        *("name", "names", "opinion", "names of persons", "e-mail addresses", "telephone numbers", "addresses"),
        *("dates of birth", "IP addresses", "identity numbers", "bank accounts", "social security numbers"),
        "what identifies a person",
    )
)
"""Kinds of personal data that fill a whole value. A column of any other kind holds running text."""


def masked_sql(contract: Contract, scan: str, *, texts: bool = False) -> str:
    """A query of a table with its personal data masked: of its own columns, and of values that come from such columns.

    Args:
        scan: the table in a FROM clause.
        texts: whether running text is shown, with what looks like personal data in it replaced.
    """
    kinds = personal_columns(contract, CONTRACTS)
    masked = [
        f"{_masked(each, kinds[each.name], texts)} AS {quoted(each.name)}"
        for each in contract.columns
        if each.name in kinds
    ]
    return f"SELECT * REPLACE ({', '.join(masked)}) FROM {scan}" if masked else f"FROM {scan}"


def _masked(column: Column, kind: str, texts: bool) -> str:
    name = quoted(column.name)
    if not pa.types.is_string(column.type):
        return f"CAST(NULL AS {sql_type(column.type)})"
    if texts and kind not in WHOLE:
        for within, pattern in PATTERNS:
            name = f"regexp_replace({name}, {sql_literal(pattern)}, {sql_literal(f'[{within}]')}, 'g')"
        return name
    return f"CASE WHEN {name} IS NOT NULL THEN {sql_literal(f'[personal data: {kind}]')} END"
