"""A decoder that gives a number at each token, as reward and value models do.

Shape suffixes: B rows, T positions, D width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainers.models.config import DenseConfig
from trainers.models.decoder import decoder
from trainers.models.dense import DenseDecoder, Documents


class Scorer(nn.Module):
    """A decoder and a matrix of one row in place of its logits.

    The decoder's own output matrix stays where it is not tied, so that its weights are those of the language model.
    """

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        self.decoder = decoder(config)
        self.head = nn.Linear(config.width, 1, bias=True)
        if not config.tied:
            self.decoder.unembedding.requires_grad_(False)

    def forward(self, tokens_BT: Tensor, documents: Documents | None = None) -> Tensor:
        """(B, T) in float32: the score of each text up to each of its tokens."""
        return self.head(self.decoder.hidden(tokens_BT, documents))[..., 0].float()

    def begin(self, weights: DenseDecoder, seed: int, put: Callable[[Tensor, Tensor], object]) -> None:
        """Take a language model's weights, and draw the head from a normal of deviation 1 / sqrt(D + 1).

        As InstructGPT and open-instruct do.
        """
        taken = weights.state_dict()
        for name, parameter in self.decoder.named_parameters():
            put(parameter, taken[name])
        width = weights.config.width
        generator = torch.Generator().manual_seed(seed)
        put(self.head.weight, torch.empty(1, width).normal_(0.0, (width + 1) ** -0.5, generator=generator))
        put(self.head.bias, torch.zeros(1))


class PolicyAndValue(nn.Module):
    """What PPO trains: a policy, and a model of what it will be given from each token on."""

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        self.policy = decoder(config)
        self.value = Scorer(config)


def buffers_of(model: nn.Module) -> None:
    """Fill the tables of every decoder in a model; they are in no checkpoint."""
    for module in model.modules():
        if isinstance(module, DenseDecoder):
            for held, table in zip((module.cos_T11P, module.sin_T11P), module._rotary_tables(), strict=True):
                held.copy_(table)
