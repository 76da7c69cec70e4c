"""SQL of the rows that break an expectation about single rows: one text for the gate and for files that are added."""

from __future__ import annotations

import pyarrow as pa

from catalog.contract import Expectation
from catalog.literals import sql_literal


def violation_sql(expectation: Expectation, type_: pa.DataType) -> str:
    """The SQL predicate that is true of the rows that break an expectation about single rows; it is never null.

    Raises:
        KeyError: the expectation is about more than single rows.
    """
    column = f'"{expectation.column}"'
    match expectation.name:
        case "expect_column_values_to_not_be_null":
            return f"{column} IS NULL"
        case "expect_column_values_to_be_between":
            bounds = [
                f"{column} {sign} {sql_literal(expectation[key])}"
                for key, sign in (("min_value", "<"), ("max_value", ">"))
                if expectation[key] is not None
            ]
            if pa.types.is_floating(type_):
                bounds.append(f"isnan({column})")
            return f"coalesce({' OR '.join(bounds)}, false)"
        case "expect_column_values_to_be_in_set":
            return f"coalesce({column} NOT IN ({', '.join(map(sql_literal, expectation['value_set']))}), false)"
        case "expect_column_values_to_match_regex":
            return f"coalesce(NOT regexp_matches({column}, {sql_literal(anchored(expectation['regex']))}), false)"
    raise KeyError(expectation.name)


def anchored(regex: str) -> str:
    """`regex` anchored at the start of the value, as `catalog.contract.matches` documents."""
    return regex if regex.startswith("^") else f"^(?:{regex})"
