"""Next-token cross-entropy that never holds the whole (N, V) matrix of logits.

Rows are taken a chunk at a time, and the gradients of hidden states and output matrix are made while a chunk's logits
are there (the idea of Liger Kernel's fused linear cross-entropy, arXiv 2410.10989, section 3). The size of a chunk
follows the vocabulary and the device: see `rows_of_chunk`. It changes losses and gradients in rounding alone.

Shape suffixes: N positions, C positions in a chunk, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.models.config import GPU_LOGITS

CPU_LOGITS = 8 * 1024 * 1024
"""Logits of a chunk on a CPU at most, where its rows allow: 32 MiB in float32."""
FEWEST_ROWS, MOST_ROWS = 64, 256
"""Rows of a chunk on a CPU. Each chunk reads the whole output matrix, which fewer rows do not repay; with more, the
logits leave the cache."""


def rows_of_chunk(vocabulary: int, device_type: str) -> int:
    """Rows whose logits are held at a time: on a CPU 256 at a vocabulary of 8192, 166 at 50,304, 83 at 100,352."""
    if device_type != "cpu":
        return max(1, GPU_LOGITS // vocabulary)
    return min(MOST_ROWS, max(FEWEST_ROWS, CPU_LOGITS // vocabulary))


def cross_entropy(x_ND: Tensor, weight_VD: Tensor, target_N: Tensor, z_loss: float = 0.0) -> tuple[Tensor, Tensor]:
    """Cross-entropy in nats of `target_N` under softmax(x W^T), for training.

    Returns (to descend, nats_N). The first is a mean with z_loss x mean(logsumexp(logits)^2) added (PaLM, arXiv
    2204.02311, section 5), and carries the gradient; the second is the cross-entropy of each position alone.
    """
    device = x_ND.device.type
    if device != "cpu" and len(x_ND) <= rows_of_chunk(len(weight_VD), device):
        return _in_one_piece(x_ND, weight_VD, target_N, z_loss)
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) and device != "cpu" else None
    with torch.autocast(device, enabled=False):
        if dtype is None:
            return _ChunkedCrossEntropy.apply(x_ND.float(), weight_VD, target_N, z_loss)
        return _ChunkedCrossEntropy.apply(x_ND.to(dtype), weight_VD.to(dtype), target_N, z_loss)


def token_nats(x_ND: Tensor, weight_VD: Tensor, target_N: Tensor) -> Tensor:
    """-log softmax(x W^T)[target], (N,) in float32, for scoring: no gradient."""
    rows = rows_of_chunk(len(weight_VD), x_ND.device.type)
    with torch.no_grad():
        chunks = [
            F.cross_entropy(F.linear(x_CD, weight_VD).float(), target_C, reduction="none")
            for x_CD, target_C in zip(x_ND.split(rows), target_N.split(rows), strict=True)
        ]
        return torch.cat(chunks)


def _in_one_piece(x_ND: Tensor, weight_VD: Tensor, target_N: Tensor, z_loss: float) -> tuple[Tensor, Tensor]:
    logits_NV = F.linear(x_ND, weight_VD).float()
    nats_N = F.cross_entropy(logits_NV, target_N, reduction="none")
    if not z_loss:
        return nats_N.mean(), nats_N.detach()
    return nats_N.mean() + z_loss * logits_NV.logsumexp(-1).square().mean(), nats_N.detach()


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Computes its gradients in the forward pass and scales them in the backward pass, which may run once.

    Products are in the type of x and W; softmax, loss and the sum of W's gradient over chunks are in float32.
    """

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, weight_VD: Tensor, target_N: Tensor, z_loss: float) -> tuple[Tensor, Tensor]:
        (N, _), V = x_ND.shape, len(weight_VD)
        rows = min(N, rows_of_chunk(V, x_ND.device.type))
        wide = torch.empty((), dtype=torch.float32, device=x_ND.device)
        grad_x_ND, grad_weight_VD = torch.empty_like(x_ND), wide.new_zeros(weight_VD.shape)
        logits_buffer_CV, grad_buffer_CV = x_ND.new_empty(rows, V), wide.new_empty(rows, V)
        minus_one_C1 = wide.new_full((rows, 1), -1.0)
        nats_N, squares = wide.new_empty(N), wide.new_zeros(())
        for start in range(0, N, rows):
            x_CD, target_C1 = x_ND[start : start + rows], target_N[start : start + rows, None]
            logits_CV = torch.mm(x_CD, weight_VD.t(), out=logits_buffer_CV[: len(x_CD)])
            grad_CV = torch.softmax(logits_CV, 1, dtype=torch.float32, out=grad_buffer_CV[: len(x_CD)])
            # A probability too small for float32 counts as the smallest one, 87 nats; its gradient is still exact.
            probability_C = grad_CV.gather(1, target_C1)[:, 0].clamp_min_(torch.finfo(torch.float32).tiny)
            nats_N[start : start + rows] = probability_C.log_().neg_()
            if z_loss:
                lse_C1 = logits_CV.float().logsumexp(1, keepdim=True)
                squares += lse_C1.square().sum()
                grad_CV.mul_(1 + 2 * z_loss * lse_C1)
            grad_CV.scatter_add_(1, target_C1, minus_one_C1[: len(x_CD)])
            narrow_CV = grad_CV.to(x_ND.dtype)
            torch.mm(narrow_CV, weight_VD, out=grad_x_ND[start : start + rows])
            if narrow_CV is grad_CV:
                grad_weight_VD.addmm_(grad_CV.t(), x_CD)
            else:
                grad_weight_VD.add_(narrow_CV.t() @ x_CD)
        ctx.gradients = grad_x_ND.div_(N), grad_weight_VD.div_(N)
        ctx.weight_dtype = weight_VD.dtype
        ctx.mark_non_differentiable(nats_N)
        return nats_N.mean() + z_loss * squares / N, nats_N

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        if ctx.gradients is None:
            raise RuntimeError("the gradients of this cross-entropy were given away: it has one backward pass")
        (grad_x_ND, grad_weight_VD), ctx.gradients = ctx.gradients, None
        # In place: of a large vocabulary each further copy of the matrix costs as much as a layer.
        return grad_x_ND.mul_(grads[0]), grad_weight_VD.mul_(grads[0]).to(ctx.weight_dtype), None, None


@dataclass(frozen=True)
class TokenScores:
    """What a model says of N tokens."""

    logprob_N: Tensor
    """log softmax(logits / temperature)[target] in nats, float32, with a gradient."""
    entropy_N: Tensor
    """Of the distribution, in nats; without a gradient."""
    collision_N: Tensor
    """log of the sum of all squared probabilities; without a gradient (WPO's weights need it)."""


def token_scores(x_ND: Tensor, weight_VD: Tensor, target_N: Tensor, temperature: float = 1.0) -> TokenScores:
    """Log-probabilities of `target_N` under softmax(x W^T / temperature), one a row, for losses of their own.

    Neither pass holds more than a chunk of the (N, V) logits: the backward pass computes them again.
    """
    device = x_ND.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) and device != "cpu" else None
    with torch.autocast(device, enabled=False):
        if dtype is not None:
            x_ND, weight_VD = x_ND.to(dtype), weight_VD.to(dtype)
        elif x_ND.dtype != weight_VD.dtype:
            x_ND = x_ND.to(weight_VD.dtype)
        return TokenScores(*_ChunkedScores.apply(x_ND, weight_VD, target_N, temperature))


class _ChunkedScores(torch.autograd.Function):
    """Log-probability, entropy and collision a row; softmax in float32, products in the type of x and W."""

    @staticmethod
    def forward(
        ctx: Any, x_ND: Tensor, weight_VD: Tensor, target_N: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows = rows_of_chunk(len(weight_VD), x_ND.device.type)
        found_3N = torch.empty(3, len(x_ND), dtype=torch.float32, device=x_ND.device)
        for start in range(0, len(x_ND), rows):
            part = slice(start, start + rows)
            logprob_CV = (F.linear(x_ND[part], weight_VD).float() / temperature).log_softmax(-1)
            found_3N[0, part] = logprob_CV.gather(1, target_N[part, None])[:, 0]
            found_3N[1, part] = -(logprob_CV.exp() * logprob_CV).sum(-1)
            found_3N[2, part] = (2 * logprob_CV).logsumexp(-1)
        ctx.save_for_backward(x_ND, weight_VD, target_N)
        ctx.temperature = temperature
        logprob_N, entropy_N, collision_N = (each.clone() for each in found_3N)
        ctx.mark_non_differentiable(entropy_N, collision_N)
        return logprob_N, entropy_N, collision_N

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x_ND, weight_VD, target_N = ctx.saved_tensors
        rows = rows_of_chunk(len(weight_VD), x_ND.device.type)
        grad_x_ND = torch.empty_like(x_ND)
        grad_weight_VD = torch.zeros(weight_VD.shape, dtype=torch.float32, device=x_ND.device)
        for start in range(0, len(x_ND), rows):
            part = slice(start, start + rows)
            grad_CV = (F.linear(x_ND[part], weight_VD).float() / ctx.temperature).softmax(-1).neg_()
            grad_CV.scatter_add_(1, target_N[part, None], torch.ones_like(grad_CV[:, :1]))
            grad_CV.mul_(grads[0][part, None] / ctx.temperature)
            narrow_CV = grad_CV.to(x_ND.dtype)
            grad_x_ND[part] = narrow_CV @ weight_VD
            grad_weight_VD += (narrow_CV.t() @ x_ND[part]).float()
        return grad_x_ND, grad_weight_VD.to(weight_VD.dtype), None, None
