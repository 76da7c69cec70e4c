"""What a scorer of `watershed score` is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]
"""An object of JSON: a line of the file, or a scored row."""
TEXT: tuple[type, ...] = (str,)
NUMBER: tuple[type, ...] = (str, int, float)
LIST: tuple[type, ...] = (list,)
OBJECT: tuple[type, ...] = (dict,)


@dataclass(frozen=True)
class Options:
    """The options of the command line that a scorer may read."""

    rule: str
    seconds: float | None = None
    ks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Scorer:
    """One scorer: its description, the format of its rows, and its functions."""

    name: str
    about: str
    """One sentence."""
    fields: Mapping[str, tuple[type, ...]]
    """Required fields of a row beside `id`, with the types that are read."""
    example: Row
    """A row that scores 1, or the best that there is."""
    load: Callable[[], tuple[ScoreRow, Summarise]]
    """Imports the scorer's modules: called once, before the first row."""
    optional: Mapping[str, str] = field(default_factory=dict)
    """Fields that a row may have, each with a phrase."""
    prepare: Callable[[Row], Row] | None = None
    """Turns a row of another published form into one with the fields; imports nothing before the first row."""
    rules: tuple[str, ...] = ("strict",)
    """Values of --rule; the first is the default."""
    concurrent: bool = False
    """Whether rows are scored in several threads: each waits for a process of its own."""


ScoreRow = Callable[[Row, Options], Row]
"""Takes a row and returns `score` and the parts. Raises WatershedError or TrainerError for a row that is malformed."""
Summarise = Callable[[Sequence[Row], Options], Row]
"""Takes all scored rows, in order, and returns the summary beside the number of rows."""


def mean(values: Sequence[float]) -> float | None:
    """The mean, or None of nothing."""
    return sum(values) / len(values) if values else None


def mean_score(rows: Sequence[Row], options: Options) -> Row:
    """The summary of most scorers: the mean of `score`."""
    return {"score": mean([row["score"] for row in rows])}
