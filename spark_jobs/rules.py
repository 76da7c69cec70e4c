"""Rules are data: which documents a recipe keeps, told from stored statistics alone.

A rule says when a document is kept: statistic, comparison, threshold. A recipe is a list of rules in a
YAML file named after the paper they come from (`spark_jobs/recipes`). `classify` judges documents by
the columns of `dclm.documents`, so a threshold is changed without reading the crawl again.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from catalog.errors import WatershedError
from spark_jobs.kernels.columns import STATISTICS

RECIPES = Path(__file__).parent / "recipes"

NUMBERS = frozenset(STATISTICS.names) | {"language_score"}
"""Statistics that a rule compares with numbers."""
TEXTS = frozenset({"language"})
"""Statistics that a rule compares with text."""
COMPARISONS = (">=", ">", "<=", "<", "==", "between", "in")
"""How a document's value must stand to the threshold for the document to be kept; `between` includes both ends."""

STATE_RULE = "state"
"""Broken by a document that is not `ok`, or lacks a statistic that the recipe asks for."""
# A name that speaks of a bound must not say the opposite of its comparison.
_DIRECTIONS = {"_minimum": (">=", ">"), "_maximum": ("<=", "<"), "_range": ("between",)}

BROKEN = pa.list_(pa.struct([("rule", pa.string()), ("value", pa.float64()), ("threshold", pa.float64())]))

Threshold = float | str | tuple[float, float] | tuple[float, ...] | tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A document is kept if `statistic` `keep` `threshold`."""

    name: str
    """What a document is said to break, e.g. `stop_words_minimum`: it has too few."""
    statistic: str
    """Column of dclm.documents."""
    keep: str
    """One of COMPARISONS."""
    threshold: Threshold
    """A number, a text, two numbers (`between`) or several values (`in`)."""
    source: str
    """Paper and section, or repository and file."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a paper keeps of a crawl."""

    name: str
    description: str
    source: str
    rules: tuple[Rule, ...]
    pending: tuple[str, ...] = ()
    """Steps of the paper that are not applied yet."""

    @property
    def statistics(self) -> tuple[str, ...]:
        """Columns that the rules look at, each once, in order."""
        return tuple(dict.fromkeys(rule.statistic for rule in self.rules))

    def fingerprint(self) -> str:
        """64 hex digits over the literals that decide: the recipe's name, and each rule but for its source."""
        literals = [[rule.name, rule.statistic, rule.keep, rule.threshold] for rule in self.rules]
        text = json.dumps([self.name, literals], ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_sql(self) -> str:
        """A predicate over dclm.documents that is true exactly for the documents that `classify` keeps."""
        terms = ["state = 'ok'", *(_sql_term(rule) for rule in self.rules)]
        return "coalesce(" + " AND ".join(terms) + ", false)"


class Verdicts(NamedTuple):
    """What a recipe thinks of some documents, an entry each."""

    kept: pa.BooleanArray
    broken: pa.ListArray
    """Of type BROKEN: all rules broken, the recipe's order, `state` before all others.

    `value` is the document's statistic; `threshold` the one it failed, of two (`between`) the nearer
    one. Both are null where they are text, and `threshold` where there are several (`in`).
    """

    def first_rule(self) -> pa.StringArray:
        """The first rule that each document breaks; null for a document that is kept."""
        starts = self.broken.offsets.to_numpy()[:-1]
        names = self.broken.values.field("rule")
        picks = pa.array(np.where(self.kept.to_numpy(zero_copy_only=False), 0, starts), mask=np.asarray(self.kept))
        return names.take(picks)


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that come with Watershed."""
    return tuple(sorted(file.stem for file in RECIPES.glob("*.yaml")))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe by its name, or from a YAML file of one's own.

    Raises:
        WatershedError: there is no such recipe, or the file says something that is not known; the
            cause names file and line.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        if str(name_or_path) not in recipe_names():
            raise WatershedError(
                f"no recipe is called {str(name_or_path)!r}",
                f"use one of {', '.join(recipe_names())}, or the path of a .yaml file",
            )
        path = RECIPES / f"{name_or_path}.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WatershedError(f"{path}: cannot be read ({error})", "give the path of a recipe in YAML") from error
    return _RecipeReader(str(path)).read(text)


def classify(documents: pa.RecordBatch | pa.Table, recipe: Recipe) -> Verdicts:
    """Judge documents by their stored statistics.

    Args:
        documents: with the column `state` and each column of `recipe.statistics`; text is not needed.
        recipe: the rules.

    Returns:
        kept and broken rules, an entry per document, in order.

    Raises:
        WatershedError: a column is missing.
    """
    for column in ("state", *recipe.statistics):
        if column not in documents.schema.names:
            raise WatershedError(
                f"recipe {recipe.name}: documents have no column {column!r}",
                f"hand over the columns state, {', '.join(recipe.statistics)} of dclm.documents",
            )
    rows = documents.num_rows
    # A row per rule, the state's first; one more than rules.
    violated = np.zeros((len(recipe.rules) + 1, rows), np.bool_)
    values = np.full(violated.shape, np.nan)
    thresholds = np.full(violated.shape, np.nan)
    violated[0] = ~_is_in(_column(documents, "state"), ("ok",))
    for index, rule in enumerate(recipe.rules, start=1):
        column = _column(documents, rule.statistic)
        absent = _to_numpy(column.is_null())
        violated[0] |= absent
        violated[index] = ~_holds(column, rule) & ~absent
        if rule.statistic in NUMBERS:
            values[index] = _to_numpy(pc.cast(column, pa.float64()).fill_null(math.nan))
            thresholds[index] = _failed_threshold(values[index], rule)
    return _verdicts(violated, values, thresholds, recipe)


def _holds(column: pa.Array, rule: Rule) -> np.ndarray:
    """Where a column meets a rule; NaN and null meet none."""
    if rule.keep == "in" or rule.statistic in TEXTS:
        return _is_in(column, rule.threshold if isinstance(rule.threshold, tuple) else (rule.threshold,))
    values = _to_numpy(pc.cast(column, pa.float64()).fill_null(math.nan))
    if rule.keep == "between":
        assert isinstance(rule.threshold, tuple)
        low, high = rule.threshold
        return (values >= low) & (values <= high)
    compare = {">=": np.greater_equal, ">": np.greater, "<=": np.less_equal, "<": np.less, "==": np.equal}
    return compare[rule.keep](values, rule.threshold)


def _is_in(column: pa.Array, values: tuple[object, ...]) -> np.ndarray:
    """Where a column has one of the values; null is none of them."""
    # Numbers meet as doubles; strings come in several layouts, of which not all can be looked up.
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


def _sql_literal(value: float | str) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(float(value))


def _sql_term(rule: Rule) -> str:
    if rule.keep == "in":
        assert isinstance(rule.threshold, tuple)
        return f"{rule.statistic} IN ({', '.join(_sql_literal(value) for value in rule.threshold)})"
    if rule.keep == "between":
        assert isinstance(rule.threshold, tuple)
        low, high = rule.threshold
        return f"{rule.statistic} BETWEEN {_sql_literal(low)} AND {_sql_literal(high)}"
    assert isinstance(rule.threshold, (int, float, str))
    return f"{rule.statistic} {'=' if rule.keep == '==' else rule.keep} {_sql_literal(rule.threshold)}"


class _RecipeReader:
    """Reads a recipe strictly; an error names the file and the line."""

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self, text: str) -> Recipe:
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise WatershedError(f"{self._path}:{line}: {error.problem}", "mend the YAML") from error
        fields = self._mapping(root, required=("name", "description", "source", "rules"), optional=("pending",))
        rules_node = fields["rules"]
        if not isinstance(rules_node, yaml.SequenceNode) or not rules_node.value:
            raise self._error(rules_node, "`rules` is not a list of rules", "list at least one rule")
        rules: list[Rule] = []
        for node in rules_node.value:
            rule = self._rule(node)
            if rule.name in (STATE_RULE, *(other.name for other in rules)):
                raise self._error(node, f"a second rule is called {rule.name!r}", "give each rule its own name")
            rules.append(rule)
        return Recipe(
            name=self._text(fields["name"], "name"),
            description=self._text(fields["description"], "description"),
            source=self._text(fields["source"], "source"),
            rules=tuple(rules),
            pending=self._texts(fields.get("pending"), "pending"),
        )

    def _rule(self, node: yaml.Node) -> Rule:
        fields = self._mapping(node, required=("name", "statistic", "keep", "threshold", "source"))
        name, statistic, keep, source = (
            self._text(fields[field], field) for field in ("name", "statistic", "keep", "source")
        )
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise self._error(fields["name"], f"rule name {name!r}", "use lower-case letters, digits and underscores")
        if statistic not in NUMBERS | TEXTS:
            known = ", ".join(sorted(NUMBERS | TEXTS))
            raise self._error(fields["statistic"], f"rule {name}: unknown statistic {statistic!r}", f"known: {known}")
        comparisons = COMPARISONS if statistic in NUMBERS else ("==", "in")
        if keep not in comparisons:
            known = ", ".join(comparisons)
            raise self._error(
                fields["keep"], f"rule {name}: unknown comparison {keep!r} for {statistic}", f"known: {known}"
            )
        for ending, allowed in _DIRECTIONS.items():
            if name.endswith(ending) and keep not in allowed:
                raise self._error(
                    fields["keep"],
                    f"rule {name}: its name says {ending[1:]}, but it keeps {statistic} {keep}",
                    f"compare by {' or '.join(allowed)}, or rename the rule",
                )
        threshold = self._threshold(fields["threshold"], name, statistic, keep)
        return Rule(name=name, statistic=statistic, keep=keep, threshold=threshold, source=source)

    def _threshold(self, node: yaml.Node, name: str, statistic: str, keep: str) -> Threshold:
        value = yaml.SafeLoader("").construct_object(node, deep=True)
        kind = "number" if statistic in NUMBERS else "text"
        if keep in ("between", "in"):
            items = value if isinstance(value, list) else [value]
            fits = isinstance(value, list) and bool(value) and all(_is_kind(item, kind) for item in items)
            if keep == "between":
                fits = fits and len(items) == 2 and items[0] <= items[1]
                wanted = "two numbers in ascending order, as [50, 100000]"
            else:
                wanted = f"a list of {kind}s"
            if fits:
                return tuple(items)
        else:
            wanted = f"a {kind}"
            if _is_kind(value, kind):
                return value
        raise self._error(node, f"rule {name}: threshold {value!r}", f"{keep} on {statistic} wants {wanted}")

    def _mapping(
        self, node: yaml.Node | None, *, required: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> dict[str, yaml.Node]:
        known = ", ".join((*required, *optional))
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, "a mapping is wanted here", f"give it the fields {known}")
        fields: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if key.value not in (*required, *optional):
                raise self._error(key, f"unknown field {key.value!r}", f"known: {known}")
            if key.value in fields:
                raise self._error(key, f"field {key.value!r} stands here twice", "keep one")
            fields[key.value] = value
        for field in required:
            if field not in fields:
                raise self._error(node, f"no field {field!r}", f"wanted: {', '.join(required)}")
        return fields

    def _text(self, node: yaml.Node, field: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            raise self._error(node, f"field {field!r} is not a text", "write it as one")
        return " ".join(node.value.split())

    def _texts(self, node: yaml.Node | None, field: str) -> tuple[str, ...]:
        if node is None:
            return ()
        if not isinstance(node, yaml.SequenceNode):
            raise self._error(node, f"field {field!r} is not a list", "write it as one")
        return tuple(self._text(item, field) for item in node.value)

    def _error(self, node: yaml.Node | None, cause: str, mend: str) -> WatershedError:
        line = node.start_mark.line + 1 if node is not None else 1
        return WatershedError(f"{self._path}:{line}: {cause}", mend)


def _is_kind(value: object, kind: str) -> bool:
    if kind == "text":
        return isinstance(value, str)
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
