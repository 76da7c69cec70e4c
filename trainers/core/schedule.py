"""Learning rate over steps: a linear warm-up, then one of three ways down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

ScheduleName = Literal["linear", "cosine", "wsd"]
SCHEDULES: tuple[ScheduleName, ...] = ("linear", "cosine", "wsd")
STABLE_UNTIL = 0.8
"""Warm-up-stable-decay holds the peak until this part of the steps, then falls on a line (arXiv 2404.06395)."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Peak and floor in absolute learning rate; warm-up and total in optimiser steps."""

    name: ScheduleName
    peak: float
    floor: float
    warmup_steps: int
    steps: int

    def rate(self, step: int) -> float:
        """Learning rate of optimiser step `step`, counted from 1; the last step, `steps`, is at the floor."""
        if step <= self.warmup_steps:
            return self.peak * step / self.warmup_steps
        begin = self.warmup_steps
        if self.name == "wsd":
            begin = max(begin, int(STABLE_UNTIL * self.steps))
        if step <= begin:
            return self.peak
        done = min(1.0, (step - begin) / max(1, self.steps - begin))
        left = 0.5 * (1 + math.cos(math.pi * done)) if self.name == "cosine" else 1 - done
        return self.floor + (self.peak - self.floor) * left
