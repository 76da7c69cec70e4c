"""How much of each source a pass over a mixture reads, and how often it reads each document.

Weights share what `tokens` and `repeats` of other sources leave of the mixture. Which documents of a source are read
once more than others follows from a hash, so that a mixture with more tokens takes the same documents and more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from catalog.errors import WatershedError
from catalog.projects.mixture_file import MixtureRecipe
from spark_jobs.hash_order import hash_number

Ints = NDArray[np.int64]


def asked_tokens(recipe: MixtureRecipe, available: Mapping[str, int]) -> dict[str, float]:
    """Tokens that a pass should read of each source.

    Args:
        recipe: the recipe.
        available: tokens of the documents for training that each source has left.

    Raises:
        WatershedError: a source has nothing left, repeats leave nothing to weights, or a source would be read more
            often than `most_repeats`.

    Example:
        >>> from pathlib import Path
        >>> from catalog.projects.mixture_file import MixtureRecipe, MixtureSource
        >>> sources = (MixtureSource(name="a", table="x.a", weight=3), MixtureSource(name="b", table="x.b", weight=1))
        >>> recipe = MixtureRecipe(name="m", path=Path("m.toml"), description="", tokenizer="", sources=sources)
        >>> asked_tokens(recipe, {"a": 300, "b": 1_000})
        {'a': 300.0, 'b': 100.0}
    """
    for source in recipe.sources:
        if not available[source.name]:
            raise WatershedError(
                f"{recipe.table}: the source {source.name} is empty: no document for training is left of it",
                f"see FROM {recipe.table}_dropped after a mixture without it, or loosen its `where` and `filters`",
            )
    fixed = {each.name: float(each.tokens) for each in recipe.sources if each.tokens is not None}
    fixed |= {each.name: each.repeats * available[each.name] for each in recipe.sources if each.repeats is not None}
    weights = {source.name: source.weight for source in recipe.sources if source.weight is not None}
    whole, given = math.fsum(weights.values()), math.fsum(fixed.values())
    if recipe.tokens is None:
        rest = min((available[name] * whole / weight for name, weight in weights.items()), default=0.0)
    else:
        rest = recipe.tokens - given
        if weights and rest <= 0:
            raise WatershedError(
                f"{recipe.table}: sources with tokens and repeats take {given:,.0f} tokens, which leaves nothing of "
                f"{recipe.tokens:,} to weights",
                f"raise `tokens` above {math.ceil(given):,}, or lower the repeats",
            )
    asked = fixed | {name: rest * (weight / whole) for name, weight in weights.items()}
    _refuse_repeats(recipe, asked, available)
    return {source.name: asked[source.name] for source in recipe.sources}


def _refuse_repeats(recipe: MixtureRecipe, asked: Mapping[str, float], available: Mapping[str, int]) -> None:
    """Refuse a mixture that reads a source more often than the recipe allows, and say how often it would."""
    needed = {name: asked[name] / available[name] for name in asked}
    over = {name: times for name, times in needed.items() if times > recipe.most_repeats * (1 + 1e-9)}
    if not over:
        return
    worst = max(over, key=lambda name: over[name])
    others = f", and {len(over) - 1} more sources too often" if len(over) > 1 else ""
    raise WatershedError(
        f"{recipe.table}: {asked[worst]:,.0f} tokens of {worst} need {over[worst]:.2f} repeats of the "
        f"{available[worst]:,} that it has, more than most_repeats = {recipe.most_repeats:g}{others}",
        f"lower its share or the mixture's tokens, add documents, or write most_repeats = {math.ceil(over[worst])}",
    )


def repeats_of(seed: int, doc_ids: Sequence[str], tokens: Ints, asked: float) -> Ints:
    """(documents,): how often a pass reads each document of a source, so that it reads `asked` tokens to a document.

    All are read floor(asked / all tokens) times. In the order of a hash, the first ones are read once more, as long as
    the middle of a document lies within what is still asked.
    """
    whole = math.floor(asked / tokens.sum())
    rest = asked - whole * int(tokens.sum())
    order = np.argsort(np.array([hash_number(seed, "draw", doc_id) for doc_id in doc_ids], np.uint64), kind="stable")
    ends = np.cumsum(tokens[order])
    more = ends - tokens[order] / 2 <= rest
    # A source that is asked for is read, however little is asked of it.
    more[0] |= not whole
    repeats = np.full(len(tokens), whole, np.int64)
    repeats[order[more]] += 1
    return repeats
