"""Quantiles of a pool by score, with ties broken by doc_id.

Nothing is sorted. Two histograms of bounded size find where a quantile begins: one over the scores, which are stored
to a millionth, and one over prefixes of doc_id among documents of the scores where a cut falls.
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
"""The name of the only group if documents are not grouped."""


@dataclass(frozen=True)
class Cut:
    """The beginning of a quantile: at `score`, with documents whose doc_id prefix is at least `prefix`."""

    score: float
    prefix: str


@dataclass(frozen=True)
class Cuts:
    """The number of documents of a group, and the beginnings of its quantiles, in order."""

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
    """The number of quantiles that begin at or below the document, by `group`, `score` and `doc_id`."""
    from pyspark.sql import functions as F

    def place(of: Cuts) -> Column:
        beginnings = (F.when(_reached(cut), 1).otherwise(0) for cut in of.cuts)
        return reduce(lambda before, one: before + one, beginnings, F.lit(0))

    if len(cuts) == 1:
        return place(*cuts.values())
    return F.coalesce(*(F.when(F.col("group") == group, place(of)) for group, of in cuts.items()))


def _ranked(levels: pa.Table, quantiles: Sequence[Fraction]) -> tuple[int, list[tuple[float, int]]]:
    """The number of documents, and for each quantile its score and the number of documents of that score below it."""
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
