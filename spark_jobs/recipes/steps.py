"""Applies a recipe's steps to a batch of documents: rewrites their texts and measures the values of its rules.

Nothing is judged here. Every document is measured for every rule, so a threshold can change later without the text,
and a verdict can name all rules that a document breaks. A document whose text an edit leaves unchanged is not measured
twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from catalog.errors import WatershedError
from spark_jobs import measures
from spark_jobs.compute import pc
from spark_jobs.edits import EDITS
from spark_jobs.measures.base import Pass
from spark_jobs.recipes.recipe import EditStep, Recipe, Rule


class Measurement(NamedTuple):
    """The edited texts and measured values of documents, an entry each."""

    text: pa.Array
    """The text after all edits."""
    values: dict[str, pa.Array]
    """A column for each of `recipe.columns`, in their order."""


def measure(documents: Mapping[str, pa.Array], recipe: Recipe) -> Measurement:
    """Apply the steps of a recipe.

    Args:
        documents: `text`, and `url` if a rule reads it. Other columns, such as `language`, hold values that are known
            for the original text; they are not measured again unless an edit changes the text.
        recipe: the steps.

    Raises:
        WatershedError: a column that a rule reads is missing.
    """
    for step in recipe.steps:
        if isinstance(step, Rule) and _reads(step) not in documents:
            raise WatershedError(
                f"recipe {recipe.name}: rule {step.name} reads the column {_reads(step)!r}, which is missing",
                f"give the documents a column {_reads(step)!r}, or use a recipe without the rule",
            )
    since = {str(step.options["since"]) for step in recipe.steps if _counts_removed(step)}
    work = _Work(text=documents["text"], documents=documents, counted_before=since)
    values: dict[str, pa.Array] = {}
    for step in recipe.steps:
        if isinstance(step, EditStep):
            values[step.column] = work.edit(step)
        elif step.column not in values:
            values[step.column] = work.value(step)
    return Measurement(work.text, {column: values[column] for column in recipe.columns})


def words_removed_ratio(before: pa.Array, after: pa.Array) -> pa.Array:
    """Share of words that edits removed; null for a text without words.

    mlfoundations/dclm, baselines/mappers/filters/content_filters.py, word_removal_ratio_filter.
    """
    before, after = (pc.cast(count, pa.float64()) for count in (before, after))
    ratio = pc.divide(pc.subtract(before, after), before)
    return pc.if_else(pc.equal(before, 0), None, ratio)


def _counts_removed(step: EditStep | Rule) -> bool:
    return isinstance(step, Rule) and step.statistic == measures.REMOVED_RATIO


def _reads(rule: Rule) -> str:
    """The column from which a rule's statistic is computed."""
    if rule.statistic == measures.REMOVED_RATIO:
        return "text"
    matcher = measures.matchers().get(rule.statistic)
    return matcher.reads if matcher else measures.fixed(rule.statistic, rule.options).by.reads


@dataclass
class _PassValues:
    """The values of a pass, and the texts that they were computed from."""

    text: pa.Array
    values: pa.RecordBatch


@dataclass
class _Work:
    """The state of a batch between steps."""

    text: pa.Array
    documents: Mapping[str, pa.Array]
    counted_before: set[str]
    """Edits (by stored name) before whose first use words are counted."""
    computed: dict[str, _PassValues] = field(default_factory=dict)
    words_before: dict[str, pa.Array] = field(default_factory=dict)
    prepared: dict[Callable[[pa.Array], Any], tuple[pa.Array, Any]] = field(default_factory=dict)
    """By preparing function: the texts that it was applied to, and its result."""
    emptied: pa.Array | None = None
    """Where an edit left nothing; these texts are not measured."""

    def __post_init__(self) -> None:
        for by in measures.passes():
            given = {each.column: self.documents.get(each.column) for each in by.statistics}
            if by.reads == "text" and all(values is not None for values in given.values()):
                self.computed[by.name] = _PassValues(self.text, pa.record_batch(given))

    def edit(self, step: EditStep) -> pa.Array:
        """Rewrite the texts; returns the remaining bytes of each, null for a text that was empty before."""
        if step.stored_as in self.counted_before and step.stored_as not in self.words_before:
            self.words_before[step.stored_as] = self._words()
        had = pc.greater(pc.binary_length(self.text), 0)
        self.text = EDITS[step.edit].apply(self.text, **step.options)
        left = pc.cast(pc.binary_length(self.text), pa.int64())
        self.emptied = pc.equal(left, 0)
        return pc.if_else(had, left, None)

    def value(self, rule: Rule) -> pa.Array:
        """The value of a rule for the current texts; null where an edit left nothing."""
        values = self._value(rule)
        return values if self.emptied is None else pc.if_else(self.emptied, None, values)

    def _value(self, rule: Rule) -> pa.Array:
        if rule.statistic == measures.REMOVED_RATIO:
            return words_removed_ratio(self.words_before[str(rule.options["since"])], self._words())
        if rule.statistic in measures.matchers():
            matcher = measures.matchers()[rule.statistic]
            array = self.text if matcher.reads == "text" else self.documents[matcher.reads]
            # A document without an address matches nothing.
            return pc.fill_null(matcher.compute(array, **rule.options), 0)
        found = measures.fixed(rule.statistic, rule.options)
        return self._of(found.by).column(found.statistic.column)

    def _words(self) -> pa.Array:
        return self._of(measures.fixed("words", {}).by).column("words")

    def _of(self, by: Pass) -> pa.RecordBatch:
        """The values of a pass for the current texts."""
        if by.reads != "text":
            return by.compute(self.documents[by.reads])
        known = self.computed.get(by.name)
        if known is not None and known.text is self.text:
            return known.values
        text, ready = self.prepared.get(by.prepare, (None, None)) if by.prepare else (None, None)
        if known is not None and text is not self.text:
            values = _renewed(by, known, self.text)
        elif by.prepare is None:
            values = by.compute(self.text)
        else:
            if text is not self.text:
                ready = by.prepare(self.text)
                self.prepared[by.prepare] = self.text, ready
            values = by.compute(self.text, ready)
        self.computed[by.name] = _PassValues(self.text, values)
        return values


def _renewed(by: Pass, known: _PassValues, text: pa.Array) -> pa.RecordBatch:
    """Known values, measured again where the text changed."""
    changed = pc.fill_null(pc.not_equal(known.text, text), False)
    rows = np.flatnonzero(changed.to_numpy(zero_copy_only=False))
    if not len(rows):
        return known.values
    fresh = by.compute(text.take(pa.array(rows)))
    order = np.arange(len(text))
    order[rows] = len(text) + np.arange(len(rows))
    both = pa.Table.from_batches([known.values, fresh.cast(known.values.schema)])
    return both.take(pa.array(order)).combine_chunks().to_batches()[0]
