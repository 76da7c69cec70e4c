"""Which documents a recipe keeps, decided from measured values alone.

A changed threshold therefore needs no text to be read again.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalog.columns import BROKEN_RULE
from catalog.errors import WatershedError
from spark_jobs.recipes.recipe import STATE_RULE, Recipe, Rule

BROKEN = pa.list_(BROKEN_RULE)
"""Type of the rules that a document breaks, as dclm.verdicts stores them."""


class Verdicts(NamedTuple):
    """Which of some documents a recipe keeps and which rules they break, an entry each."""

    kept: pa.BooleanArray
    broken: pa.ListArray
    """Of type BROKEN: every rule that the document breaks, `state` first and then in the recipe's order.

    `value` is the document's statistic and `threshold` the bound that it failed (the nearer one of `between`). Both are
    null for a label; `value` is also null if it could not be computed, and `threshold` for `in`, which has several.
    """

    def first_rule(self) -> pa.StringArray:
        """The first rule that each document breaks; null for a document that is kept."""
        starts = self.broken.offsets.to_numpy()[:-1]
        names = self.broken.values.field("rule")
        picks = pa.array(np.where(self.kept.to_numpy(zero_copy_only=False), 0, starts), mask=np.asarray(self.kept))
        return names.take(picks)


def classify(documents: pa.RecordBatch | pa.Table, recipe: Recipe) -> Verdicts:
    """Judge documents by their measured values.

    A document without text breaks `state`. A value that could not be computed, such as a share of no words or the
    language of a text without letters, breaks its rule. A document that an edit emptied breaks that edit's rule, and
    what could not be measured after that edit breaks nothing.

    Args:
        documents: with the column `state` and each of `recipe.columns`; text is not needed.
        recipe: the rules.

    Returns:
        kept and broken rules, an entry per document, in order.

    Raises:
        WatershedError: a column is missing.
    """
    for column in ("state", *recipe.columns):
        if column not in documents.schema.names:
            raise WatershedError(
                f"recipe {recipe.name}: documents have no column {column!r}",
                f"pass the columns state, {', '.join(recipe.columns)}, as `measure` returns them",
            )
    rows = documents.num_rows
    emptying = {step.rule for step in recipe.edits}
    emptied = np.zeros(rows, np.bool_)
    # One row for the state and one for each rule.
    violated = np.zeros((len(recipe.rules) + 1, rows), np.bool_)
    values = np.full(violated.shape, np.nan)
    thresholds = np.full(violated.shape, np.nan)
    violated[0] = ~_is_in(_column(documents, "state"), ("ok",))
    for index, rule in enumerate(recipe.rules, start=1):
        column = _column(documents, rule.column)
        absent = _to_numpy(column.is_null())
        violated[index] = ~_holds(column, rule) & ~(absent & (violated[0] | emptied))
        if rule.name in emptying:
            emptied |= violated[index]
        if not rule.text:
            values[index] = _to_numpy(pc.cast(column, pa.float64()).fill_null(math.nan))
            thresholds[index] = _failed_threshold(values[index], rule)
    return _verdicts(violated, values, thresholds, recipe)


def _holds(column: pa.Array, rule: Rule) -> np.ndarray:
    """Where a column satisfies a rule; NaN and null never do."""
    if rule.keep == "in" or rule.text:
        return _is_in(column, rule.threshold if isinstance(rule.threshold, tuple) else (rule.threshold,))
    values = _to_numpy(pc.cast(column, pa.float64()).fill_null(math.nan))
    if rule.keep == "between":
        assert isinstance(rule.threshold, tuple)
        low, high = rule.threshold
        return (values >= low) & (values <= high)
    compare = {">=": np.greater_equal, ">": np.greater, "<=": np.less_equal, "<": np.less, "==": np.equal}
    return compare[rule.keep](values, rule.threshold)


def _is_in(column: pa.Array, values: tuple[object, ...]) -> np.ndarray:
    """Where a column has one of the values; null never matches."""
    # Numbers are compared as doubles. Strings are cast because Arrow cannot look up every string layout.
    type_ = pa.string() if isinstance(values[0], str) else pa.float64()
    wanted = pc.SetLookupOptions(value_set=pa.array(values, type_))
    return _to_numpy(pc.call_function("is_in", [column.cast(type_)], wanted))


def _failed_threshold(values: np.ndarray, rule: Rule) -> np.ndarray:
    if rule.keep == "in":
        return np.full(len(values), np.nan)
    if rule.keep == "between":
        assert isinstance(rule.threshold, tuple)
        low, high = rule.threshold
        return np.where(values < low, low, high)
    return np.full(len(values), rule.threshold)


def _verdicts(violated: np.ndarray, values: np.ndarray, thresholds: np.ndarray, recipe: Recipe) -> Verdicts:
    documents, rules = np.nonzero(violated.T)
    ends = np.cumsum(violated.sum(axis=0, dtype=np.int64))
    names = pa.array([STATE_RULE, *(rule.name for rule in recipe.rules)])
    values, thresholds = values[rules, documents], thresholds[rules, documents]
    entries = pa.StructArray.from_arrays(
        [
            names.take(pa.array(rules)),
            pa.array(values, mask=np.isnan(values)),
            pa.array(thresholds, mask=np.isnan(thresholds)),
        ],
        fields=list(BROKEN.value_type),
    )
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
    return Verdicts(pa.array(~violated.any(axis=0)), pa.ListArray.from_arrays(offsets, entries, type=BROKEN))


def _column(documents: pa.RecordBatch | pa.Table, name: str) -> pa.Array:
    column = documents.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _to_numpy(array: pa.Array) -> np.ndarray:
    return array.to_numpy(zero_copy_only=False)
