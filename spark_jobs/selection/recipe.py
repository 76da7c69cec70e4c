"""What a mixture takes of scored documents, and how often: a threshold or the best share, and a curve.

Documents fall into buckets, quality by topic. A curve says how often a pass over the training data reads a document of
a bucket. (Olmo 3, arXiv 2512.13961, upsamples the best vigintiles of each topic up to seven times and drops the worst
40%.) A fraction of a time is that share of the documents.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from catalog.errors import WatershedError
from spark_jobs.classifiers.reading import DECIMALS

MOST_TIMES = 100
COMPARISONS = (">=", ">")


class Within(StrEnum):
    """The documents that quantiles are taken of."""

    POOL = "pool"
    TOPIC = "topic"


@dataclass(frozen=True, kw_only=True)
class TopFraction:
    """The best-scored share, by rank: exactly this share of documents, with ties broken in favour of later ids.

    DCLM-Baseline is the top 0.1 of its pool (arXiv 2406.11794, section 4.4).
    """

    top_fraction: float

    def __post_init__(self) -> None:
        if not 0 < self.top_fraction <= 1:
            raise WatershedError(f"top_fraction {self.top_fraction} is not in (0, 1]", "name a share of the pool")


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """The documents that reach a score, whatever share of the pool they are.

    DCLM keeps hq_prob >= 0.018112 (mlfoundations/dclm, baselines/baselines_configs/fasttext_filter.yaml).
    """

    threshold: float
    """To a millionth, as scores are stored."""
    comparison: str = ">="
    """How the score must compare with the threshold: >= or >."""

    def __post_init__(self) -> None:
        if round(self.threshold, DECIMALS) != self.threshold or not 0 <= self.threshold <= 1:
            raise WatershedError(
                f"threshold {self.threshold} is not a score: scores are stored to a millionth, in [0, 1]", "round it"
            )
        if self.comparison not in COMPARISONS:
            raise WatershedError(f"comparison {self.comparison!r} of a threshold", "write >= or >")


@dataclass(frozen=True, kw_only=True)
class MixtureRecipe:
    """Which documents a mixture takes, and how often each is read."""

    name: str = "documentation"
    rules: str = "dclm-baseline"
    """Recipe whose edits the texts carry."""
    keep: TopFraction | Threshold = TopFraction(top_fraction=0.8)
    """Which documents are good enough; the others are never read."""
    curve: tuple[tuple[float, float], ...] = ((0.0, 1), (0.9, 2))
    """How often a pass reads what is kept: steps of a quantile of the scores and the times from there on. Of
    ((0, 0.5), (0.8, 2), (0.95, 4)) every second document below 0.8 is read once, the best twentieth four times."""
    quantiles: Within = Within.POOL
    """Whether `top_fraction` and the curve's quantiles are of the whole pool or of each topic's documents."""
    topic_weights: tuple[tuple[str, float], ...] = ()
    """A factor of the times by topic; 1 for topics that are not named, 0 to leave a topic out."""
    max_contamination: float | None = None
    """A document is dropped if it holds at least this share of a part of an evaluation example (dclm.contamination); at
    0, any reported match is enough. None drops no document."""
    heldout_share: float = 0.1
    """Share of the taken documents that is held out from training."""
    max_source_share: float = 1.0
    """Largest share of the taken bytes from one host; a larger host is thinned by hash."""
    seed: int = 0

    def __post_init__(self) -> None:
        steps = [quantile for quantile, _ in self.curve]
        most = max((times for _, times in self.curve), default=0) * max((1, *(w for _, w in self.topic_weights)))
        share = self.max_contamination
        wrong = [
            problem
            for problem, holds in (
                (f"curve {self.curve} does not begin at quantile 0", steps[:1] == [0]),
                (f"curve {self.curve} does not rise through quantiles below 1", _rises([*steps, 1])),
                (f"curve {self.curve} has times below 0", all(times >= 0 for _, times in self.curve)),
                (f"curve and topic_weights read a document {most:g} times", 0 < most <= MOST_TIMES),
                ("topic_weights: a topic twice", len(dict(self.topic_weights)) == len(self.topic_weights)),
                ("topic_weights below 0", all(weight >= 0 for _, weight in self.topic_weights)),
                (f"max_contamination {share} is not in [0, 1]", share is None or 0 <= share <= 1),
                (f"heldout_share {self.heldout_share} is not between 0 and 1", 0 < self.heldout_share < 1),
                (f"max_source_share {self.max_source_share} is not in (0, 1]", 0 < self.max_source_share <= 1),
            )
            if not holds
        ]
        if wrong:
            raise WatershedError(f"mixture {self.name}: {wrong[0]}", "correct its MixtureRecipe")

    def boundaries(self) -> list[Fraction]:
        """Quantiles at which a bucket begins, 0 among them."""
        found = {_exact(quantile) for quantile, _ in self.curve}
        if isinstance(self.keep, TopFraction):
            found.add(1 - _exact(self.keep.top_fraction))
        return sorted(found)

    def times(self, boundary: Fraction, topic: str | None = None) -> Fraction:
        """How often a pass reads a kept document of the bucket that begins at `boundary`."""
        if isinstance(self.keep, TopFraction) and boundary < 1 - _exact(self.keep.top_fraction):
            return Fraction(0)
        read = next(times for quantile, times in reversed(self.curve) if _exact(quantile) <= boundary)
        return _exact(read) * _exact(dict(self.topic_weights).get(topic or "", 1))


def _rises(numbers: list[float]) -> bool:
    return all(before < after for before, after in itertools.pairwise(numbers))


def _exact(number: float) -> Fraction:
    """The number as it is written: 0.1 is a tenth."""
    return Fraction(str(number))
