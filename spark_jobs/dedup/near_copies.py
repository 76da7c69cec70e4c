"""When two documents are near copies, and how a cluster of them is formed: the options of MinHash deduplication."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from catalog.errors import WatershedError

THRESHOLD = 0.8
"""Jaccard similarity of word 5-shingles from which two documents are near copies."""
SCREEN = 5
"""Standard deviations of the estimate below the threshold, from which on texts are compared. The estimate of a pair at
the threshold is lower with a probability of 3e-7."""


class Verify(StrEnum):
    """How documents are compared."""

    JACCARD = "jaccard"
    """Exactly, by their sets of shingles; needs the texts."""
    SIGNATURE = "signature"
    """By the share of equal signature values, an estimate with a standard deviation of about 0.035 at 0.8."""


class Keep(StrEnum):
    """Which documents of a cluster of copies are kept."""

    ONE = "one"
    """The longest text; among equally long ones, that with the least id."""
    NONE = "none"
    """No document that has a copy."""


@dataclass(frozen=True, kw_only=True)
class NearCopies:
    """When two documents are near copies."""

    threshold: float = THRESHOLD
    """Jaccard similarity from which two documents are copies."""
    recall: float | None = None
    """Least probability that a pair AT the threshold shares a band. None: datasketch's bands, which balance missed
    pairs against needless comparisons; of pairs at 0.8 they find 40 %, at 0.9 93 %."""
    verify: Verify = Verify.JACCARD
    transitive: bool = False
    """Whether a copy of a copy is a copy, however different the two are. If not, every dropped document is itself a
    copy of the one that is kept. datatrove (FineWeb) and RefinedWeb form clusters transitively."""
    permutations: int = 128
    """Values of a signature."""

    @property
    def screen(self) -> float:
        """Share of equal signature values from which two documents that share a band are connected."""
        if self.verify is Verify.SIGNATURE:
            return self.threshold
        deviation = math.sqrt(self.threshold * (1 - self.threshold) / self.permutations)
        return max(self.threshold - SCREEN * deviation, 0.0)

    def bands(self) -> tuple[int, int]:
        """LSH bands, and signature values in each.

        Raises:
            WatershedError: no number of bands reaches the threshold or recall.
        """
        from spark_jobs.kernels.minhash import optimal_bands, recall_bands

        try:
            if self.recall is None:
                return optimal_bands(self.threshold, self.permutations)
            return recall_bands(self.threshold, self.recall, self.permutations)
        except ValueError as error:
            raise WatershedError(str(error), "choose another threshold or recall") from error
