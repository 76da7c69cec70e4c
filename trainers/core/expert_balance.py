"""How evenly a mixture's experts were used in a step, for the rows of metrics.jsonl.

Shape suffixes: L layers, E experts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainers.core.ranks import Ranks
from trainers.models.config import DenseConfig, MoEConfig
from trainers.models.dense import DenseDecoder
from trainers.models.moe import MoEDecoder


@dataclass(frozen=True)
class RoutingSums:
    """What the routers of a mixture decided for some tokens."""

    counts_LE: Tensor
    """Tokens that each expert of each layer was given."""
    losses_2: Tensor
    """Load-balancing loss and router z-loss, as `MoEDecoder.loss` descended them."""
    tokens: int
    unread: Tensor | None = None
    """Tokens that no expert took, summed over layers; None where tokens choose their experts."""


def routing_sums(model: DenseDecoder) -> RoutingSums | None:
    """Of the model's last call of `loss`, without a graph; None of a dense model."""
    if not isinstance(model, MoEDecoder):
        return None
    routings = model.routings
    counts_LE = torch.stack([routing.counts_E for routing in routings])
    unread = [routing.unread for routing in routings if routing.unread is not None]
    total = torch.stack(unread).sum() if unread else None
    return RoutingSums(counts_LE, model.router_losses_2, len(routings[0].expert_Nk), total)


class ExpertBalance:
    """Adds up the routing of a step's microbatches; of a dense model it reports nothing."""

    def __init__(self, config: DenseConfig) -> None:
        self.config = config if isinstance(config, MoEConfig) else None
        self._sums: list[Tensor] = []

    def clear(self) -> None:
        """Begin a step."""
        self._sums = []

    def add(self, found: RoutingSums | None, share: float) -> None:
        """Add the routing of samples that are a `share` of the step's weight; a placeholder's share is 0."""
        if found is None:
            return
        if not self._sums:
            shape, device = found.counts_LE.shape, found.counts_LE.device
            self._sums = [torch.zeros(size, dtype=torch.float64, device=device) for size in (shape, (2,), (1,), (1,))]
        if share:
            counts_LE, losses_2, tokens_1, unread_1 = self._sums
            counts_LE += found.counts_LE
            losses_2 += share * found.losses_2
            tokens_1 += found.tokens
            if found.unread is not None:
                unread_1 += found.unread

    def report(self, ranks: Ranks) -> dict[str, Any]:
        """Columns of metrics.jsonl, over all ranks; every rank calls this.

        Both router losses; each expert's load, a layer a list, as a share of the layer's tokens (k / E at balance);
        the entropy of each layer's loads over ln E (1 at balance); and the number of choices that no expert took, or,
        where experts choose, of tokens that none took in a layer.
        """
        if self.config is None:
            return {}
        counts_LE, losses_2, tokens_1, unread_1 = (ranks.totals(x.clone()) for x in self._sums)
        tokens = tokens_1.item()
        share_LE = counts_LE / counts_LE.sum(1, keepdim=True)
        entropy_L = -torch.special.xlogy(share_LE, share_LE).sum(1) / max(math.log(self.config.experts), 1e-12)
        by_tokens = self.config.choice == "token"
        chosen = self.config.layers * self.config.experts_per_token * tokens
        return {
            "load_balancing_loss": losses_2[0].item(),
            "router_z_loss": losses_2[1].item(),
            "expert_load": [[round(x, 5) for x in row] for row in (counts_LE / tokens).tolist()],
            "expert_entropy": [round(x, 5) for x in entropy_L.tolist()],
            "dropped": int(chosen - counts_LE.sum().item()) if by_tokens else int(unread_1.item()),
        }
