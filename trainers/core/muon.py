"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) for matrices, AdamW for everything else.

The momentum of a matrix's gradient is orthogonalised: its singular values become about one, so that each direction of
the matrix learns at the same rate. The update is scaled to the root mean square that AdamW's usually has (arXiv
2502.16982, section 2.2), so that AdamW's learning rates and decay hold for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from trainers.core.adamw import AdamW
from trainers.core.optimiser import Optimiser
from trainers.core.ranks import local, put_part, whole

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration, which takes singular values from (0, 1] to about 0.7 to 1.2."""
ITERATIONS = 5
RMS = 0.2
"""The root mean square of the elements of an update, as AdamW's usually is."""


class Muon(AdamW):
    """Updates matrices by their orthogonalised momentum, and other parameters as AdamW does.

    A matrix maps hidden states to hidden states: it has two dimensions or more, and embeds or unembeds nothing. Each
    expert of a layer is a matrix; a convolution is one whose row is all that an output reads.

    With several ranks, every rank orthogonalises whole matrices and keeps its rows of the result.
    """

    def __init__(self, model: nn.Module, settings: Optimiser, undecayed: tuple[str, ...]) -> None:
        super().__init__(model, settings, undecayed)
        self.matrices = frozenset(name for name, parameter in self.parameters.items() if _is_matrix(name, parameter))
        for name in self.matrices:
            del self.second[name], self.steps[name]

    @torch.no_grad()
    def step(self, rate: float, rates: Mapping[str, float] = MappingProxyType({})) -> None:
        """One update of the parameters that have a gradient; the gradients are then dropped."""
        for decay, own, group in self._groups(rate, rates):
            for name in group:
                parameter, momentum = self.parameters[name], self.first[name]
                if name not in self.matrices or (grad := parameter.grad) is None:
                    continue
                momentum.lerp_(local(grad), 1 - self.settings.momentum)
                # Nesterov's: the gradient once more, ahead of the momentum.
                ahead = local(grad).lerp(momentum, self.settings.momentum)
                update = torch.empty_like(ahead)
                put_part(update, scaled(whole(ahead, parameter)), parameter)
                local(parameter).mul_(1 - own * decay).sub_(update, alpha=own)
                parameter.grad = None
        super().step(rate, rates)


def _is_matrix(name: str, parameter: Tensor) -> bool:
    return parameter.ndim > 1 and not any(part in name for part in ("embedding", "positions", "lm_head"))


def scaled(momentum: Tensor) -> Tensor:
    """The update of a parameter: its momentum, orthogonalised, with a root mean square of about `RMS`."""
    matrix_EAB = momentum if momentum.ndim == 3 else momentum.flatten(1)[None]
    half = momentum.device.type == "cuda"
    found_EAB = orthogonalised(matrix_EAB.bfloat16() if half else matrix_EAB.float())
    return (found_EAB * (RMS * max(matrix_EAB.shape[1:]) ** 0.5)).view_as(momentum).to(momentum.dtype)


def orthogonalised(matrix_EAB: Tensor) -> Tensor:
    """U V^T of each of E matrices U S V^T, about: their singular values lie near one (Newton-Schulz iteration).

    Example:
        >>> matrix = torch.diag(torch.tensor([3.0, 1.0]))
        >>> orthogonalised(matrix[None])[0].diagonal().round(decimals=1)
        tensor([0.8000, 1.1000])
    """
    a, b, c = COEFFICIENTS
    tall = matrix_EAB.shape[1] > matrix_EAB.shape[2]
    x_EAB = matrix_EAB.mT if tall else matrix_EAB
    x_EAB = x_EAB / x_EAB.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram_EAA = x_EAB @ x_EAB.mT
        gram_EAA = torch.baddbmm(gram_EAA, gram_EAA, gram_EAA, beta=b, alpha=c)
        x_EAB = torch.baddbmm(x_EAB, gram_EAA, x_EAB, beta=a)
    return x_EAB.mT if tall else x_EAB


def optimiser_of(model: nn.Module, settings: Optimiser, undecayed: tuple[str, ...]) -> AdamW:
    """The optimiser that the settings name."""
    return (Muon if settings.matrices == "muon" else AdamW)(model, settings, undecayed)
