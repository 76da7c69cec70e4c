"""What recipes are made of: statistics that rules judge, and edits that rewrite text between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

REQUIRED: Any = object()
"""Default of an option that a recipe must give."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """What a recipe may say beside the name of a statistic or an edit."""

    kind: type
    """bool, int, float, str, or tuple for a list of texts."""
    description: str
    default: Any = REQUIRED
    choices: tuple[str, ...] = ()
    """All values that are allowed; none for any."""


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """A number (or, where `text`, a label) of a document."""

    name: str
    """As recipes call it, e.g. `duplicate_line_ratio`."""
    description: str
    options: Mapping[str, str] = field(default_factory=dict)
    """Which of several definitions it is, e.g. {"copies": "extra"}; empty for DCLM's."""
    text: bool = False

    @property
    def column(self) -> str:
        """Its name among all statistics: the name, then the options' values, underscores between."""
        return "_".join((self.name, *self.options.values()))


@dataclass(frozen=True, kw_only=True)
class Pass:
    """Statistics that one pass over a column tells together."""

    name: str
    statistics: tuple[Statistic, ...]
    compute: Callable[..., pa.RecordBatch]
    """From an array of texts to a row each, columns named as `Statistic.column` says; null for a null text and
    where a statistic is a share of nothing. int64, float64 or string."""
    prepare: Callable[[pa.Array], Any] | None = None
    """What `compute` makes of the texts first. Passes with the same may be handed it, as a second argument."""
    reads: str = "text"
    """The column that is measured: text or url."""


@dataclass(frozen=True, kw_only=True)
class Matcher:
    """A statistic with options of a recipe's own, as a list of words: how many of them a document matches."""

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
    description: str
    options: Mapping[str, Option]
    apply: Callable[..., pa.Array]
    """(texts, **options) -> texts, as long; null stays null; a text that does not change keeps its bytes."""
