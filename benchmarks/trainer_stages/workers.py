"""An optimiser step of the training loop with one worker thread and with more: same parts, same weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from trainers.core.parts import Parts, available_cores, cut
from trainers.models.decoder import decoder
from trainers.models.dense import DenseDecoder
from trainers.pretraining.config import parts_of
from trainers.pretraining.presets import preset

PRESETS = ("130k-0.6xC", "270k-0.5xC", "500k-0.75xC")
"""A run of the demo's small ladder, its target, and the target of the standard one."""
VOCABULARY, LENGTH = 2048, 128


@dataclass(frozen=True, kw_only=True)
class WorkersRow:
    """One number of workers on one preset."""

    preset: str
    parts: int
    workers: int
    step_ms: float
    """Wall clock of the fastest of all steps: forward, backward and the sum of the parts' gradients."""
    speedup: float
    """Over the batch in one part by one worker."""


def contest(names: Sequence[str], steps: int, report: Callable[[str], None]) -> list[WorkersRow]:
    """A row a preset and setting: the batch in one part, then in its parts, at least two, by 1, 2 and 4 workers."""
    torch.set_num_threads(1)
    rows = []
    for name in names:
        chosen = preset(name, VOCABULARY, LENGTH)
        parts = max(2, parts_of(chosen))
        model = decoder(chosen.model).initialise(0)
        draw = np.random.default_rng(0)
        batch = torch.from_numpy(draw.integers(0, VOCABULARY, (chosen.batch, LENGTH + 1)))
        settings = [(1, 1), *((parts, workers) for workers in (1, 2, 4) if workers <= min(parts, available_cores()))]
        held = {(count, workers): Parts(model, count, workers) for count, workers in settings}
        best = dict.fromkeys(held, float("inf"))
        for number in range(steps):
            report(f"{name}: step {number + 1} of {steps}")
            for key, each in held.items():
                best[key] = min(best[key], _step(each, batch))
        alone = best[1, 1]
        rows += [
            WorkersRow(preset=name, parts=count, workers=workers, step_ms=1e3 * seconds, speedup=alone / seconds)
            for (count, workers), seconds in best.items()
        ]
    return rows


def _step(parts: Parts, batch: torch.Tensor) -> float:
    began = time.perf_counter()
    parts.compute(partial(_gradients, len(batch)), cut(batch, len(parts.models)))
    seconds = time.perf_counter() - began
    for parameter in parts.models[0].parameters():
        parameter.grad = None
    return seconds


def _gradients(batch: int, model: torch.nn.Module, samples: torch.Tensor) -> None:
    assert isinstance(model, DenseDecoder)
    (model.loss(samples)[0] * (len(samples) / batch)).backward()
