"""Reads a recipe from YAML. Anything unknown is an error that names the file and the line."""

from __future__ import annotations

import dataclasses
import math
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from catalog.errors import WatershedError
from catalog.names import close, find
from spark_jobs import measures
from spark_jobs.contamination.rules import RULES, Decontamination
from spark_jobs.edits import EDITS, current_name
from spark_jobs.measures.base import Matcher
from spark_jobs.recipes import bounded_yaml
from spark_jobs.recipes.deduplications import METHODS
from spark_jobs.recipes.recipe import (
    COMPARISONS,
    RECIPES,
    STATE_RULE,
    Deduplication,
    EditStep,
    Recipe,
    Rule,
    Selection,
    Step,
    recipe_names,
)
from spark_jobs.recipes.recipe import Threshold as RuleThreshold
from spark_jobs.selection.recipe import MixtureRecipe, Threshold, TopFraction, Within

# A name that speaks of a bound must not say the opposite of its comparison.
_DIRECTIONS = {"_minimum": (">=", ">"), "_maximum": ("<=", "<"), "_range": ("between",)}
_STEP_FIELDS = ("rule", "statistic", "keep", "threshold", "source", "optional", "since")
_DECONTAMINATION_FIELDS = ("n", "share", "passages")
_SELECT_FIELDS = (
    "label",
    "optional",
    "top_fraction",
    "threshold",
    "comparison",
    "topics",
    "topic_weights",
    "quantiles",
    "curve",
    "seed",
)


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a published recipe by its name, or any recipe from a YAML file.

    Raises:
        WatershedError: there is no such recipe, or the file is not a valid recipe; the cause names file and line.
    """
    path = Path(name_or_path)
    if path.suffix.lower() not in (".yaml", ".yml"):
        name = find(str(name_or_path), recipe_names())
        if name is None:
            raise WatershedError(
                f"no recipe is called {str(name_or_path)!r}{close(str(name_or_path), recipe_names())}",
                f"use one of {', '.join(recipe_names())}, or the path of a .yaml file",
            )
        path = RECIPES / f"{name}.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WatershedError(f"{path}: cannot be read ({error})", "give the path of a recipe in YAML") from error
    return _RecipeReader(path).read(text)


class _RecipeReader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._pending: list[str] = []

    def read(self, text: str) -> Recipe:
        try:
            root = bounded_yaml.compose(text)
        except bounded_yaml.YamlError as error:
            raise self._malformed(error) from error
        wanted = ("name", "description", "source", "steps")
        fields = self._fields(root, wanted, ("deduplicate", "select", "decontaminate", "pending"))
        steps = [step for node in self._list(fields["steps"], "steps") if (step := self._step(node)) is not None]
        pending = fields.get("pending")
        return Recipe(
            name=self._text(fields["name"], "name"),
            description=self._text(fields["description"], "description"),
            source=self._text(fields["source"], "source"),
            steps=self._distinct(steps, fields["steps"]),
            deduplicate=tuple(
                self._deduplication(node)
                for node in (self._list(fields["deduplicate"], "deduplicate") if "deduplicate" in fields else [])
            ),
            select=self._selection(fields["select"]) if "select" in fields else None,
            decontaminate=(
                self._decontamination(fields["decontaminate"]) if "decontaminate" in fields else Decontamination()
            ),
            pending=(
                *(self._text(item, "pending") for item in (self._list(pending, "pending") if pending else [])),
                *self._pending,
            ),
        )

    def _step(self, node: yaml.Node) -> Step | None:
        """A step; None for an optional rule whose list is missing, which is added to the pending steps."""
        fields = self._mapping(node)
        if "edit" in fields:
            return self._edit(node, fields)
        if "rule" not in fields:
            raise self._error(node, "a step is neither rule nor edit", "begin it with `rule: NAME` or `edit: NAME`")
        return self._rule(node, fields)

    def _edit(self, node: yaml.Node, fields: Mapping[str, yaml.Node]) -> EditStep:
        name = current_name(self._text(fields["edit"], "edit"))
        if name not in EDITS:
            raise self._error(fields["edit"], f"unknown edit {name!r}", f"known: {', '.join(sorted(EDITS))}")
        given = {key: self._value(value) for key, value in fields.items() if key not in ("edit", "source")}
        options = self._checked(node, f"edit {name}", given, EDITS[name].options)
        return EditStep(edit=name, stored_as=EDITS[name].stored_as, source=self._source(node, fields), options=options)

    def _rule(self, node: yaml.Node, fields: Mapping[str, yaml.Node]) -> Rule | None:
        name = self._text(fields["rule"], "rule")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise self._error(fields["rule"], f"rule name {name!r}", "use lower-case letters, digits and underscores")
        for field in ("statistic", "keep", "threshold"):
            if field not in fields:
                mend = "wanted: statistic, keep, threshold, source"
                raise self._error(node, f"rule {name}: no field {field!r}", mend)
        statistic, keep = (self._text(fields[field], field) for field in ("statistic", "keep"))
        options = {key: self._value(value) for key, value in fields.items() if key not in _STEP_FIELDS}
        column, is_text = statistic, False
        if statistic == measures.REMOVED_RATIO:
            if "since" not in fields or options:
                raise self._error(node, f"rule {name}: {statistic} is counted since an edit", "give it `since: EDIT`")
            options = {"since": self._since(fields["since"])}
        else:
            try:
                if matcher := measures.matchers().get(statistic):
                    options, column = self._match_options(matcher, options), re.sub(r"_(minimum|maximum)$", "", name)
                else:
                    found = measures.fixed(statistic, options).statistic
                    column, is_text = found.column, found.text
            except MissingFile as error:
                if "optional" in fields and self._value(fields["optional"]) is True:
                    self._pending.append(f"{name}: {error.cause}; {error.mend}")
                    return None
                raise
            except WatershedError as error:
                raise self._error(fields["statistic"], f"rule {name}: {error.cause}", error.mend) from error
        self._check_comparison(fields["keep"], name, statistic, keep, is_text)
        return Rule(
            name=name,
            statistic=statistic,
            keep=keep,
            threshold=self._threshold(fields["threshold"], name, statistic, keep, is_text),
            source=self._source(node, fields),
            options=options,
            column=column,
            text=is_text,
        )

    def _since(self, node: yaml.Node) -> str:
        """The edit that `since` names, by the name that is stored."""
        name = current_name(self._text(node, "since"))
        return EDITS[name].stored_as if name in EDITS else name

    def _match_options(self, matcher: Matcher, options: Mapping[str, Any]) -> dict[str, Any]:
        values = measures.checked(matcher.name, options, matcher.options)
        for key, value in values.items():
            if key == "file" and value:
                values[key] = str(find_beside(value, self._path.parent))
        return values

    def _check_comparison(self, node: yaml.Node, name: str, statistic: str, keep: str, is_text: bool) -> None:
        comparisons = ("==", "in") if is_text else COMPARISONS
        if keep not in comparisons:
            known = ", ".join(comparisons)
            raise self._error(node, f"rule {name}: unknown comparison {keep!r} for {statistic}", f"known: {known}")
        for ending, allowed in _DIRECTIONS.items():
            if name.endswith(ending) and keep not in allowed:
                raise self._error(
                    node,
                    f"rule {name}: its name says {ending[1:]}, but it keeps {statistic} {keep}",
                    f"compare by {' or '.join(allowed)}, or rename the rule",
                )

    def _threshold(self, node: yaml.Node, name: str, statistic: str, keep: str, is_text: bool) -> RuleThreshold:
        value = self._value(node)
        kind = "text" if is_text else "number"
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
        raise self._error(
            node, f"rule {name}: threshold {reprlib.repr(value)}", f"{keep} on {statistic} wants {wanted}"
        )

    def _deduplication(self, node: yaml.Node) -> Deduplication:
        fields = self._mapping(node)
        if "method" not in fields:
            raise self._error(node, "a deduplication without a method", f"known: {', '.join(METHODS)}")
        method = self._text(fields["method"], "method")
        if method not in METHODS:
            raise self._error(fields["method"], f"unknown deduplication {method!r}", f"known: {', '.join(METHODS)}")
        options = {key: self._value(value) for key, value in fields.items() if key not in ("method", "source")}
        return Deduplication(method=method, source=self._source(node, fields), options=options)

    def _decontamination(self, node: yaml.Node) -> Decontamination:
        fields = self._fields(node, ("rule", "source"), _DECONTAMINATION_FIELDS)
        rule = self._text(fields["rule"], "rule")
        if rule not in RULES:
            raise self._error(fields["rule"], f"unknown decontamination {rule[:80]!r}", f"known: {', '.join(RULES)}")
        self._source(node, fields)
        given = {name: self._value(fields[name]) for name in _DECONTAMINATION_FIELDS if name in fields}
        try:
            return dataclasses.replace(RULES[rule], **given)
        except WatershedError as error:
            raise self._error(node, error.cause, error.mend) from error

    def _selection(self, node: yaml.Node) -> Selection:
        fields = self._fields(node, ("model", "source"), _SELECT_FIELDS)
        given = {name: self._value(value) for name, value in fields.items()}
        if ("top_fraction" in given) == ("threshold" in given):
            raise self._error(node, "a selection keeps by one thing", "give it `top_fraction:` or `threshold:`")
        if "topics" not in given and ("topic_weights" in given or given.get("quantiles") == Within.TOPIC):
            raise self._error(node, "a selection by topic without topics", "name a fastText model in `topics:`")
        found: dict[str, Path | None] = {"model": None, "topics": None}
        missing = []
        for name in found:
            try:
                found[name] = find_beside(str(given[name]), self._path.parent) if name in given else None
            except MissingFile as error:
                if given.get("optional") is not True:
                    raise self._error(fields[name], error.cause, error.mend) from error
                missing.append(f"{error.cause}; {error.mend}")
        try:
            choice = _choice(given)
            MixtureRecipe(name="select", **choice)
        except (TypeError, ValueError) as error:
            raise self._error(node, f"select: {error}", "see docs/curation.md, Selection") from error
        except WatershedError as error:
            raise self._error(node, error.cause, "see docs/curation.md, Selection") from error
        return Selection(
            source=self._source(node, fields),
            model=None if missing else found["model"],
            missing="; ".join(missing),
            topics=found["topics"],
            choice=choice,
            **({"label": str(given["label"])} if "label" in given else {}),
        )

    def _distinct(self, steps: list[Step], node: yaml.Node) -> tuple[Step, ...]:
        """Give a value that is measured again after an edit its own name; refuse two rules of the same name."""
        if not steps:
            raise self._error(node, "`steps` has no step", "list at least one")
        taken = {STATE_RULE}
        columns: dict[str, str] = {}
        last = ""
        made: list[Step] = []
        for step in steps:
            if isinstance(step, EditStep):
                times = sum(isinstance(other, EditStep) and other.edit == step.edit for other in made)
                last = step.stored_as + (f"_{times + 1}" if times else "")
                made.append(dataclasses.replace(step, column=f"bytes_after_{last}", rule=f"empty_after_{last}"))
                name = f"empty_after_{last}"
            else:
                self._check_since(step, made, node)
                again = columns.setdefault(step.column, last) != last
                made.append(dataclasses.replace(step, column=f"{step.column}_after_{last}") if again else step)
                name = step.name
            if name in taken:
                raise self._error(node, f"a second rule is called {name!r}", "give each rule its own name")
            taken.add(name)
        return tuple(made)

    def _check_since(self, rule: Rule, before: list[Step], node: yaml.Node) -> None:
        since = rule.options.get("since") if rule.statistic == measures.REMOVED_RATIO else None
        if since and since not in [step.stored_as for step in before if isinstance(step, EditStep)]:
            raise self._error(node, f"rule {rule.name}: no edit {since!r} comes before it", "name an edit above it")

    def _checked(self, node: yaml.Node, place: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> dict:
        try:
            return measures.checked(place, given, known)
        except WatershedError as error:
            raise self._error(node, error.cause, error.mend) from error

    def _source(self, node: yaml.Node, fields: Mapping[str, yaml.Node]) -> str:
        if "source" not in fields:
            raise self._error(node, "a step without its source", "give `source:` the paper or repository it comes from")
        return self._text(fields["source"], "source")

    def _fields(
        self, node: yaml.Node | None, required: tuple[str, ...], optional: tuple[str, ...]
    ) -> dict[str, yaml.Node]:
        fields = self._mapping(node)
        known = ", ".join((*required, *optional))
        for name, value in fields.items():
            if name not in (*required, *optional):
                raise self._error(value, f"unknown field {name!r}", f"known: {known}")
        for name in required:
            if name not in fields:
                raise self._error(node, f"no field {name!r}", f"wanted: {', '.join(required)}")
        return fields

    def _mapping(self, node: yaml.Node | None) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, "expected a mapping", "write `field: value` lines")
        fields: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, "a field name is not a text", "write `field: value` lines")
            if key.value in fields:
                raise self._error(key, f"field {reprlib.repr(key.value)} is given twice", "keep one")
            fields[key.value] = value
        return fields

    def _list(self, node: yaml.Node, field: str) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode):
            raise self._error(node, f"field {field!r} is not a list", "write it as one")
        return node.value

    def _text(self, node: yaml.Node, field: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            raise self._error(node, f"field {field!r} is not a text", "write it as one")
        return " ".join(node.value.split())

    def _value(self, node: yaml.Node) -> Any:
        try:
            return bounded_yaml.construct(node)
        except bounded_yaml.YamlError as error:
            raise self._malformed(error) from error

    def _malformed(self, error: bounded_yaml.YamlError) -> WatershedError:
        return WatershedError(f"{self._path}:{error.line}: {error.cause}", "mend the YAML")

    def _error(self, node: yaml.Node | None, cause: str, mend: str) -> WatershedError:
        line = node.start_mark.line + 1 if node is not None else 1
        return WatershedError(f"{self._path}:{line}: {cause}", mend)


def _choice(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a MixtureRecipe that a selection sets.

    Raises:
        ValueError, TypeError, WatershedError: a field has a value that is not allowed.
    """
    if "top_fraction" in given:
        keep: TopFraction | Threshold = TopFraction(top_fraction=float(given["top_fraction"]))
    else:
        keep = Threshold(threshold=float(given["threshold"]), comparison=given.get("comparison", ">="))
    return {
        "keep": keep,
        "curve": tuple((float(quantile), float(times)) for quantile, times in given.get("curve", [[0, 1]])),
        "quantiles": Within(given.get("quantiles", Within.POOL)),
        "topic_weights": tuple((str(topic), float(weight)) for topic, weight in given.get("topic_weights", {}).items()),
        "seed": int(given.get("seed", 0)),
    }


class MissingFile(WatershedError):
    """A list or a model that a step needs is missing."""


def find_beside(name: str, beside: Path) -> Path:
    """A list of words or a model, from the recipe's folder or the folder that WATERSHED_LISTS names.

    Raises:
        MissingFile: it is in neither.
    """
    import os

    folders = [beside, *([Path(os.environ["WATERSHED_LISTS"])] if os.environ.get("WATERSHED_LISTS") else [])]
    for folder in folders:
        if (folder / name).is_file():
            return (folder / name).resolve()
    what, how = ("list", ", one word per line,") if name.endswith(".txt") else ("file", "")
    raise MissingFile(f"the {what} {name} is missing", f"put it{how} into the folder that WATERSHED_LISTS names")


def _is_kind(value: object, kind: str) -> bool:
    if kind == "text":
        return isinstance(value, str)
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
