"""The optimiser's settings and the schedule that follows from them. Nothing here imports torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from trainers.core.schedule import SCHEDULES, Schedule, ScheduleName
from trainers.process.errors import TrainerError


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """AdamW with decoupled decay (arXiv 1711.05101), or Muon beside it, and the schedule."""

    learning_rate: float
    """Peak."""
    warmup_steps: int
    schedule: ScheduleName = "linear"
    final_fraction: float = 0.0
    """Learning rate of the last step over the peak."""
    weight_decay: float = 0.1
    """Of matrices and norm gains."""
    decay_embedding: bool = False
    """Whether the input embedding is decayed too, as in OLMoE and open_lm."""
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    clip: float = 1.0
    """Largest gradient norm; 0: gradients are not clipped."""
    z_loss: float = 0.0
    matrices: Literal["adamw", "muon"] = "adamw"
    """What updates matrices between hidden states. "muon" orthogonalises their momentum (`trainers/core/muon.py`) with
    the same learning rate and decay; everything else is AdamW's."""
    momentum: float = 0.95
    """Of Muon."""

    def __post_init__(self) -> None:
        limits = {
            "learning_rate": (0.0 < self.learning_rate < math.inf, "above 0"),
            "warmup_steps": (self.warmup_steps >= 0, "0 or more"),
            "final_fraction": (0.0 <= self.final_fraction <= 1.0, "from 0 to 1"),
            "weight_decay": (0.0 <= self.weight_decay < math.inf, "0 or more"),
            "beta1": (0.0 <= self.beta1 < 1.0, "from 0 and below 1"),
            "beta2": (0.0 <= self.beta2 < 1.0, "from 0 and below 1"),
            "epsilon": (0.0 < self.epsilon < math.inf, "above 0"),
            "clip": (0.0 <= self.clip < math.inf, "above 0, or 0 for no clipping"),
            "z_loss": (0.0 <= self.z_loss < math.inf, "0 or more"),
            "momentum": (0.0 <= self.momentum < 1.0, "from 0 and below 1"),
        }
        for name, (fits, wanted) in limits.items():
            if not fits:
                raise TrainerError(f"optimiser.{name} is {getattr(self, name)}", f"give a number {wanted}")
        if self.matrices not in ("adamw", "muon"):
            raise TrainerError(f"optimiser.matrices is {self.matrices!r}", "choose adamw or muon")
        if self.schedule not in SCHEDULES:
            raise TrainerError(f"schedule is {self.schedule!r}", f"choose one of {', '.join(SCHEDULES)}")

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the weights; runs from before there was Muon have no fields of it."""
        left_out = ("matrices", "momentum") if self.matrices == "adamw" else ()
        return {name: value for name, value in asdict(self).items() if name not in left_out}

    def over(self, steps: int) -> Schedule:
        """The learning rate over a run of `steps` optimiser steps."""
        floor = self.final_fraction * self.learning_rate
        return Schedule(
            name=self.schedule, peak=self.learning_rate, floor=floor, warmup_steps=self.warmup_steps, steps=steps
        )
