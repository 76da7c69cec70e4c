"""What a model costs before it is trained: parameters, tokens, FLOPs, memory, GPU-hours, money, storage of its pool.

FLOPs are 6 N D (N active), the estimate behind DCLM's table 1 (arXiv 2406.11794); ladder sizes count their own FLOPs a
token (embeddings' output and attention included). GPU-hours follow from the share of peak that DCLM's published hours
imply (mlfoundations/dclm, README), interpolated over the FLOPs of its scales.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from trainers.models.config import (
    GPU_LOGITS,
    DenseConfig,
    MoEConfig,
    active_parameter_count,
    flops_per_token,
    parameter_count,
    swiglu_width,
    total_parameter_count,
)
from trainers.names import close, find
from trainers.pretraining.presets import CHINCHILLA_TOKENS_PER_PARAMETER, SCALES, canonical, parse, preset, run_name
from trainers.process.errors import TrainerError

POOL_TOKENS_PER_TOKEN = 57.0
"""Pool tokens a training token: 7.85T for 137.8B in DCLM's 7B-1x; 1B-1x and 3B-1x have the same share."""
POOL_BYTES_PER_TOKEN = 370e12 / 240e12
"""Compressed text: DCLM-Pool is 370 TB and 240T tokens (arXiv 2406.11794, section 3.1)."""
STATE_BYTES_PER_PARAMETER = 16
"""Weights, gradients and AdamW's two moments in float32, spread over all GPUs (ZeRO 3, arXiv 1910.02054)."""
FORWARD_BYTES_PER_PARAMETER = 14
"""At the end of a forward pass: weights and moments, and the weights in bfloat16. No gradient is there yet."""
RESIDUAL_BYTES = 4
"""Of the input of a block, per token and unit of width."""
ATTENTION_BYTES, COMPILED_ATTENTION_BYTES = 29, 13
"""Kept of attention and norms per layer, token and unit of width, without and with torch.compile."""
HIDDEN_BYTES = 8
"""Kept of SwiGLU per layer, token and inner unit of each expert that reads it: gate, up, their activation and product
in bfloat16."""
ROUTED_BYTES, COMPILED_ROUTED_BYTES = 6, 4.4
"""Kept of a mixture per layer, token, expert that reads it, and unit of width: rows sent there and back."""
LOGIT_BYTES = 8
"""Per row and vocabulary entry of a chunk of the cross-entropy: bfloat16 logits, their float32 probabilities and the
gradient in bfloat16.

The four constants of activations are fitted to `python -m benchmarks.trainers --only memory` on an H200; the table of
docs/performance.md has the plan beside each measurement."""
HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """An accelerator: dense 16-bit FLOPs a second, memory in bytes, and the most power that it draws, in watts."""

    peak_flops: float
    memory_bytes: float
    watts: float


GPUS: dict[str, Gpu] = {
    "a100": Gpu(peak_flops=312e12, memory_bytes=80e9, watts=400),
    "h100": Gpu(peak_flops=989.4e12, memory_bytes=80e9, watts=700),
    "h200": Gpu(peak_flops=989.4e12, memory_bytes=141e9, watts=700),
    "b200": Gpu(peak_flops=2250e12, memory_bytes=180e9, watts=1000),
}
"""SXM modules, without sparsity. docs/catalog.md (Energy) names the sources of their power."""


@dataclass(frozen=True, kw_only=True)
class DclmScale:
    """A competition scale as published (mlfoundations/dclm, README)."""

    size: str
    multiple: int
    h100_hours: float
    pool_tokens: float


DCLM_SCALES: dict[str, DclmScale] = {
    "400M-1x": DclmScale(size="dclm-400M", multiple=1, h100_hours=26, pool_tokens=137e9),
    "1B-1x": DclmScale(size="dclm-1B", multiple=1, h100_hours=240, pool_tokens=1.64e12),
    "3B-1x": DclmScale(size="dclm-3B", multiple=1, h100_hours=740, pool_tokens=3.18e12),
    "7B-1x": DclmScale(size="dclm-7B", multiple=1, h100_hours=3700, pool_tokens=7.85e12),
    "7B-2x": DclmScale(size="dclm-7B", multiple=2, h100_hours=7300, pool_tokens=15.7e12),
}


@dataclass(frozen=True, kw_only=True)
class Published:
    """A model that was released: its size and the tokens that it was trained on."""

    size: str
    tokens: float


PUBLISHED: dict[str, Published] = {
    "OLMoE-1B-7B": Published(size="olmoe-1B-7B", tokens=5e12),
    "OLMoE-1B-7B-0924": Published(size="olmoe-1B-7B", tokens=5e12),
    "DCLM-7B": Published(size="dclm-7B", tokens=2.5e12),
}
"""OLMoE: arXiv 2409.02060, abstract; its schedule ends there too. DCLM-7B: its model card (apple/DCLM-7B)."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is trained, on how many tokens."""

    name: str
    parameters: int
    """All of them where a name does not say otherwise; the ladder's N leaves the input embedding out."""
    active_parameters: int
    """That one token passes through."""
    tokens: int
    flops: float
    stored_parameters: int
    """That memory holds, embeddings included."""
    model: DenseConfig
    """Its shape."""
    h100_hours: float | None = None
    """As published, where it is."""
    pool_tokens: float


@dataclass(frozen=True, kw_only=True)
class Bill:
    """A workload's cost; its fields are the keys of `watershed plan --json`."""

    name: str
    parameters: int
    active_parameters: int
    tokens: int
    flops: float
    gpu: str
    gpus: int
    gpu_hours: float
    days: float
    """On all GPUs together."""
    cost: float
    """In the currency of the price."""
    price_per_gpu_hour: float
    utilisation: float
    """Share of the GPU's peak that the hours assume."""
    memory_per_gpu_bytes: int
    gpu_memory_bytes: int
    fits: bool
    """Whether one sequence at a time fits into each GPU's memory."""
    pool_tokens: int
    storage_bytes: int
    """The pool's compressed text."""

    def as_dict(self) -> dict[str, str | int | float | bool]:
        """For JSON."""
        return asdict(self)


def named_workload(name: str) -> Workload:
    """The workload of a DCLM scale ("7B-1x"), a released model ("OLMoE-1B-7B") or a size with a multiple ("190M-5xC").

    Raises:
        TrainerError: a name that is none of these.
    """
    if (published := find(name, DCLM_SCALES)) is not None:
        return _dclm_workload(published)
    if re.fullmatch(r".+-\d+(\.\d+)?x", name, re.IGNORECASE):
        cause = f"no DCLM scale is called {name!r}{close(name, DCLM_SCALES)}"
        raise TrainerError(cause, f"scales: {', '.join(DCLM_SCALES)}; or 190M-5xC")
    if (released := find(name, PUBLISHED)) is not None:
        return trained_on(run_name(PUBLISHED[released].size, 1), PUBLISHED[released].tokens, released)
    if not re.fullmatch(r".+-\d+(\.\d+)?xC", name, re.IGNORECASE) and find(name, SCALES) is None:
        known = [*DCLM_SCALES, *PUBLISHED, *SCALES]
        raise TrainerError(
            f"no model size is called {name!r}{close(name, known)}",
            f"names: {', '.join((*DCLM_SCALES, *PUBLISHED))}; or a size and multiple (190M-5xC) of {', '.join(SCALES)}",
        )
    scale, multiple = parse(name)
    name = canonical(name)
    model = preset(name).model
    n = parameter_count(model)
    if scale.family == "dclm" and scale.published:
        n = scale.published
    experts = bool(scale.experts)
    tokens = round(multiple * CHINCHILLA_TOKENS_PER_PARAMETER * n)
    return Workload(
        name=name,
        parameters=total_parameter_count(model) if experts else n,
        active_parameters=active_parameter_count(model) if experts else n,
        tokens=tokens,
        flops=6.0 * n * tokens if scale.family == "dclm" else float(_ladder_flops(model, scale.family)) * tokens,
        stored_parameters=total_parameter_count(model),
        model=model,
        pool_tokens=POOL_TOKENS_PER_TOKEN * tokens,
    )


def trained_on(run: str, tokens: float, name: str) -> Workload:
    """The workload of a run's size, trained on other tokens, under a name of its own."""
    one = named_workload(run)
    return replace(
        one,
        name=name,
        tokens=round(tokens),
        flops=one.flops / one.tokens * tokens,
        pool_tokens=POOL_TOKENS_PER_TOKEN * tokens,
    )


def reshaped(workload: Workload, fields: Mapping[str, Any]) -> Workload:
    """The workload with other fields of its model, on the same tokens.

    >>> plain = named_workload("OLMoE-1B-7B")
    >>> one_shared = reshaped(plain, {"experts": 63, "experts_per_token": 7, "shared_experts": 1})
    >>> plain.active_parameters - one_shared.active_parameters  # the router has a row less in each layer
    32768

    Args:
        fields: of DenseConfig or MoEConfig; `kind: moe` makes a mixture of a dense model.

    Raises:
        TrainerError: a field does not exist or does not fit.
    """
    from trainers.pretraining.config import overridden_model

    model = overridden_model(fields, workload.model)
    return replace(
        workload,
        name=f"{workload.name} with {', '.join(f'{name}={value}' for name, value in fields.items())}",
        parameters=total_parameter_count(model),
        active_parameters=active_parameter_count(model),
        stored_parameters=total_parameter_count(model),
        flops=float(flops_per_token(model)) * workload.tokens,
        model=model,
        h100_hours=None,
    )


def _ladder_flops(model: DenseConfig, family: str) -> int:
    """FLOPs a token; the published ladder counts 4 V D more than 6 N + 12 L D S (allenai/OLMo-ladder, its configs)."""
    return flops_per_token(model) + (4 * model.vocab_size * model.width if family == "ladder" else 0)


def _dclm_workload(name: str) -> Workload:
    published = DCLM_SCALES[name]
    workload = named_workload(f"{published.size}-{published.multiple}xC")
    return replace(workload, name=name, h100_hours=published.h100_hours, pool_tokens=published.pool_tokens)


def counted_workload(parameters: float, tokens: float, active: float | None = None) -> Workload:
    """The workload of so many parameters and tokens; the shape, for memory, is that of a usual dense decoder.

    Raises:
        TrainerError: a number that is not positive, or more active parameters than there are.
    """
    reached = parameters if active is None else active
    for option, value in (("--params", parameters), ("--tokens", tokens), ("--active", reached)):
        if not (np.isfinite(value) and value >= 1):
            raise TrainerError(f"{option} is {value:g}", "give a positive number, such as 7e9 or 7B")
    if reached > parameters:
        raise TrainerError(f"--active {reached:,.0f} is more than --params {parameters:,.0f}", "give the smaller part")
    # 12 L D^2 parameters in layers 128 times as wide as deep, as 7B models are.
    width = max(128, round((128 * reached / 12) ** (1 / 3) / 128) * 128)
    model = DenseConfig(
        vocab_size=50_432,
        sequence_length=2048,
        width=width,
        layers=max(1, round(reached / (12 * width**2))),
        heads=width // 128,
        hidden=swiglu_width(width),
    )
    return Workload(
        name=f"{parameters:.4g} parameters, {tokens:.4g} tokens",
        parameters=round(parameters),
        active_parameters=round(reached),
        tokens=round(tokens),
        flops=6.0 * reached * tokens,
        stored_parameters=round(parameters),
        model=model,
        pool_tokens=POOL_TOKENS_PER_TOKEN * tokens,
    )


def bill(workload: Workload, *, gpu: str = "h100", gpus: int = 8, price: float = 2.5) -> Bill:
    """What the workload costs on `gpus` of a kind, at `price` an hour each.

    Raises:
        TrainerError: a GPU that is not in `GPUS`, no GPU, or a negative price.
    """
    if (known := find(gpu, GPUS)) is None:
        raise TrainerError(f"no GPU is called {gpu!r}{close(gpu, GPUS)}", f"known: {', '.join(GPUS)}")
    gpu = known
    if gpus < 1 or not price >= 0:
        raise TrainerError(f"{gpus} GPUs at a price of {price:g}", "give at least one GPU and a price of 0 or more")
    h100 = GPUS["h100"].peak_flops * HOUR
    share = utilisation(workload.flops)
    if workload.h100_hours is not None:
        share = workload.flops / (workload.h100_hours * h100)
    hours = workload.flops / (share * GPUS[gpu].peak_flops * HOUR)
    memory = memory_per_gpu(workload, gpus)
    return Bill(
        name=workload.name,
        parameters=workload.parameters,
        active_parameters=workload.active_parameters,
        tokens=workload.tokens,
        flops=workload.flops,
        gpu=gpu,
        gpus=gpus,
        gpu_hours=hours,
        days=hours / gpus / 24,
        cost=hours * price,
        price_per_gpu_hour=price,
        utilisation=share,
        memory_per_gpu_bytes=memory,
        gpu_memory_bytes=round(GPUS[gpu].memory_bytes),
        fits=memory <= GPUS[gpu].memory_bytes,
        pool_tokens=round(workload.pool_tokens),
        storage_bytes=round(workload.pool_tokens * POOL_BYTES_PER_TOKEN),
    )


def utilisation(flops: float) -> float:
    """Share of an H100's peak that DCLM's published hours imply at these FLOPs; the ends hold beyond the scales."""
    known = [named_workload(name) for name in DCLM_SCALES]
    h100 = GPUS["h100"].peak_flops * HOUR
    shares = [scale.flops / ((scale.h100_hours or np.nan) * h100) for scale in known]
    return float(np.interp(np.log(flops), np.log([scale.flops for scale in known]), shares))


def memory_per_gpu(workload: Workload, gpus: int) -> int:
    """Bytes a GPU: the training state's share, and the activations of one sequence."""
    return training_memory(workload.model, 1, gpus=gpus, stored=workload.stored_parameters)


def training_memory(
    model: DenseConfig,
    sequences: int,
    *,
    gpus: int = 1,
    stored: int | None = None,
    recompute: bool = False,
    compiled: bool = False,
) -> int:
    """Bytes that a training step in bfloat16 holds at most on each GPU, as `trainers.pretrain` trains.

    The peak is at the end of the forward pass, when all activations are there, or at the end of the backward pass, when
    all gradients are.

    Args:
        sequences: in a microbatch.
        gpus: over which the state is spread.
        stored: parameters, where the shape stands for another model.
        recompute: whether only the input of each block is kept (`recompute: true`).
        compiled: whether blocks are compiled (`compile: true`).
    """
    tokens, width = sequences * model.sequence_length, model.width
    experts, shared = (model.experts_per_token, model.shared_experts) if isinstance(model, MoEConfig) else (0, 0)
    of_width = COMPILED_ATTENTION_BYTES if compiled else ATTENTION_BYTES
    of_width += (COMPILED_ROUTED_BYTES if compiled else ROUTED_BYTES) * experts
    block = tokens * (of_width * width + HIDDEN_BYTES * max(1, experts + shared) * model.hidden)
    kept = model.layers * (RESIDUAL_BYTES * tokens * width if recompute else block)
    rows = min(tokens, GPU_LOGITS // model.vocab_size)
    head = model.vocab_size * (LOGIT_BYTES * rows + RESIDUAL_BYTES * width)
    share = (total_parameter_count(model) if stored is None else stored) / gpus
    forward = FORWARD_BYTES_PER_PARAMETER * share + kept + head
    return round(max(forward, STATE_BYTES_PER_PARAMETER * share + block))
