"""Recipes are data: what a paper does to a crawl, as a YAML file named after the paper (`spark_jobs/recipes`).

A recipe is a list of steps that are taken in order. An edit rewrites the text. A rule names a statistic, a comparison
and a threshold, and keeps the documents that meet it. A statistic is measured on the text as the edits before its rule
left it. Where authors define a statistic differently, options choose the definition.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spark_jobs.classifiers.labels import GOOD
from spark_jobs.contamination.rules import Decontamination

RECIPES = Path(__file__).parent

STATE_RULE = "state"
"""Broken by a document that is not `ok`, or lacks a statistic that the recipe asks for."""
COMPARISONS = (">=", ">", "<=", "<", "==", "between", "in")
"""How the document's value must compare with the threshold; `between` includes both ends."""

Threshold = float | str | tuple[float, float] | tuple[float, ...] | tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A document is kept if `statistic` `keep` `threshold`."""

    name: str
    """The name of what a document breaks, e.g. `stop_words_minimum`: it has too few."""
    statistic: str
    """A name in `spark_jobs.measures`, e.g. `words`."""
    keep: str
    """One of COMPARISONS."""
    threshold: Threshold
    """A number, a text, two numbers (`between`) or several values (`in`)."""
    source: str
    """Paper and section, or repository and file."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The choice among definitions of the statistic, or the words of a matcher."""
    column: str = ""
    """Name of the measured value: that of the statistic, unless the recipe measures it several times."""
    text: bool = False
    """The statistic is a label, not a number."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "column", self.column or self.statistic)


@dataclass(frozen=True, kw_only=True)
class EditStep:
    """A rewriting of the text. A document that it empties is dropped."""

    edit: str
    """A name in `spark_jobs.edits`."""
    source: str
    stored_as: str = ""
    """The edit's name in columns, rules and fingerprints; differs from `edit` if the edit was renamed later."""
    options: Mapping[str, Any] = field(default_factory=dict)
    column: str = ""
    """Name of the measured value, bytes of text that the edit left."""
    rule: str = ""
    """The rule that a document breaks if the edit leaves nothing of it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stored_as", self.stored_as or self.edit)
        object.__setattr__(self, "column", self.column or f"bytes_after_{self.stored_as}")
        object.__setattr__(self, "rule", self.rule or f"empty_after_{self.stored_as}")


Step = Rule | EditStep


@dataclass(frozen=True, kw_only=True)
class Deduplication:
    """How a recipe finds copies among the documents that its steps keep."""

    method: str
    """A key of `spark_jobs.recipes.deduplications.METHODS`."""
    source: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a recipe takes of the documents that are left, by a quality model and, if it names one, a topic model."""

    source: str
    model: Path | None
    """fastText model of two labels; None where its file is missing."""
    missing: str = ""
    """Which file is missing and where it was looked for; empty if none is."""
    label: str = GOOD
    """The label whose probability is the score."""
    topics: Path | None = None
    """fastText model whose most probable label is the topic."""
    choice: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `spark_jobs.selection.recipe.MixtureRecipe`: keep, curve, quantiles, topic_weights, seed."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a paper keeps of a crawl."""

    name: str
    description: str
    source: str
    steps: tuple[Step, ...]
    deduplicate: tuple[Deduplication, ...] = ()
    select: Selection | None = None
    decontaminate: Decontamination = field(default_factory=Decontamination)
    """How the remaining documents are compared with evaluations, if any are given."""
    pending: tuple[str, ...] = ()
    """Steps of the paper that are not applied, and why; printed whenever the recipe is used."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What documents are judged by, in order: the rules, and for each edit a rule that it left some text."""
        return tuple(step if isinstance(step, Rule) else _left_by(step) for step in self.steps)

    @property
    def columns(self) -> tuple[str, ...]:
        """Measured values that the rules read, each once, in order."""
        return tuple(dict.fromkeys(rule.column for rule in self.rules))

    @property
    def edits(self) -> tuple[EditStep, ...]:
        """The rewritings, in order."""
        return tuple(step for step in self.steps if isinstance(step, EditStep))

    def fingerprint(self) -> str:
        """64 hex digits over the literals that decide which documents are kept."""
        rules = [[rule.name, rule.column, rule.keep, rule.threshold] for rule in self.rules]
        return _digest([self.name, self.measuring(), rules])

    def measuring(self) -> str:
        """64 hex digits over what decides the edited text and the measured values; thresholds are not part of it."""
        steps = [
            ["edit", step.stored_as, _literals(step.options), step.column]
            if isinstance(step, EditStep)
            else ["rule", step.statistic, _literals(step.options), step.column]
            for step in self.steps
        ]
        return _digest([self.name, steps])

    def to_sql(self) -> str:
        """A predicate over dclm.measurements that is true exactly for the documents that the rules keep."""
        terms = ["state = 'ok'", *(_sql_term(rule) for rule in self.rules)]
        return "coalesce(" + " AND ".join(terms) + ", false)"


def _left_by(step: EditStep) -> Rule:
    return Rule(name=step.rule, statistic=step.column, keep=">", threshold=0, source=step.source)


def _literals(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with each file replaced by the digest of its contents."""
    return {
        name: hashlib.sha256(Path(value).read_bytes()).hexdigest() if name == "file" and value else value
        for name, value in options.items()
    }


def _digest(literals: Any) -> str:
    text = json.dumps(literals, ensure_ascii=True, separators=(",", ":"), sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that come with Watershed."""
    return tuple(sorted(file.stem for file in RECIPES.glob("*.yaml")))


def _sql_literal(value: float | str) -> str:
    from catalog.literals import sql_literal

    return sql_literal(value if isinstance(value, str) else float(value))


def _sql_term(rule: Rule) -> str:
    value = "language" if rule.text else f"values['{rule.column}']"
    if rule.keep == "in":
        assert isinstance(rule.threshold, tuple)
        return f"{value} IN ({', '.join(_sql_literal(item) for item in rule.threshold)})"
    if rule.keep == "between":
        assert isinstance(rule.threshold, tuple)
        low, high = rule.threshold
        return f"{value} BETWEEN {_sql_literal(low)} AND {_sql_literal(high)}"
    assert isinstance(rule.threshold, (int, float, str))
    return f"{value} {'=' if rule.keep == '==' else rule.keep} {_sql_literal(rule.threshold)}"
