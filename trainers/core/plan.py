"""A run as the training loop takes it: the options that every training command shares, and the run worked out.

Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from trainers.core.optimiser import Optimiser

if TYPE_CHECKING:
    from trainers.core.start import Start

Dtype = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """The options that every training command shares. None of them decides more of the weights than rounding, but
    `dtype`."""

    out: str
    """Run folder: checkpoints, metrics.jsonl and result.json go here. One folder, one run."""
    run: str = ""
    """A label for result.json and progress; the command's own default when empty."""
    threads: int = 1
    """Threads of torch within one operation; 0 leaves torch's own choice. Tiny models gain little from a second."""
    workers: int = 0
    """Threads that share the parts of a batch on a CPU, each with its own forward and backward pass; 0: one a core, at
    most one a part. Their number never changes the weights."""
    parts: int = 0
    """Parts of a batch on a CPU whose gradients are computed apart and added in order; 0: as the command finds best for
    the model's size. Weights depend on it in rounding."""
    device: str = "auto"
    """"auto" takes a GPU when there is one; else "cpu", "cuda" or "cuda:1"."""
    dtype: Dtype = "float32"
    """"bfloat16" runs matrix products in bfloat16 (autocast); weights stay in float32."""
    compile: bool = False
    """torch.compile each block; on a CPU this needs a C++ compiler and a minute, too long for a tiny model."""
    microbatch: int = 0
    """Samples a forward pass; gradients are added up to the whole batch. 0: the whole batch, or part, at once."""
    checkpoint_every: int = 0
    """Steps between checkpoints; 0: a quarter of the run. There is always one at the end."""
    checkpoint_minutes: float = 30.0
    """Minutes after which there is a checkpoint in any case, until the next one replaces it; 0: none by time. SIGTERM
    and SIGINT save one too, and end the process with exit code 75."""
    keep_checkpoints: int = 3
    """Newest checkpoints kept; 0 keeps all."""
    evaluate_every: int = 0
    """Steps between measurements of the model; 0: only at the end."""
    log_every: int = 0
    """Steps a row of metrics.jsonl; 0: a two-hundredth of the run."""
    spike: float = 2.0
    """A loss this many nats above its running mean stops the run and keeps its last checkpoint; 0: only a loss that is
    not finite does."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run, worked out from its configuration and its data."""

    config: LoopConfig
    name: str
    """Of the run, in reports."""
    optimiser: Optimiser
    batch: int
    """Samples an optimiser step, over all ranks."""
    steps: int
    identity: dict[str, Any]
    """The literals that decide the weights; kept in config.json and in every checkpoint."""
    fingerprint: str
    """Hex SHA-256 of the identity."""
    parts: int = 1
    """Parts of a batch on a CPU where the configuration leaves it open."""
    start: Start | None = None
    """What is taken over from a checkpoint of another run, which the identity names."""
    lineage: tuple[dict[str, Any], ...] = ()
    """The checkpoints that the run descends from, the oldest first; recorded with its own."""
