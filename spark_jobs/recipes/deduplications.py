"""A recipe's deduplications: the methods by name, and what their options mean.

`watershed curate` and the lake's tables read the options here, so a recipe means the same in both.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from catalog.errors import WatershedError
from spark_jobs.dedup.near_copies import Keep, NearCopies, Verify
from spark_jobs.recipes.recipe import Deduplication, Recipe

if TYPE_CHECKING:
    from spark_jobs.dedup.paragraphs import ParagraphOptions
    from spark_jobs.dedup.substrings import SubstringOptions

METHODS: dict[str, tuple[str, ...]] = {
    "exact": ("keep", "within"),
    "url": ("keep", "within"),
    "minhash": ("threshold", "recall", "verify", "transitive", "keep", "within"),
    "paragraphs": ("min_ngram", "max_ngram", "threshold", "remove", "false_positive_rate", "within"),
    "substrings": ("length", "keep"),
}
"""Names of the options that a recipe may set, by method."""

TEXT_METHODS = ("paragraphs", "substrings")
"""Methods that remove parts of texts."""

_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    **dict.fromkeys(("threshold", "recall", "false_positive_rate"), ("a number", (int, float))),
    **dict.fromkeys(("min_ngram", "max_ngram", "length"), ("a whole number", (int,))),
    **dict.fromkeys(("transitive", "within"), ("true or false", (bool,))),
    **dict.fromkeys(("verify", "keep", "remove"), ("a word", (str,))),
}

Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True, kw_only=True)
class Among:
    """Which documents a method compares, and which it keeps."""

    keep: Keep = Keep.ONE
    within: bool = True
    """Whether the documents of a run are compared with each other, or only with those of earlier runs."""


def checked_options(step: Deduplication) -> dict[str, Any]:
    """The options of a step.

    Raises:
        WatershedError: its method has no such option, or the value is of the wrong kind.
    """
    known = METHODS[step.method]
    for name, value in step.options.items():
        if name not in known:
            raise WatershedError(
                f"deduplication {step.method} has no option {name!r}", f"known: {', '.join(known) or 'none'}"
            )
        kind, types = _KINDS[name]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise WatershedError(
                f"deduplication {step.method}: {name} is {reprlib.repr(value)}, not {kind}", f"set it to {kind}"
            )
    return dict(step.options)


def check(recipe: Recipe, *, against: bool) -> None:
    """Check the options of a recipe's deduplications before any document is read.

    Args:
        recipe: the recipe.
        against: whether documents are compared with those of earlier runs.

    Raises:
        WatershedError: an option is unknown, or has a value that is not allowed.
    """
    for step in recipe.deduplicate:
        options = checked_options(step)
        if step.method == "minhash":
            near_copies(step).bands()
        elif step.method == "paragraphs":
            paragraph_options(step)
        elif step.method == "substrings":
            substring_options(step)
        if step.method != "substrings":
            among(step)
        if options.get("within") is False and not against:
            raise WatershedError(
                f"recipe {recipe.name}: {step.method} with `within: false` compares only with earlier runs",
                "give --against, or leave out `within: false`",
            )


def compares_texts(recipe: Recipe) -> bool:
    """Whether a recipe's deduplications read texts, not only their hashes and signatures."""
    return any(
        near_copies(step).verify is Verify.JACCARD if step.method == "minhash" else step.method in TEXT_METHODS
        for step in recipe.deduplicate
    )


def near_copies(step: Deduplication) -> NearCopies:
    """When two documents are near copies, by a `minhash` step."""
    options = checked_options(step)
    if "verify" in options:
        options["verify"] = _choice(step, "verify", Verify)
    return NearCopies(**{name: value for name, value in options.items() if name not in ("keep", "within")})


def near_copies_of(recipe: Recipe) -> NearCopies:
    """When two documents are near copies, by the `minhash` step of a recipe; the defaults if it has none.

    Raises:
        WatershedError: the step keeps no copy, or compares only with earlier runs; a table of the lake does neither.
    """
    for step in recipe.deduplicate:
        if step.method == "minhash":
            if among(step) != Among():
                raise WatershedError(
                    f"recipe {recipe.name}: the lake keeps one copy of each cluster, in one run over all documents",
                    "leave out `keep` and `within`, or use `watershed curate`",
                )
            return near_copies(step)
    return NearCopies()


def among(step: Deduplication) -> Among:
    """Which documents an `exact`, `url`, `minhash` or `paragraphs` step compares and keeps."""
    options = checked_options(step)
    keep = _choice(step, "keep", Keep) if "keep" in options else Keep.ONE
    return Among(keep=keep, within=options.get("within", True))


def paragraph_options(step: Deduplication) -> tuple[ParagraphOptions, float]:
    """The options of a `paragraphs` step, and the false-positive rate of its Bloom filter."""
    from spark_jobs.dedup.paragraphs import FALSE_POSITIVE_RATE, ParagraphOptions, Remove

    options = checked_options(step)
    rate = options.pop("false_positive_rate", FALSE_POSITIVE_RATE)
    if "remove" in options:
        options["remove"] = _choice(step, "remove", Remove)
    # Without comparison within the run, its text is not remembered.
    return ParagraphOptions(update=options.pop("within", True), **options), rate


def substring_options(step: Deduplication) -> SubstringOptions:
    """The options of a `substrings` step."""
    from spark_jobs.dedup import substrings

    options = checked_options(step)
    if "keep" in options:
        options["keep"] = _choice(step, "keep", substrings.Keep)
    return substrings.SubstringOptions(**options)


def _choice(step: Deduplication, name: str, kind: type[Choice]) -> Choice:
    value = step.options[name]
    try:
        return kind(value)
    except ValueError as error:
        raise WatershedError(
            f"deduplication {step.method}: {name} is {reprlib.repr(value)}", f"use one of {', '.join(kind)}"
        ) from error
