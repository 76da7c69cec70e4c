"""Memory of a training step on a GPU beside the estimate of `watershed plan`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from benchmarks.trainer_stages.steps import CLIP, GPU_WORKS, OPTIMISER, RATE
from trainers.core.adamw import AdamW
from trainers.ladder.budget import named_workload, training_memory
from trainers.models.config import DenseConfig
from trainers.models.decoder import decoder

SEQUENCES = (1, 4, 16)
"""Sequences a forward pass."""
STEPS = 2
"""After the second, all of the optimiser's state has been used."""


@dataclass(frozen=True, kw_only=True)
class MemoryRow:
    """The peak of one shape, in bytes."""

    shape: str
    sequences: int
    recompute: bool
    compiled: bool
    planned: int
    peak: int | None
    """None: it did not fit."""


def contest(report: Callable[[str], None]) -> Iterator[MemoryRow]:
    """One row a shape and way of training; those whose plan is above the GPU's memory are left out."""
    whole = torch.cuda.get_device_properties(0).total_memory
    shapes = {work.name: work.config for work in GPU_WORKS}
    olmoe = named_workload("OLMoE-1B-7B").model
    shapes |= {"OLMoE-1B-7B at 8 layers, T 4096": replace(olmoe, layers=8), "OLMoE-1B-7B, T 4096": olmoe}
    for name, config in shapes.items():
        for recompute, compiled in ((False, False), (False, True), (True, False)):
            for sequences in SEQUENCES:
                planned = training_memory(config, sequences, recompute=recompute, compiled=compiled)
                if planned > whole:
                    continue
                report(f"{name}: {sequences} sequences")
                yield MemoryRow(
                    shape=name,
                    sequences=sequences,
                    recompute=recompute,
                    compiled=compiled,
                    planned=planned,
                    peak=_measured(config, sequences, recompute=recompute, compiled=compiled),
                )


def _measured(config: DenseConfig, sequences: int, *, recompute: bool, compiled: bool) -> int | None:
    try:
        return _peak(config, sequences, recompute=recompute, compiled=compiled)
    except torch.OutOfMemoryError:
        return None


def _peak(config: DenseConfig, sequences: int, *, recompute: bool, compiled: bool) -> int:
    """Largest memory that tensors held in a step, bytes."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    with torch.device("cuda"):
        model = decoder(config)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.02)
    model.recompute = recompute
    if compiled:
        torch.compiler.reset()
        for block in model.blocks:
            block.compile()
    optimiser = AdamW(model, OPTIMISER, ())
    tokens = torch.randint(0, config.vocab_size, (sequences, config.sequence_length + 1), device="cuda")
    for _ in range(STEPS):
        with torch.autocast("cuda", torch.bfloat16):
            descend, _report = model.loss(tokens)
        descend.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP, foreach=True)
        optimiser.step(RATE)
    return torch.cuda.max_memory_allocated()
