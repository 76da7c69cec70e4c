"""A sparse mixture-of-experts decoder, as OLMoE (arXiv 2409.02060): a dense one whose feed-forward layers are experts.

The router scores E experts a token; the k of the largest softmax probabilities are used, weighted by those
probabilities (not divided by their sum unless asked). Router and losses are in float32 whatever else is not.

Shape suffixes: those of dense.py and experts.py; L layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.models.config import DenseConfig, MoEConfig
from trainers.models.dense import DenseDecoder, SwiGLU
from trainers.models.experts import Collect, Dispatch, grouped_product, sort_by_expert, tokens_of_experts


@dataclass(frozen=True)
class Routing:
    """What one layer's router decided for N tokens."""

    logits_NE: Tensor
    probability_NE: Tensor
    expert_Nk: Tensor
    """The chosen experts, the most probable first; (N, 0) where experts choose."""
    counts_E: Tensor
    """Tokens each expert was given; they add up to N k where tokens choose, so none is dropped."""
    unread: Tensor | None = None
    """Where experts choose: the number of tokens that none took, a scalar."""


class Router(nn.Linear):
    """Logits (N, E) in float32."""

    full_precision = True
    """As of a norm."""

    def __init__(self, config: MoEConfig) -> None:
        super().__init__(config.width, config.experts, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return F.linear(input.float(), self.weight.float())


class MoE(nn.Module):
    """E experts of SwiGLU over (B, T, D), k a token, and shared ones. `routing` holds what the last call decided."""

    def __init__(self, config: MoEConfig) -> None:
        super().__init__()
        E, D, H = config.experts, config.width, config.hidden
        self.k, self.experts, self.renormalise = config.experts_per_token, E, config.renormalise
        self.router = Router(config)
        self.gate_up = nn.Parameter(torch.empty(E, 2 * H, D))
        self.down = nn.Parameter(torch.empty(E, D, H))
        self.shared = SwiGLU(config, H * config.shared_experts) if config.shared_experts else None
        self.choice = config.choice
        self.routing: Routing | None = None

    def forward(self, x_BTD: Tensor) -> Tensor:
        routed_BTD = self._tokens_of_experts(x_BTD) if self.choice == "expert" else self._experts_of_tokens(x_BTD)
        return routed_BTD if self.shared is None else routed_BTD + self.shared(x_BTD)

    def _computed(self, x_MD: Tensor, counts_E: Tensor) -> Tensor:
        """(M, D): each expert applied to its segment of rows."""
        gate_MF, up_MF = grouped_product(x_MD, self.gate_up, counts_E).chunk(2, dim=-1)
        return grouped_product(F.silu(gate_MF) * up_MF, self.down, counts_E)

    def _tokens_of_experts(self, x_BTD: Tensor) -> Tensor:
        x_ND = x_BTD.flatten(0, 1)
        logits_NE = self.router(x_ND)
        probability_NE = logits_NE.softmax(-1)
        token_EM = tokens_of_experts(probability_NE.detach().unflatten(0, x_BTD.shape[:2]), self.k)
        counts_E = token_EM.new_full((self.experts,), token_EM.shape[1])
        token_M = token_EM.flatten()
        took_N = token_M.new_zeros(len(x_ND)).scatter_add_(0, token_M, torch.ones_like(token_M))
        nobody = token_M.new_zeros(len(x_ND), 0)
        self.routing = Routing(logits_NE, probability_NE, nobody, counts_E, (took_N == 0).sum())
        y_MD = self._computed(x_ND[token_M], counts_E)
        weight_M1 = probability_NE.t().gather(1, token_EM).view(-1, 1)
        # index_put sums in one order on every device, where index_add does not.
        y_ND = torch.zeros_like(x_ND, dtype=y_MD.dtype)
        y_ND = y_ND.index_put((token_M,), y_MD * weight_M1.to(y_MD.dtype), accumulate=True)
        return y_ND.view(*x_BTD.shape[:-1], -1)

    def _experts_of_tokens(self, x_BTD: Tensor) -> Tensor:
        x_ND = x_BTD.flatten(0, 1)
        logits_NE = self.router(x_ND)
        probability_NE = logits_NE.softmax(-1)
        weight_Nk, expert_Nk = probability_NE.topk(self.k, dim=-1)
        if self.renormalise:
            weight_Nk = weight_Nk / weight_Nk.sum(-1, keepdim=True)
        order_M, place_M, counts_E = sort_by_expert(expert_Nk, self.experts)
        self.routing = Routing(logits_NE, probability_NE, expert_Nk, counts_E)
        x_MD = Dispatch.apply(x_ND, order_M, place_M, self.k)
        y_MD = self._computed(x_MD, counts_E)
        # Summed in the shape of x: FSDP warns of modules that return a view.
        y_BTkD = Collect.apply(y_MD, order_M, place_M).view(*x_BTD.shape[:-1], self.k, -1)
        return (y_BTkD * weight_Nk.view(*y_BTkD.shape[:-1], 1).to(y_BTkD.dtype)).sum(-2)


def of_tokens(routings: list[Routing], held_N: Tensor) -> list[Routing]:
    """The routings of the tokens where `held_N` is true, such as all but padding."""
    found = []
    for r in routings:
        expert_Nk = r.expert_Nk[held_N]
        flat = expert_Nk.flatten()
        counts_E = torch.zeros_like(r.counts_E).scatter_add_(0, flat, torch.ones_like(flat))
        found.append(Routing(r.logits_NE[held_N], r.probability_NE[held_N], expert_Nk, counts_E))
    return found


def load_balancing_loss(routings: list[Routing], counts_LE: Tensor | None = None) -> Tensor:
    """E / (L N k) x the sum over layers and experts of tokens given x mean probability: 1 at balance, E / k at worst.

    This is MegaBlocks' scale (its moe.py, batched_load_balancing_loss), in which OLMoE was trained. transformers pools
    the layers first and does not divide by k.

    Args:
        counts_LE: tokens that each expert was given in the batch of which these tokens are a part; None: in these
            alone. The mean of the parts' losses, by their tokens, is then the loss of the batch, and so is that of
            their gradients (arXiv 2501.11873, equation 3).
    """
    (N, E), k = routings[0].probability_NE.shape, routings[0].expert_Nk.shape[1]
    given = [r.counts_E for r in routings] if counts_LE is None else list(counts_LE)
    dots = [c.to(torch.float32) @ r.probability_NE.mean(0) for c, r in zip(given, routings, strict=True)]
    return torch.stack(dots).mean() * E / (N * k if counts_LE is None else counts_LE[0].sum())


def grouped_load_balancing_loss(routings: list[Routing], groups: int) -> Tensor:
    """The mean of the load-balancing losses of `groups` equal runs of the tokens, each seen by itself."""
    E, k = routings[0].probability_NE.shape[1], routings[0].expert_Nk.shape[1]
    parts = []
    for r in routings:
        expert_GM = r.expert_Nk.view(groups, -1)
        counts_GE = expert_GM.new_zeros(groups, E).scatter_add_(1, expert_GM, torch.ones_like(expert_GM))
        mean_GE = r.probability_NE.view(groups, -1, E).mean(1)
        parts.append((counts_GE.to(torch.float32) * mean_GE).sum(1).mean() * groups)
    return torch.stack(parts).mean() * E / (len(routings[0].expert_Nk) * k)


def router_z_loss(routings: list[Routing]) -> Tensor:
    """mean(logsumexp(router logits)^2) over tokens and layers."""
    return torch.stack([r.logits_NE.logsumexp(-1).square().mean() for r in routings]).mean()


class MoEDecoder(DenseDecoder):
    """A decoder of experts; `loss` adds the router's two losses.

    `router_losses_2` holds load-balancing loss and router z-loss of the last call of `loss`, without a graph.
    """

    router_losses_2: Tensor

    @staticmethod
    def feed_forward(config: DenseConfig) -> nn.Module:
        return MoE(cast(MoEConfig, config))

    @property
    def routings(self) -> list[Routing]:
        """What the routers of all layers decided in the last call."""
        return [cast(Routing, cast(MoE, block.feed_forward).routing) for block in self.blocks]

    def expert_counts(self, tokens_BS: Tensor) -> Tensor:
        """(L, E): tokens that each expert is given when `loss` reads the same rows; computes no logits."""
        with torch.no_grad():
            self.hidden(tokens_BS[:, :-1])
        return self._counts_LE()

    def _counts_LE(self) -> Tensor:
        return torch.stack([routing.counts_E for routing in self.routings])

    def loss(
        self, tokens_BS: Tensor, z_loss: float = 0.0, of_batch: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """As a dense decoder's, with load-balancing loss and router z-loss in what is descended.

        Args:
            of_batch: from the counts (L, E) of these tokens to those of the whole batch of a step; None where these
                rows are the whole batch. Not called where the balance is that of a few sequences.
        """
        descend, report = super().loss(tokens_BS, z_loss)
        config, routings = cast(MoEConfig, self.config), self.routings
        balance, z = self._balance(len(tokens_BS), of_batch), router_z_loss(routings)
        self.router_losses_2 = torch.stack([balance.detach(), z.detach()])
        if config.load_balancing_weight and config.choice == "token":
            descend = descend + config.load_balancing_weight * balance
        if config.router_z_weight:
            descend = descend + config.router_z_weight * z
        return descend, report

    def _balance(self, sequences: int, of_batch: Callable[[Tensor], Tensor] | None) -> Tensor:
        config = cast(MoEConfig, self.config)
        if config.choice == "expert":
            # Reported: every expert has as many tokens, so it is 1.
            return load_balancing_loss(self.routings, self._counts_LE())
        if group := config.load_balancing_sequences:
            # A row that stands for none is alone.
            return grouped_load_balancing_loss(self.routings, max(1, sequences // group))
        return load_balancing_loss(self.routings, of_batch(self._counts_LE()) if of_batch else None)
