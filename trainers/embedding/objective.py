"""What the objectives over pairs of a query and a document share: held-out gain, order, and the state of a run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from trainers.core.objective import Objective
from trainers.core.ranks import Ranks, put
from trainers.data.loader import ShuffledLoader
from trainers.embedding.encoder import Trainable
from trainers.embedding.heldout import Floats, gains
from trainers.embedding.pairs import Pair, Pairs
from trainers.process.errors import TrainerError

SEEDS = 1_000_003


class PairObjective(Objective):
    """Trains a model of sentence-transformers on pairs, and measures held-out queries before and after.

    Args:
        encoder: the model, its adapters put in.
        pairs: the pairs to train on.
        heldout: whether there are held-out pairs.
        seed: decides the order of the pairs, and dropout.
        batch: pairs a step.
    """

    wrapper: type[Trainable] = Trainable
    """How the loop sees the model."""

    def __init__(self, encoder: Any, pairs: Pairs, *, heldout: bool, seed: int, batch: int) -> None:
        self.pairs, self.seed, self.batch = pairs, seed, batch
        self.loader: ShuffledLoader[Pairs] = ShuffledLoader(pairs, seed)
        self._encoder = encoder
        named = {name: p for name, p in encoder.named_parameters() if p.requires_grad}
        self._initial = {name.replace(".", "/"): p.detach().clone() for name, p in named.items()}
        self.parameters = sum(p.numel() for p in named.values())
        self.step = 0
        self._hits, self._seen = 0.0, 0.0
        self._holds_out = heldout
        self._before: Floats | None = None
        self._lengths = self.token_counts()
        self._tokens = [0]

    @abstractmethod
    def token_counts(self) -> np.ndarray:
        """(pairs,): tokens of each pair that are read with gradients."""

    @abstractmethod
    def held_out(self, model: Trainable) -> Floats:
        """(queries, 2): measures of the held-out queries, as `heldout.placed` gives them."""

    def build(self) -> nn.Module:
        return self.wrapper(self._encoder)

    def initialise(self, model: nn.Module) -> None:
        if self.ranks.count > 1:
            raise TrainerError("encoders are trained by one process", "start it without torchrun")
        for name, parameter in model.named_parameters():
            put(parameter, self._initial[name])
        # The loop has moved what is trained; the frozen rest follows.
        first = next(model.parameters(), None)
        if first is None:
            raise TrainerError("the encoder has no weights to train", "give another, or adapters")
        trained = cast(Trainable, model)
        trained.encoder.to(first.device)
        if self._holds_out:
            self._before = self.held_out(trained)
        model.train()

    def prepare(self, out: Path) -> None:
        del out

    def weight(self, samples: list[Pair]) -> float:
        return float(len(samples))

    def placeholder(self) -> list[Pair]:
        return self.pairs.pairs[:2]

    def begin_step(self) -> None:
        self.step += 1
        # Dropout is drawn anew from the step's own seed, so that a resumed run draws the same.
        torch.manual_seed(self.seed * SEEDS + self.step)

    def note(self, notes: tuple[float, int], share: float) -> None:
        if share:
            self._hits, self._seen = self._hits + notes[0], self._seen + notes[1]

    def columns(self, ranks: Ranks) -> dict[str, Any]:
        found = {"accuracy": self._hits / self._seen if self._seen else None}
        self._hits = self._seen = 0.0
        return found

    def measure(self, model: nn.Module, ranks: Ranks, samples: int) -> dict[str, float]:
        """Measures of the held-out queries, and their gain over the model that the run began with."""
        return gains(self._before, self.held_out(cast(Trainable, model))) if self._before is not None else {}

    def tokens(self, step: int) -> int:
        while len(self._tokens) <= step:
            taken = self.loader.items((len(self._tokens) - 1) * self.batch, self.batch)
            self._tokens.append(self._tokens[-1] + int(self._lengths[taken].sum()))
        return self._tokens[step]

    def result(self, tokens: int, measured: Mapping[str, float]) -> dict[str, Any]:
        return {**measured, "pairs": len(self.pairs), "trained_parameters": self.parameters}

    def state(self) -> dict[str, Any]:
        return {"steps_begun": self.step, "accuracy": [self._hits, self._seen]}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.step = int(state["steps_begun"])
        self._hits, self._seen = state["accuracy"]
