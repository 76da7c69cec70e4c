"""The optimiser's settings and the schedule that follows from them. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.core.schedule import Schedule, ScheduleName


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """AdamW with decoupled decay (arXiv 1711.05101) and its schedule."""

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
    """Largest gradient norm."""
    z_loss: float = 0.0

    def over(self, steps: int) -> Schedule:
        """The learning rate over a run of `steps` optimiser steps."""
        floor = self.final_fraction * self.learning_rate
        return Schedule(
            name=self.schedule, peak=self.learning_rate, floor=floor, warmup_steps=self.warmup_steps, steps=steps
        )
