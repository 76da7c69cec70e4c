"""Tokens sent to their experts and back: a sort, a product over contiguous segments, and the sort undone.

Nothing is dropped and nothing is padded. The permutations have backward passes of their own, which gather too: no
atomic addition decides the order of a sum, so a step has the same bits each time.

Shape suffixes: N tokens, k experts a token, M = N k rows, E experts, X and Y inner and outer widths.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

GROUPED_CAPABILITY = (9, 0)
"""CUDA compute capability from which torch's grouped product is one kernel and not a loop."""


GROUPED_ROW_BYTES = 16
"""What the length of a row must be a multiple of, in the kernel of the product and in those of its gradients."""


def sort_by_expert(expert_Nk: Tensor, experts: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of expert numbers (N, k): rows in the order of experts (M,), where each row went (M,), and rows an expert (E,).

    The sort is stable, so an expert sees its tokens in their order.
    """
    expert_M = expert_Nk.flatten()
    order_M = expert_M.argsort(stable=True)
    place_M = torch.empty_like(order_M)
    place_M[order_M] = torch.arange(len(order_M), device=order_M.device)
    # torch.bincount would wait for the device and cannot be compiled.
    counts_E = expert_M.new_zeros(experts).scatter_add_(0, expert_M, torch.ones_like(expert_M))
    return order_M, place_M, counts_E


def tokens_of_experts(probability_BTE: Tensor, k: int) -> Tensor:
    """(E, M): for each expert, the tokens that it takes, as positions in B T.

    Of each sequence it takes the C = max(1, round(T k / E)) tokens to which it is most probable, in their order. A
    sequence is chosen from by itself, so that microbatches and ranks change nothing.
    """
    B, T, E = probability_BTE.shape
    taken = max(1, round(T * k / E))
    token_BCE = probability_BTE.topk(taken, dim=1).indices.sort(dim=1).values
    first_B11 = torch.arange(B, device=token_BCE.device).mul(T).view(B, 1, 1)
    return (token_BCE + first_B11).permute(2, 0, 1).flatten(1)


class Dispatch(torch.autograd.Function):
    """(N, X) tokens to (M, X) rows in the order of experts, each token k times."""

    @staticmethod
    def forward(ctx: Any, x_NX: Tensor, order_M: Tensor, place_M: Tensor, k: int) -> Tensor:
        ctx.save_for_backward(place_M)
        ctx.k = k
        return x_NX[order_M // k]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (place_M,) = ctx.saved_tensors
        return grads[0][place_M].unflatten(0, (-1, ctx.k)).sum(1), None, None, None


class Collect(torch.autograd.Function):
    """(M, X) rows in the order of experts to (M, X) in the order of tokens."""

    @staticmethod
    def forward(ctx: Any, y_MX: Tensor, order_M: Tensor, place_M: Tensor) -> Tensor:
        ctx.save_for_backward(order_M)
        return y_MX[place_M]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (order_M,) = ctx.saved_tensors
        return grads[0][order_M], None, None


def grouped_product(x_MX: Tensor, weight_EYX: Tensor, counts_E: Tensor) -> Tensor:
    """(M, Y): the rows of each expert's segment times its matrix transposed.

    One grouped kernel in bfloat16 on a GPU that has it, else a product a segment. Autocast is heeded: it does not know
    either of the two.
    """
    if torch.is_autocast_enabled(x_MX.device.type):
        dtype = torch.get_autocast_dtype(x_MX.device.type)
        x_MX, weight_EYX = x_MX.to(dtype), weight_EYX.to(dtype)
    if has_grouped_kernel(x_MX) and fits_grouped_kernel(weight_EYX):
        ends_E = counts_E.cumsum(0).to(torch.int32)
        return torch._grouped_mm(x_MX, weight_EYX.transpose(1, 2), offs=ends_E)
    return SegmentProduct.apply(x_MX, weight_EYX, counts_E)


def has_grouped_kernel(x: Tensor) -> bool:
    """Whether torch multiplies rows of this kind by groups in one kernel."""
    wanted = x.is_cuda and x.dtype == torch.bfloat16 and hasattr(torch, "_grouped_mm")
    return wanted and torch.cuda.get_device_capability(x.device) >= GROUPED_CAPABILITY


def fits_grouped_kernel(weight_EYX: Tensor) -> bool:
    """Whether the grouped kernel takes matrices of this shape: it wants rows that begin at multiples of 16 bytes."""
    row = GROUPED_ROW_BYTES // weight_EYX.element_size()
    return weight_EYX.shape[1] % row == 0 and weight_EYX.shape[2] % row == 0


class SegmentProduct(torch.autograd.Function):
    """`grouped_product` as a matrix product an expert, written into one buffer; empty segments cost nothing."""

    @staticmethod
    def forward(ctx: Any, x_MX: Tensor, weight_EYX: Tensor, counts_E: Tensor) -> Tensor:
        segments = _segments(counts_E)
        y_MY = x_MX.new_empty(len(x_MX), weight_EYX.shape[1])
        for expert, rows in segments:
            torch.mm(x_MX[rows], weight_EYX[expert].t(), out=y_MY[rows])
        ctx.save_for_backward(x_MX, weight_EYX)
        ctx.segments = segments
        return y_MY

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x_MX, weight_EYX = ctx.saved_tensors
        grad_MY, grad_x_MX, grad_weight_EYX = grads[0], torch.empty_like(x_MX), torch.zeros_like(weight_EYX)
        for expert, rows in ctx.segments:
            torch.mm(grad_MY[rows], weight_EYX[expert], out=grad_x_MX[rows])
            torch.mm(grad_MY[rows].t(), x_MX[rows], out=grad_weight_EYX[expert])
        return grad_x_MX, grad_weight_EYX, None


def _segments(counts_E: Tensor) -> list[tuple[int, slice]]:
    ends = [0, *counts_E.cumsum(0).tolist()]
    return [(e, slice(start, stop)) for e, (start, stop) in enumerate(pairwise(ends)) if stop > start]
