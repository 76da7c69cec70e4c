"""How evenly a mixture's experts were used in a step, for the rows of metrics.jsonl."""

from __future__ import annotations

import math
from typing import Any

import torch

from trainers.core.ranks import Ranks
from trainers.models.config import DenseConfig, MoEConfig
from trainers.models.dense import DenseDecoder
from trainers.models.moe import MoEDecoder, load_balancing_loss, router_z_loss


class ExpertBalance:
    """Adds up the routing of a step's microbatches; of a dense model it reports nothing."""

    def __init__(self, config: DenseConfig, device: torch.device) -> None:
        self.config = config if isinstance(config, MoEConfig) else None
        shape = (config.layers, self.config.experts) if self.config else (0, 0)
        self.counts_LE = torch.zeros(shape, dtype=torch.float64, device=device)
        self.losses_2 = torch.zeros(2, dtype=torch.float64, device=device)
        self.tokens_1 = torch.zeros(1, dtype=torch.float64, device=device)

    def clear(self) -> None:
        """Begin a step."""
        for held in (self.counts_LE, self.losses_2, self.tokens_1):
            held.zero_()

    def add(self, model: DenseDecoder, share: float) -> None:
        """Count what the model's routers just decided, for a `share` of the step's sequences."""
        if not isinstance(model, MoEDecoder) or not share:
            return
        with torch.no_grad():
            routings = model.routings
            self.counts_LE += torch.stack([routing.counts_E for routing in routings])
            self.losses_2 += share * torch.stack([load_balancing_loss(routings), router_z_loss(routings)])
            self.tokens_1 += len(routings[0].expert_Nk)

    def report(self, ranks: Ranks) -> dict[str, Any]:
        """Both router losses; each expert's load, a layer a list, as a share of the layer's tokens (k / E at balance);
        the entropy of each layer's loads over ln E (1 at balance); and how many of the choices no expert took."""
        if self.config is None:
            return {}
        counts_LE, losses_2, tokens_1 = (
            ranks.totals(x.clone()) for x in (self.counts_LE, self.losses_2, self.tokens_1)
        )
        tokens = tokens_1.item()
        share_LE = counts_LE / counts_LE.sum(1, keepdim=True)
        entropy_L = -torch.special.xlogy(share_LE, share_LE).sum(1) / max(math.log(self.config.experts), 1e-12)
        chosen = self.config.layers * self.config.experts_per_token * tokens
        return {
            "load_balancing_loss": losses_2[0].item(),
            "router_z_loss": losses_2[1].item(),
            "expert_load": [[round(x, 5) for x in row] for row in (counts_LE / tokens).tolist()],
            "expert_entropy": [round(x, 5) for x in entropy_L.tolist()],
            "dropped": int(chosen - counts_LE.sum().item()),
        }
