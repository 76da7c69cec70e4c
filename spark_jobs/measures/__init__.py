"""Statistics of documents, by the names that recipes use.

- `base`: the types of statistics and edits
- `dclm`, `datatrove`, `dolma`: statistics of pages as these projects define them
- `urls`: the address of a page
- `language`: the language of a text
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from catalog.errors import WatershedError
from spark_jobs.measures.base import REQUIRED, Matcher, Option, Pass, Statistic

REMOVED_RATIO = "words_removed_ratio"
"""Computed by `recipes.steps` from two counts of words."""


class PassStatistic(NamedTuple):
    """A statistic and the pass that computes it."""

    statistic: Statistic
    by: Pass


@cache
def passes() -> tuple[Pass, ...]:
    """All passes; the first that offers a statistic computes it."""
    from spark_jobs.measures import datatrove, dclm, dolma, language

    return (*language.PASSES, *dclm.PASSES, *datatrove.PASSES, *dolma.PASSES)


@cache
def matchers() -> dict[str, Matcher]:
    """All statistics whose options a recipe sets."""
    from spark_jobs.measures import dclm, urls

    return {**dclm.MATCHERS, **urls.MATCHERS}


@cache
def _by_name() -> dict[str, list[PassStatistic]]:
    found: dict[str, list[PassStatistic]] = {}
    for by in passes():
        for statistic in by.statistics:
            known = found.setdefault(statistic.name, [])
            if all(other.statistic.options != statistic.options for other in known):
                known.append(PassStatistic(statistic, by))
    return found


def fixed(name: str, options: Mapping[str, Any]) -> PassStatistic:
    """The statistic of a name and a choice of definition; matchers are not among them.

    Raises:
        WatershedError: the statistic, or this definition of it, is unknown.
    """
    known = _by_name().get(name)
    if known is None:
        names = [*_by_name(), *matchers(), REMOVED_RATIO]
        close = difflib.get_close_matches(name, names, 3, 0.5) or sorted(names)
        raise WatershedError(f"unknown statistic {name!r}", f"known: {', '.join(close)}")
    chosen = {key: str(value) for key, value in options.items()}
    for measured in known:
        if dict(measured.statistic.options) == chosen:
            return measured
    definitions = [_spelt(measured.statistic.options) for measured in known]
    raise WatershedError(f"{name} is not defined with {_spelt(chosen)}", f"known definitions: {'; '.join(definitions)}")


def checked(name: str, options: Mapping[str, Any], known: Mapping[str, Option]) -> dict[str, Any]:
    """A recipe's options of a matcher or an edit, with defaults filled in.

    Raises:
        WatershedError: an option is unknown, missing, of the wrong kind, or not one of the choices.
    """
    for key in options:
        if key not in known:
            raise WatershedError(f"{name} has no option {key!r}", f"known: {', '.join(known) or 'none'}")
    values: dict[str, Any] = {}
    for key, option in known.items():
        value = options.get(key, option.default)
        if value is REQUIRED:
            raise WatershedError(f"{name} needs the option {key!r}", option.description)
        if key in options:
            value = _as_kind(f"{name}: option {key}", value, option)
        values[key] = value
    return values


def _as_kind(place: str, value: Any, option: Option) -> Any:
    if option.kind is tuple and isinstance(value, (str, list, tuple)):
        value = (value,) if isinstance(value, str) else tuple(value)
        fits = all(isinstance(item, str) for item in value)
    elif option.kind is float:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    else:
        fits = isinstance(value, option.kind) and (option.kind is bool or not isinstance(value, bool))
    if value is None and option.default is None:
        fits = True
    kind = {tuple: "a list of texts", str: "a text", bool: "true or false", int: "a whole number"}.get(
        option.kind, "a number"
    )
    if not fits:
        raise WatershedError(f"{place} is {value!r}", f"give {kind}: {option.description}")
    if option.choices and value not in option.choices:
        raise WatershedError(f"{place} is {value!r}", f"use one of {', '.join(option.choices)}")
    return value


def _spelt(options: Mapping[str, str]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in options.items()) or "no options"
