"""What came of one expectation on one table."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from typing import Any

from catalog.cards.card import statement
from catalog.contract import Contract, Expectation

EXAMPLES, WARNED_EXAMPLES = 5, 50
"""Rows shown of those that break an expectation: some of an error, which has one cause; all of a warning, whose rows
are each a fault of the source, unless they are many."""
VALUE_WIDTH = 64

NOT_NULL = "expect_column_values_to_not_be_null"
UNIQUE = "expect_column_values_to_be_unique"
COMPOUND_UNIQUE = "expect_compound_columns_to_be_unique"
BETWEEN = "expect_column_values_to_be_between"
IN_SET = "expect_column_values_to_be_in_set"
REGEX = "expect_column_values_to_match_regex"
ROW_COUNT = "expect_table_row_count_to_be_between"
REFERENCES = "references"
SCHEMA = "schema"
"""Not Great Expectations' word: every column of the contract is there, of its type, and no other."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One expectation held against one version of a table.

    `violations` counts the rows that break it, `examples` holds the first of them (primary key and column),
    smallest keys first; `seconds` is the time of the query that decided it, shared among those that it decided.
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
    why: str = ""
    seconds: float = 0.0
    severity: str = "error"

    @property
    def failed(self) -> bool:
        """It does not hold, and must."""
        return not self.passed and self.severity == "error"

    @property
    def warned(self) -> bool:
        """It does not hold, and is only reported."""
        return not self.passed and self.severity == "warn"

    def line(self, *, rows: bool = True) -> str:
        """The outcome in one line: table, column, expectation, what was observed, and example `rows`."""
        said = f"{self.table}: expected {self.statement}; observed {self.observed}"
        if self.examples and rows:
            said += "; e.g. " + " | ".join(self.example_lines())
        return said + (f"  ({self.why})" if self.why else "")

    def example_lines(self) -> list[str]:
        """The example rows, each as "column=value, ..."."""
        return [_row(example) for example in self.examples]


def judge(
    contract: Contract,
    expectation: Expectation,
    *,
    rows: int,
    asked: int,
    violations: int,
    observed: str = "",
    **more: Any,
) -> Outcome:
    """The outcome of `expectation` when `violations` of the `asked` values break it.

    Args:
        asked: values that it speaks of: the non-null ones, or all rows for a statement about nulls.
        observed: what was seen, where it is more than the number of violations.
        more: other fields of the outcome.
    """
    share = expectation["mostly"]
    passed = violations == 0 if share is None else asked == 0 or (asked - violations) / asked >= share
    return Outcome(
        table=contract.name,
        label=expectation.label,
        column=expectation.column,
        statement=statement(expectation),
        passed=passed,
        observed=observed or observation(expectation, violations, asked),
        violations=violations,
        rows=rows,
        why=expectation.why,
        severity=expectation.severity,
        **more,
    )


def observation(expectation: Expectation, violations: int, asked: int, low: Any = None, high: Any = None) -> str:
    """What was seen, in words: "3 nulls in 10 rows", "0.1 to 2.0, 1 of 10 values outside"."""
    few = f"{violations:,} of {asked:,} {'value' if asked == 1 else 'values'}"
    if expectation.name == ROW_COUNT:
        return f"{asked:,} {'row' if asked == 1 else 'rows'}"
    if expectation.name == BETWEEN:
        none = "no number" if asked else "no values"
        span = (
            none if low is None or (isinstance(low, float) and math.isnan(low)) else f"{_value(low)} to {_value(high)}"
        )
        return f"{span}, {few} outside" if violations else span
    none, some = {
        NOT_NULL: ("no nulls", f"{violations:,} {'null' if violations == 1 else 'nulls'} in {asked:,} rows"),
        UNIQUE: ("no value twice", f"{violations:,} rows that share theirs"),
        COMPOUND_UNIQUE: ("no key twice", f"{violations:,} rows that share theirs"),
        IN_SET: ("no other value", f"{few} not among them"),
        REGEX: ("all match", f"{few} that do not match"),
        REFERENCES: ("all found", f"{few} not found there"),
    }[expectation.name]
    return some if violations else none


def unjudged(contract: Contract, expectation: Expectation, said: str, rows: int, version: int) -> Outcome:
    """The outcome where the rows cannot be asked, because of what is `said`: it counts as broken by all of them."""
    return Outcome(
        table=contract.name,
        label=expectation.label,
        column=expectation.column,
        statement=statement(expectation),
        passed=False,
        observed=said,
        violations=rows,
        rows=rows,
        version=version,
        why=expectation.why,
        severity=expectation.severity,
    )


def examples_shown(expectation: Expectation) -> int:
    """How many of the rows that break it are shown."""
    return WARNED_EXAMPLES if expectation.severity == "warn" else EXAMPLES


def _row(example: dict[str, Any]) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in example.items())


def _value(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ")
    said = repr(value) if isinstance(value, (str, bytes)) else str(value)
    return said if len(said) <= VALUE_WIDTH else said[: VALUE_WIDTH - 1] + "…"
