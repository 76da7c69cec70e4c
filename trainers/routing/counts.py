"""What the analyses of a mixture's routing are made of: sums over tokens, and the shares they give.

Definitions of OLMoE (arXiv 2409.02060, section 5). Published heat-maps of co-activation count only experts of
neighbouring rank among a token's k (allenai/OLMoE, scripts/run_moe_analysis.py); both are given here.

Shape suffixes: N tokens, L layers, k experts a token, E experts, D domains, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

VARIANTS = ("input", "target", "predicted")
"""The token that a vocabulary share is of: the one read, the one that follows, the one the model expects."""


@dataclass
class RoutingCounts:
    """Sums over the tokens added so far."""

    layers: int
    experts: int
    k: int
    domains: tuple[str, ...]
    vocab_size: int
    tokens: int = 0
    together_LEE: Ints = field(init=False)
    """Tokens that chose both; on the diagonal, tokens that chose the one."""
    adjacent_LEE: Ints = field(init=False)
    """Tokens whose k have both next to each other in rank."""
    domain_DLE: Ints = field(init=False)
    """A domain's tokens that chose the expert."""
    domain_tokens_D: Ints = field(init=False)
    first_LVE: dict[str, NDArray[np.int32]] = field(init=False)
    """By variant: occurrences of a token whose first expert it was."""

    def __post_init__(self) -> None:
        L, E, D = self.layers, self.experts, len(self.domains)
        self.together_LEE, self.adjacent_LEE = (np.zeros((L, E, E), dtype=np.int64) for _ in range(2))
        self.domain_DLE, self.domain_tokens_D = np.zeros((D, L, E), dtype=np.int64), np.zeros(D, dtype=np.int64)
        self.first_LVE = {variant: np.zeros((L, self.vocab_size, E), dtype=np.int32) for variant in VARIANTS}

    def add(self, expert_LNk: Ints, domain_N: Ints, token_N: Mapping[str, Ints]) -> None:
        """Add N tokens: the experts chosen, most probable first, each token's domain (-1: none) and its variants."""
        self.tokens += len(domain_N)
        known = domain_N >= 0
        self.domain_tokens_D += np.bincount(domain_N[known], minlength=len(self.domains))
        for layer, expert_Nk in enumerate(expert_LNk):
            chosen_NE = np.zeros((len(expert_Nk), self.experts), dtype=np.float32)
            np.put_along_axis(chosen_NE, expert_Nk, 1.0, axis=1)
            self.together_LEE[layer] += (chosen_NE.T @ chosen_NE).astype(np.int64)
            one, next_ = expert_Nk[:, :-1].ravel(), expert_Nk[:, 1:].ravel()
            for pair in ((one, next_), (next_, one)):
                np.add.at(self.adjacent_LEE[layer], pair, 1)
            np.add.at(self.domain_DLE[:, layer], (domain_N[known, None], expert_Nk[known]), 1)
            for variant, tokens in token_N.items():
                np.add.at(self.first_LVE[variant][layer], (tokens, expert_Nk[:, 0]), 1)

    def coactivation(self, *, adjacent: bool = False) -> Floats:
        """(L, E, E): of the tokens that chose expert i, the share that chose j too; 0 on the diagonal."""
        counts_LEE = self.adjacent_LEE if adjacent else self.together_LEE
        alone_LE = np.einsum("lee->le", self.together_LEE)
        shares = counts_LEE / np.maximum(alone_LE, 1)[:, :, None]
        shares[:, np.arange(self.experts), np.arange(self.experts)] = 0.0
        return shares

    def load(self) -> Floats:
        """(L, E): the share of all tokens that chose the expert; k / E when they are spread evenly."""
        return np.einsum("lee->le", self.together_LEE) / max(1, self.tokens)

    def domain_specialisation(self) -> Floats:
        """(D, L, E): of a domain's tokens, the share that chose the expert; k / E when the domain does not matter."""
        return self.domain_DLE / np.maximum(self.domain_tokens_D, 1)[:, None, None]

    def vocabulary_specialisation(self, variant: str) -> Floats:
        """(L,): of a token of the vocabulary, the share of occurrences whose first expert was the most common one; the
        mean over all tokens that occur. It rises when few occur often: compare on the same number of tokens."""
        counts_LVE = self.first_LVE[variant]
        occurrences_LV = counts_LVE.sum(-1)
        shares_LV = counts_LVE.max(-1) / np.maximum(occurrences_LV, 1)
        return shares_LV.sum(1) / np.maximum((occurrences_LV > 0).sum(1), 1)


def saturation(early_LNk: NDArray[np.integer], final_LNk: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """(L,) twice: the mean share of a token's k experts at the end that it chose before too; and how often the first
    expert was the same.

    Both are of the same tokens, the most probable expert first.
    """
    k = final_LNk.shape[-1]
    shared_LN = (early_LNk[..., :, None] == final_LNk[..., None, :]).sum((-1, -2))
    return shared_LN.mean(1) / k, (early_LNk[..., 0] == final_LNk[..., 0]).mean(1)
