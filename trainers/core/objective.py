"""What a run trains, and by which loss: the seam between the training loop and everything that is trained.

The loop (core/loop.py) owns what all runs share: resuming, ranks, microbatches, clipping, the optimiser, checkpoints,
metrics. An objective owns the rest: the model, the loss of some samples, and what else to measure and to keep.
Pretraining is one (pretraining/objective.py), fine-tuning, preferences and reinforcement learning are others
(posttraining/).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainers.core.ranks import Ranks


@dataclass(frozen=True)
class Loss:
    """The loss of some samples."""

    descend: Tensor
    """Scalar, the mean over the samples' weight: its gradient is followed."""
    report: Tensor
    """Scalar, the same mean without terms that only guide training; goes into metrics and guards against spikes."""
    notes: Any = None
    """Passed to `Objective.note`. It must hold no graph: it lives until the step ends."""


class Objective(ABC):
    """A model and its loss. `loss` may run in several threads at a time, on twins of the model that share its weights;
    every other method runs in one."""

    kind: str
    """The verb of the command, such as "pretrain": names the work in progress reports."""
    undecayed: tuple[str, ...] = ()
    """Names of parameters without weight decay."""
    entry_points: tuple[str, ...] = ()
    """Methods of the model, besides `forward`, that `loss`, `survey` and `measure` call: FSDP must know them."""
    ranks: Ranks = Ranks()
    """The ranks of the run. The loop sets it before it calls any method."""
    surveys: bool = False
    """Whether the loss of some samples depends on all samples of the step, as a balance over the batch does."""

    @abstractmethod
    def build(self) -> nn.Module:
        """The model to train, its weights not yet set; on torch's default device, which may be the meta device."""

    @abstractmethod
    def initialise(self, model: nn.Module) -> None:
        """Set every weight and buffer of the built model, the same on every rank.

        A parameter may hold only this rank's part of a tensor: `core.ranks.put` stores a whole one in it.
        """

    def blocks(self, model: nn.Module) -> Sequence[nn.Module]:
        """Parts of the model that are compiled and sharded each by itself, such as its layers."""
        del model
        return ()

    def prepare(self, out: Path) -> None:
        """Called once in the run's folder before the first step, for files that belong beside the checkpoints."""
        del out

    @abstractmethod
    def weight(self, samples: Any) -> float:
        """How much these samples of the loader count in their batch: 1 a sequence or pair, or their target tokens.

        The gradient of a step is the mean of the losses by this weight over the whole batch, all ranks together.
        """

    def divisor(self, weight: float) -> float:
        """What the sum of a step's losses, each times its weight, is divided by before its gradient is followed.

        Args:
            weight: of the whole batch, all ranks together: the gradient is that of the mean where this is returned, as
                it is unless an objective says otherwise. What is reported is the mean in any case.
        """
        return weight

    @abstractmethod
    def placeholder(self) -> Any:
        """One sample of the usual shape. Ranks compute together, so one without samples takes this; it counts 0."""

    @abstractmethod
    def loss(self, model: nn.Module, samples: Any, device: torch.device) -> Loss:
        """The loss of the samples, which are on the CPU as the loader gave them."""

    def survey(self, model: nn.Module, samples: Any, device: torch.device) -> Tensor:
        """What the losses of a step must know of all its samples: here of some of them, as sums that add up.

        Where `surveys` is set and a step is computed in several pieces, the loop calls this without gradients for every
        piece, and passes the sum over pieces and ranks to `surveyed` before the first call of `loss`. Where each rank
        computes its samples at once, `loss` must add up what it needs over `ranks` itself.
        """
        raise NotImplementedError

    def surveyed(self, total: Tensor) -> None:
        """Take the sum of `survey` over all samples of the step that begins."""
        del total

    def begin_step(self) -> None:
        """Forget the notes and the survey of the step before."""
        return

    def note(self, notes: Any, share: float) -> None:
        """Take the notes of samples that are a `share` (0 .. 1) of the batch, in the order of the samples."""
        del notes, share

    def measure(self, model: nn.Module, ranks: Ranks, samples: int) -> dict[str, float]:
        """Numbers that say how good the model is, such as its loss on held-out data; every rank calls this.

        It is called after the checkpoint of its step, in the precision of the run. It changes nothing: a run that was
        stopped in it calls it again.

        Args:
            samples: the most that a rank computes at a time in training, which is as many as fit in memory.
        """
        del model, ranks, samples
        return {}

    def columns(self, ranks: Ranks) -> dict[str, Any]:
        """Further columns of a row of metrics.jsonl, about the steps before it. Every rank calls this."""
        del ranks
        return {}

    def measured_columns(self, measured: Mapping[str, float]) -> dict[str, Any]:
        """Further columns of the row of a step that was measured."""
        return dict(measured)

    @abstractmethod
    def tokens(self, step: int) -> int:
        """Tokens trained on in the first `step` steps, over all ranks."""

    def flops(self, tokens: int) -> int | None:
        """Training FLOPs of that many tokens, for the utilisation of the device; None where nobody counts them."""
        del tokens
        return None

    def result(self, tokens: int, measured: Mapping[str, float]) -> dict[str, Any]:
        """Further fields of result.json of a run that ended after `tokens`, with its last measurement."""
        del tokens
        return dict(measured)

    def rates(self, step: int) -> Mapping[str, float]:
        """Learning rates of optimiser step `step`, from 1, for parts of the model that do not follow the plan's.

        A key is what the names of the part's parameters begin with, such as "vision.".
        """
        del step
        return {}

    def state(self) -> dict[str, Any]:
        """JSON values of its own that a checkpoint must carry, under names that no other field of state.json has."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; called with the whole of state.json before the first step of a resumed run."""
        del state


def check_state(own: Mapping[str, Any], reserved: Iterable[str]) -> None:
    """Raises ValueError when an objective's state would hide a field of the loop's own."""
    hidden = sorted(own.keys() & set(reserved))
    if hidden:
        raise ValueError(f"an objective's state may not be called {', '.join(hidden)}")
