"""Rows of what a mixture's routing shows, for the files that trainers/analyse_routing.py writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trainers.routing.counts import VARIANTS, RoutingCounts

FEWEST_OCCURRENCES = 10
"""A token seen less often says little of an expert; the published lists leave those out too."""
TOKENS_AN_EXPERT = 20
"""Listed of an expert's most own."""


def summary(counts: RoutingCounts) -> list[dict[str, Any]]:
    """An entry a layer: the fullest and emptiest expert, the strongest pair, the most of each domain and variant."""
    load_LE, pairs_LEE, domain_DLE = counts.load(), counts.coactivation(), counts.domain_specialisation()
    own = {variant: counts.vocabulary_specialisation(variant) for variant in VARIANTS}
    return [
        {
            "layer": layer,
            "largest_load": float(load_LE[layer].max()),
            "smallest_load": float(load_LE[layer].min()),
            "largest_coactivation": float(pairs_LEE[layer].max()),
            "domain_specialisation": {name: float(domain_DLE[d, layer].max()) for d, name in enumerate(counts.domains)},
            "vocabulary_specialisation": {variant: float(own[variant][layer]) for variant in VARIANTS},
        }
        for layer in range(counts.layers)
    ]


def coactivation_rows(counts: RoutingCounts) -> Iterator[dict[str, Any]]:
    """A row an ordered pair of experts of a layer."""
    every, adjacent = counts.coactivation(), counts.coactivation(adjacent=True)
    for layer, expert, other in np.ndindex(every.shape):
        if expert != other:
            at = (layer, expert, other)
            shares = {"all_pairs": float(every[at]), "rank_adjacent": float(adjacent[at])}
            yield {"layer": layer, "expert": expert, "other": other} | shares


def domain_rows(counts: RoutingCounts) -> Iterator[dict[str, Any]]:
    """A row a domain, layer and expert. A domain without a token in the sequences that were read has no rows."""
    shares = counts.domain_specialisation()
    for d, layer, expert in np.ndindex(shares.shape):
        if not counts.domain_tokens_D[d]:
            continue
        at = (d, layer, expert)
        found = {"tokens": int(counts.domain_DLE[at]), "share": float(shares[at])}
        yield {"domain": counts.domains[d], "layer": layer, "expert": expert} | found


def vocabulary_rows(counts: RoutingCounts) -> Iterator[dict[str, Any]]:
    """An expert's most own tokens: those for which it is the commonest first expert, by its share of them."""
    for variant in VARIANTS:
        for layer, table_VE in enumerate(counts.first_LVE[variant]):
            occurrences_V, best_V = table_VE.sum(1), table_VE.argmax(1)
            share_V = table_VE.max(1) / np.maximum(occurrences_V, 1)
            for expert in range(counts.experts):
                own = np.flatnonzero((best_V == expert) & (occurrences_V >= FEWEST_OCCURRENCES))
                for token in own[np.argsort(-share_V[own], kind="stable")][:TOKENS_AN_EXPERT]:
                    found = {"occurrences": int(occurrences_V[token]), "share": float(share_V[token])}
                    yield {"variant": variant, "layer": layer, "expert": expert, "token": int(token)} | found
