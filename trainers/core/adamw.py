"""AdamW with decoupled decay (arXiv 1711.05101), its moments kept by parameter name.

The arithmetic is torch's own fused kernel. torch.optim.AdamW is not used because making one imports the whole of
torch's compiler: four seconds a process, as long as a small model of a ladder trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from trainers.core.optimiser import Optimiser
from trainers.core.ranks import Ranks, gathered, local, put_part
from trainers.process.errors import TrainerError


class AdamW:
    """Updates a model's parameters that need a gradient, or this rank's part of them.

    All are decayed except those named in `undecayed`.
    """

    def __init__(self, model: nn.Module, settings: Optimiser, undecayed: tuple[str, ...]) -> None:
        self.settings = settings
        named = model.named_parameters()
        self.parameters: dict[str, nn.Parameter] = {name: p for name, p in named if p.requires_grad}
        self.undecayed = undecayed
        self.first = {name: torch.zeros_like(local(p)) for name, p in self.parameters.items()}
        self.second = {name: torch.zeros_like(local(p)) for name, p in self.parameters.items()}
        self.steps = {name: torch.zeros((), device=p.device) for name, p in self.parameters.items()}

    def step(self, rate: float, rates: Mapping[str, float] = MappingProxyType({})) -> None:
        """One update of the parameters that have a gradient; the gradients are then dropped.

        Args:
            rate: the learning rate.
            rates: another learning rate for parameters whose names begin with a key, such as "vision.".
        """
        for decay, own, group in self._groups(rate, rates):
            grads = {name: grad for name in group if (grad := self.parameters[name].grad) is not None}
            names = list(grads)
            if not names:
                continue
            adamw(
                [local(self.parameters[name]).detach() for name in names],
                [local(grad) for grad in grads.values()],
                [self.first[name] for name in names],
                [self.second[name] for name in names],
                [],
                [self.steps[name] for name in names],
                foreach=False,
                fused=True,
                amsgrad=False,
                beta1=self.settings.beta1,
                beta2=self.settings.beta2,
                lr=own,
                weight_decay=decay,
                eps=self.settings.epsilon,
                maximize=False,
            )
        for parameter in self.parameters.values():
            parameter.grad = None

    def _groups(self, rate: float, rates: Mapping[str, float]) -> list[tuple[float, float, list[str]]]:
        """Decay, learning rate and names of the parameters that are updated together."""
        decayed = [name for name in self.parameters if name not in self.undecayed]
        undecayed = [name for name in self.undecayed if name in self.parameters]
        found: dict[tuple[float, float], list[str]] = {}
        for decay, names in ((self.settings.weight_decay, decayed), (0.0, undecayed)):
            for name in names:
                own = next((value for prefix, value in rates.items() if name.startswith(prefix)), rate)
                found.setdefault((decay, own), []).append(name)
        return [(decay, own, names) for (decay, own), names in found.items()]

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """First and second moments and step counts, each by parameter name: this rank's parts."""
        return {"first": self.first, "second": self.second, "steps": self.steps}

    def gather(self, ranks: Ranks) -> dict[str, dict[str, Tensor]]:
        """`state_dict` with whole moments, on the first rank."""
        like = self.parameters
        moments = {
            kind: gathered(parts, like, ranks) for kind, parts in (("first", self.first), ("second", self.second))
        }
        return moments | {"steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load whole moments saved by `gather`, onto the parameters' devices.

        Raises:
            TrainerError: they are those of another optimiser.
        """
        if state["second"].keys() != self.second.keys():
            raise TrainerError(
                "the checkpoint has the moments of another optimiser", "set optimiser.matrices as in its run"
            )
        for name, part in self.first.items():
            put_part(part, state["first"][name], self.parameters[name])
        for name, part in self.second.items():
            put_part(part, state["second"][name], self.parameters[name])
            self.steps[name].copy_(state["steps"][name])
