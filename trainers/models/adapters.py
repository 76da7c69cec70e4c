"""Low-rank adapters (LoRA, arXiv 2106.09685) of a decoder's matrices, by peft.

An adapted matrix computes W x + (alpha / rank) B A x; W is frozen, A is drawn, and B begins as zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from trainers.process.errors import TrainerError
from trainers.process.optional import need

DENSE_TARGETS = ("query_key_value", "out", "gate_up", "down")
BASE, A, B = ".base_layer", ".lora_A.default", ".lora_B.default"


@dataclass(frozen=True, kw_only=True)
class Adapters:
    """The adapters of a run."""

    rank: int = 16
    alpha: float = 32.0
    """The output of an adapter is multiplied by alpha / rank."""
    targets: Sequence[str] = DENSE_TARGETS
    """Names of the matrices that get one. The experts of a mixture are not matrices by themselves and get none."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.targets if name not in DENSE_TARGETS]
        if unknown or not self.targets:
            named = repr(unknown[0]) if unknown else "empty"
            raise TrainerError(f"adapters.targets is {named}", f"choose some of {', '.join(DENSE_TARGETS)}")
        if self.rank < 1 or not 0 < self.alpha < math.inf:
            raise TrainerError(f"adapters have rank {self.rank} and alpha {self.alpha}", "give numbers above 0")


def adapt(model: nn.Module, adapters: Adapters) -> None:
    """Put adapters into a decoder, and freeze everything else.

    Raises:
        TrainerError: peft is not installed.
    """
    need("peft", work="a run with adapters")
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=adapters.rank, lora_alpha=cast(Any, adapters.alpha), target_modules=list(adapters.targets))
    inject_adapter_in_model(config, model)


def draw(model: nn.Module, seed: int, put: Callable[[Tensor, Tensor], object]) -> None:
    """Set every adapter as peft does: A uniform by its inputs, B zero; the same for a seed on every device."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if f"{A}." in name:
            bound = parameter.shape[1] ** -0.5
            put(parameter, torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator))
        elif f"{B}." in name:
            put(parameter, torch.zeros(parameter.shape))


def base_name(name: str) -> str:
    """The name of a parameter in the decoder without adapters; "" for one of an adapter."""
    return "" if f"{A}." in name or f"{B}." in name else name.replace(f"{BASE}.", ".")


def merged(weights: Mapping[str, Any], scale: float) -> dict[str, Tensor]:
    """The weights of a decoder with its adapters added into its matrices.

    Args:
        scale: alpha / rank.
    """
    found = {base_name(name): weight for name, weight in weights.items() if base_name(name)}
    for name, down in weights.items():
        if f"{A}." in name:
            target = name.replace(f"{A}.", ".")
            found[target] = found[target] + scale * (weights[name.replace(f"{A}.", f"{B}.")] @ down)
    return found
