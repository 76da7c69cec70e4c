"""The outcome of one expectation on one table."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from typing import Any

from catalog.cards.card import statement
from catalog.contract import Contract, Expectation

EXAMPLES, WARNED_EXAMPLES = 5, 50
"""Rows shown of those that break an expectation. An error usually has one cause, so a few rows suffice; each row of a
warning is a fault of its own."""
VALUE_WIDTH = 64
PARTITIONS_NAMED = 1000
"""Partitions named of those that hold rows that break an expectation. A table has at most a few thousand."""

NOT_NULL = "expect_column_values_to_not_be_null"
UNIQUE = "expect_column_values_to_be_unique"
COMPOUND_UNIQUE = "expect_compound_columns_to_be_unique"
BETWEEN = "expect_column_values_to_be_between"
IN_SET = "expect_column_values_to_be_in_set"
REGEX = "expect_column_values_to_match_regex"
ROW_COUNT = "expect_table_row_count_to_be_between"
REFERENCES = "references"
SCHEMA = "schema"
"""Not a type of Great Expectations: the table has the columns of the contract, each of its type, and no others."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of one expectation on one version of a table.

    `violations` is the number of rows that break it, and `examples` the first of them (primary key and column) by
    smallest key. `partitions` are the keys of the partitions that hold such rows, as `catalog.lake.partition_key` gives
    them, with the number of rows in each, most rows first; empty for a table without partitions. `seconds` is the time
    of its query, divided by the number of expectations that the query decided.
    """

    table: str
    label: str
    column: str | None
    statement: str
    passed: bool
    observed: str
    violations: int = 0
    rows: int = 0
    version: int | None = None
    examples: tuple[dict[str, Any], ...] = ()
    partitions: tuple[tuple[str, int], ...] = ()
    why: str = ""
    seconds: float = 0.0
    severity: str = "error"

    @property
    def failed(self) -> bool:
        """Whether an expectation of severity `error` does not hold."""
        return not self.passed and self.severity == "error"

    @property
    def warned(self) -> bool:
        """Whether an expectation of severity `warn` does not hold."""
        return not self.passed and self.severity == "warn"

    def line(self, *, rows: bool = True) -> str:
        """The outcome in one line: table, column, expectation, what was observed, and example `rows`."""
        line = f"{self.table}: expected {self.statement}; observed {self.observed}"
        if self.partitions:
            more = f" and {len(self.partitions) - EXAMPLES:,} more" if len(self.partitions) > EXAMPLES else ""
            line += f"; in {', '.join(key for key, _ in self.partitions[:EXAMPLES])}{more}"
        if self.examples and rows:
            line += "; e.g. " + " | ".join(self.example_lines())
        return line + (f"  ({self.why})" if self.why else "")

    def example_lines(self) -> list[str]:
        """The example rows, each as "column=value, ..."."""
        return [_row(example) for example in self.examples]


def judge(
    contract: Contract,
    expectation: Expectation,
    *,
    rows: int,
    compared: int,
    violations: int,
    observed: str = "",
    **more: Any,
) -> Outcome:
    """The outcome of `expectation` when `violations` of the `compared` values break it.

    Args:
        compared: number of values that it is about: the non-null ones, or all rows if it is about nulls.
        observed: what was found, if that is more than the number of violations.
        more: other fields of the outcome.
    """
    share = expectation["mostly"]
    passed = violations == 0 if share is None else compared == 0 or (compared - violations) / compared >= share
    return Outcome(
        table=contract.name,
        label=expectation.label,
        column=expectation.column,
        statement=statement(expectation),
        passed=passed,
        observed=observed or observation(expectation, violations, compared),
        violations=violations,
        rows=rows,
        why=expectation.why,
        severity=expectation.severity,
        **more,
    )


def observation(expectation: Expectation, violations: int, compared: int, low: Any = None, high: Any = None) -> str:
    """What was found, in words: "3 nulls in 10 rows", "0.1 to 2.0, 1 of 10 values outside"."""
    few = f"{violations:,} of {compared:,} {'value' if compared == 1 else 'values'}"
    if expectation.name == ROW_COUNT:
        return f"{compared:,} {'row' if compared == 1 else 'rows'}"
    if expectation.name == BETWEEN:
        none = "no number" if compared else "no values"
        span = (
            none if low is None or (isinstance(low, float) and math.isnan(low)) else f"{_value(low)} to {_value(high)}"
        )
        return f"{span}, {few} outside" if violations else span
    none, some = {
        NOT_NULL: ("no nulls", f"{violations:,} {'null' if violations == 1 else 'nulls'} in {compared:,} rows"),
        UNIQUE: ("no value twice", f"{violations:,} rows that share theirs"),
        COMPOUND_UNIQUE: ("no key twice", f"{violations:,} rows that share theirs"),
        IN_SET: ("no other value", f"{few} not among them"),
        REGEX: ("all match", f"{few} that do not match"),
        REFERENCES: ("all found", f"{few} not found there"),
    }[expectation.name]
    return some if violations else none


def unjudged(contract: Contract, expectation: Expectation, problem: str, rows: int, version: int) -> Outcome:
    """The outcome of an expectation that cannot be evaluated because of `problem`: all rows count as violations."""
    return Outcome(
        table=contract.name,
        label=expectation.label,
        column=expectation.column,
        statement=statement(expectation),
        passed=False,
        observed=problem,
        violations=rows,
        rows=rows,
        version=version,
        why=expectation.why,
        severity=expectation.severity,
    )


def examples_shown(expectation: Expectation) -> int:
    """The number of violating rows to show."""
    return WARNED_EXAMPLES if expectation.severity == "warn" else EXAMPLES


def _row(example: dict[str, Any]) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in example.items())


def _value(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ")
    text = repr(value) if isinstance(value, (str, bytes)) else str(value)
    return text if len(text) <= VALUE_WIDTH else text[: VALUE_WIDTH - 1] + "…"
