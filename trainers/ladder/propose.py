"""Which small runs to train for a forecast of a large one, within a share of the large one's FLOPs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from trainers.ladder.budget import PUBLISHED, Bill, Workload, bill, counted_workload, named_workload, trained_on
from trainers.ladder.forecast import parse_target
from trainers.names import find
from trainers.pretraining.presets import SCALES, run_name
from trainers.process.errors import TrainerError

T = TypeVar("T")
MULTIPLES = (1.0, 2.0, 5.0, 10.0)
LEAST_SIZES, LEAST_MULTIPLES = 3, 3
"""Fewer sizes or multiples do not determine step 1's five parameters."""
HALF_WIDTH_NOISE, HALF_WIDTH_GROWTH = 0.015, 0.0135
"""Of a predictable task's band on the published ladder: at no reach, and per log of compute ahead (docs/ladder.md)."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """The runs to train, cheapest first."""

    runs: tuple[Bill, ...]
    flops: float
    share: float
    """Of the target's FLOPs."""
    reach: float
    """Target's FLOPs over those of the largest run."""
    width: float
    """Expected width of a predictable task's 90% band, 0..1."""


def propose(target: Workload, budget: float, *, gpu: str = "h100", gpus: int = 8, price: float = 2.5) -> Proposal:
    """The ladder whose largest run comes nearest to the target, and of those the one with the most runs.

    Candidates are neighbouring sizes of the ladder family below the target times neighbouring multiples, with or
    without their dearest runs.

    Args:
        budget: FLOPs of all runs together.

    Raises:
        TrainerError: a budget that three sizes at three multiples exceed.
    """
    sizes = [s.name for s in SCALES.values() if s.family == "ladder"]
    cost = {run: named_workload(run).flops for size in sizes for run in (run_name(size, m) for m in MULTIPLES)}
    below = [size for size in sizes if named_workload(run_name(size, 1)).parameters < target.parameters]
    best: tuple[float, int, tuple[str, ...]] | None = None
    for chosen, multiples in itertools.product(
        _neighbours(below, LEAST_SIZES), _neighbours(MULTIPLES, LEAST_MULTIPLES)
    ):
        grid = sorted((run_name(s, m) for s in chosen for m in multiples), key=cost.__getitem__)
        for count in range(len(grid), LEAST_SIZES * LEAST_MULTIPLES - 1, -1):
            runs = tuple(grid[:count])
            kept = {run.rsplit("-", 1)[0] for run in runs}
            if len(kept) < LEAST_SIZES or sum(cost[run] for run in runs) > budget:
                continue
            best = max(best or (0.0, 0, ()), (cost[runs[-1]], len(runs), runs))
    if best is None:
        if len(below) < LEAST_SIZES:
            raise TrainerError(f"{target.name} is too small a target for a ladder", "name one above 760M parameters")
        least = sum(
            cost[run_name(size, multiple)] for size in below[:LEAST_SIZES] for multiple in MULTIPLES[:LEAST_MULTIPLES]
        )
        raise TrainerError(
            f"a budget of {budget:.3g} FLOPs is too small for a ladder",
            f"three sizes at three multiples take {least:.3g} FLOPs",
        )
    bills = tuple(bill(named_workload(run), gpu=gpu, gpus=gpus, price=price) for run in best[2])
    total = sum(one.flops for one in bills)
    ahead = target.flops / best[0]
    width = 2 * float(np.hypot(HALF_WIDTH_NOISE, HALF_WIDTH_GROWTH * max(np.log(ahead), np.log(2))))
    return Proposal(runs=bills, flops=total, share=total / target.flops, reach=ahead, width=width)


def _neighbours(values: Sequence[T], least: int) -> list[tuple[T, ...]]:
    return [tuple(values[i:j]) for i in range(len(values)) for j in range(i + least, len(values) + 1)]


def target_workload(text: str) -> Workload:
    """The target that `text` names: "7B-4T" (a ladder size and its tokens), "7B-5xC", "7B-1x", or NAME=PARAMS,TOKENS.

    Raises:
        TrainerError: none of these.
    """
    if "=" in text:
        target = parse_target(text, {})
        return counted_workload(target.parameters, target.tokens)
    match = re.fullmatch(r"(?P<size>.+)-(?P<tokens>\d+(\.\d+)?)(?P<unit>[BT])", text, re.IGNORECASE)
    size = find(match["size"], SCALES) if match else None
    if match is None or size is None or find(text, PUBLISHED) is not None:
        return named_workload(text)
    unit = match["unit"].upper()
    tokens = float(match["tokens"]) * {"B": 1e9, "T": 1e12}[unit]
    return trained_on(run_name(size, 1), tokens, f"{size}-{match['tokens']}{unit}")
