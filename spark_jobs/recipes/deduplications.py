"""A recipe's deduplications: the methods by name, and what their options mean.

`watershed curate` and the lake's tables read the options here, so a recipe means the same in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from spark_jobs.recipes.recipe import Deduplication

if TYPE_CHECKING:
    from spark_jobs.dedup.clusters import NearCopies
    from spark_jobs.dedup.paragraphs import ParagraphOptions
    from spark_jobs.dedup.substrings import SubstringOptions

METHODS: dict[str, tuple[str, ...]] = {
    "exact": (),
    "url": (),
    "minhash": ("threshold", "recall", "verify"),
    "paragraphs": ("min_ngram", "max_ngram", "threshold", "remove", "false_positive_rate"),
    "substrings": ("length", "keep"),
}
"""Names of the options that a recipe may set, by method."""


def checked_options(step: Deduplication) -> dict[str, Any]:
    """The options of a step.

    Raises:
        WatershedError: its method has no such option.
    """
    known = METHODS[step.method]
    for name in step.options:
        if name not in known:
            raise WatershedError(
                f"deduplication {step.method} has no option {name!r}", f"known: {', '.join(known) or 'none'}"
            )
    return dict(step.options)


def near_copies(step: Deduplication) -> NearCopies:
    """The options of a `minhash` step."""
    from spark_jobs.dedup.clusters import NearCopies, Verify

    options = checked_options(step)
    if "verify" in options:
        options["verify"] = Verify(options["verify"])
    return NearCopies(**options)


def paragraph_options(step: Deduplication) -> tuple[ParagraphOptions, float]:
    """The options of a `paragraphs` step, and the false-positive rate of its Bloom filter."""
    from spark_jobs.dedup.paragraphs import FALSE_POSITIVE_RATE, ParagraphOptions, Remove

    options = checked_options(step)
    rate = options.pop("false_positive_rate", FALSE_POSITIVE_RATE)
    if "remove" in options:
        options["remove"] = Remove(options["remove"])
    return ParagraphOptions(**options), rate


def substring_options(step: Deduplication) -> SubstringOptions:
    """The options of a `substrings` step."""
    from spark_jobs.dedup.substrings import Keep, SubstringOptions

    options = checked_options(step)
    if "keep" in options:
        options["keep"] = Keep(options["keep"])
    return SubstringOptions(**options)
