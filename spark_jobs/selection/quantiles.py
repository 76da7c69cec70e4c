"""Cutting a pool by rank: where a quantile of the scores begins, ties told apart by doc_id.

Two histograms of bounded size tell it, over the scores (which are stored to a millionth), and over prefixes of doc_id
within the scores where a cut falls; nothing is sorted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

PREFIX = 4
"""Hex digits of doc_id that order documents of one score."""
ALL = "all"
"""The only group, where there are no others."""


@dataclass(frozen=True)
class Cut:
    """Where a quantile begins: at `score`, and there at documents whose doc_id begins with `prefix` or more."""

    score: float
    prefix: str


@dataclass(frozen=True)
class Cuts:
    """How many documents a group has, and where its quantiles begin, in their order."""

    total: int
    cuts: tuple[Cut, ...]


def quantile_cuts(scores: DataFrame, quantiles: Sequence[Fraction]) -> dict[str, Cuts]:
    """Where quantiles begin in the order of (score, doc_id), group by group: quantile q at rank floor(q x documents).

    Args:
        scores: doc_id, score and group; it is read twice.
        quantiles: in ascending order, each in [0, 1).
    """
    from pyspark.sql import functions as F

    levels = scores.groupBy("group", "score").count().toArrow().sort_by("score")
    groups = sorted(pc.call_function("unique", [levels["group"]]).to_pylist())
    found = {group: _ranked(levels.filter(pc.field("group") == group), quantiles) for group in groups}
    at_cut = sorted({score for _, places in found.values() for score, _ in places})
    ties = (
        scores.where(F.col("score").isin(at_cut))
        .groupBy("group", "score", F.substring("doc_id", 1, PREFIX).alias("prefix"))
        .count()
        .toArrow()
        .sort_by([("score", "ascending"), ("prefix", "ascending")])
    )
    return {
        group: Cuts(total, tuple(_cut(ties.filter(pc.field("group") == group), *place) for place in places))
        for group, (total, places) in found.items()
    }


def quantile_place(cuts: Mapping[str, Cuts]) -> Column:
    """How many quantiles begin at or below the document, by `group`, `score` and `doc_id`."""
    from pyspark.sql import functions as F

    def place(of: Cuts) -> Column:
        beginnings = (F.when(_reached(cut), 1).otherwise(0) for cut in of.cuts)
        return reduce(lambda before, one: before + one, beginnings, F.lit(0))

    if len(cuts) == 1:
        return place(*cuts.values())
    return F.coalesce(*(F.when(F.col("group") == group, place(of)) for group, of in cuts.items()))


def _ranked(levels: pa.Table, quantiles: Sequence[Fraction]) -> tuple[int, list[tuple[float, int]]]:
    """How many documents there are, and for each quantile its score and how many of that score lie below it."""
    values, counts = levels["score"].to_numpy(), levels["count"].to_numpy()
    ends = np.cumsum(counts)
    ranks = [int(quantile * int(ends[-1])) for quantile in quantiles]
    places = np.searchsorted(ends, ranks, side="right")
    below = [rank - int(ends[place] - counts[place]) for rank, place in zip(ranks, places, strict=True)]
    return int(ends[-1]), list(zip(values[places].tolist(), below, strict=True))


def _cut(ties: pa.Table, score: float, below: int) -> Cut:
    tied = ties.filter(pc.field("score") == score)
    place = int(np.searchsorted(np.cumsum(tied["count"].to_numpy()), below, side="right"))
    return Cut(score, tied["prefix"][place].as_py())


def _reached(cut: Cut) -> Column:
    from pyspark.sql import functions as F

    tied = (F.col("score") == cut.score) & (F.substring("doc_id", 1, PREFIX) >= cut.prefix)
    return (F.col("score") > cut.score) | tied
