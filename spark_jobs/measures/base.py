"""What recipes are made of: statistics that rules judge, and edits that rewrite text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

REQUIRED: Any = object()
"""Default of an option that a recipe must give."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """A setting that a recipe may give to a statistic or an edit."""

    kind: type
    """bool, int, float, str, or tuple for a list of texts."""
    description: str
    default: Any = REQUIRED
    choices: tuple[str, ...] = ()
    """All values that are allowed; empty if any value is."""


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """A number (or, where `text`, a label) of a document."""

    name: str
    """Its name in recipes, e.g. `duplicate_line_ratio`."""
    description: str
    options: Mapping[str, str] = field(default_factory=dict)
    """The choice among several definitions, e.g. {"copies": "extra"}; empty for DCLM's."""
    text: bool = False

    @property
    def column(self) -> str:
        """Its unique name: the name and the options' values, joined by underscores."""
        return "_".join((self.name, *self.options.values()))


@dataclass(frozen=True, kw_only=True)
class Pass:
    """Statistics that one pass over a column computes together."""

    name: str
    statistics: tuple[Statistic, ...]
    compute: Callable[..., pa.RecordBatch]
    """From an array of texts to a row for each, with the columns that `Statistic.column` names (int64, float64 or
    string). Null for a null text and where a share has a zero denominator."""
    prepare: Callable[[pa.Array], Any] | None = None
    """Prepares the texts; its result is the second argument of `compute`. Passes with the same one share the result."""
    reads: str = "text"
    """The column that is measured: text or url."""


@dataclass(frozen=True, kw_only=True)
class Matcher:
    """A statistic whose options a recipe sets, such as a list of words: how many of them a document matches."""

    name: str
    description: str
    options: Mapping[str, Option]
    compute: Callable[..., pa.Array]
    """(array, **options) -> int64 or float64 each."""
    reads: str = "text"


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A rewriting of text. An empty result drops the document."""

    name: str
    stored_as: str = ""
    """Its name in columns, rules and fingerprints: the name it was first published by, `name` if not given."""
    description: str
    options: Mapping[str, Option]
    apply: Callable[..., pa.Array]
    """(texts, **options) -> as many texts; null stays null; a text that does not change keeps its bytes."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stored_as", self.stored_as or self.name)
