"""Pretraining: predict the next token of sequences from shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from trainers.core.objective import Loss, Objective
from trainers.core.ranks import Ranks, put
from trainers.data.shards import Sequences, Tokens
from trainers.models.config import active_parameter_count, flops_per_token, parameter_count, total_parameter_count
from trainers.models.decoder import decoder
from trainers.models.dense import DenseDecoder
from trainers.pretraining.balance import ExpertBalance, routing_sums
from trainers.pretraining.config import Resolved
from trainers.pretraining.heldout import measure
from trainers.process.files import write_text
from trainers.process.run_folder import TOKENIZER


class Pretraining(Objective):
    """Next-token cross-entropy, with held-out bits per byte and, of a mixture, the balance of its experts.

    Args:
        eot: the token that ends a document in the shards.
        initial: the model whose weights the run begins with, on the CPU; None draws them.
    """

    kind = "pretrain"
    entry_points = ("loss", "nats")

    def __init__(self, resolved: Resolved, heldout: Sequences, eot: int, initial: DenseDecoder | None = None) -> None:
        self.config, self.preset = resolved.config, resolved.preset
        self.heldout, self.eot = heldout, eot
        self.undecayed = () if self.preset.optimiser.decay_embedding else ("embedding.weight",)
        self.balance = ExpertBalance(self.preset.model)
        self._initial = initial

    def build(self) -> nn.Module:
        model = decoder(self.preset.model)
        model.recompute = self.config.recompute
        return model

    def blocks(self, model: nn.Module) -> Sequence[nn.Module]:
        return list(cast(DenseDecoder, model).blocks)

    def initialise(self, model: nn.Module) -> None:
        cast(DenseDecoder, model).initialise(self.config.seed, put)
        if self._initial is not None:
            weights = self._initial.state_dict()
            for name, parameter in model.named_parameters():
                put(parameter, weights[name])
            self._initial = None

    def prepare(self, out: Path) -> None:
        """Keep the shards' tokenizer beside the checkpoints, for whoever asks the model for text."""
        tokenizer = Path(self.config.shards) / TOKENIZER
        if tokenizer.is_file():
            write_text(out / TOKENIZER, tokenizer.read_text(encoding="utf-8"))

    def weight(self, samples: Tokens) -> float:
        """Every sequence predicts as many tokens."""
        return len(samples)

    def placeholder(self) -> Tokens:
        return np.zeros((1, self.preset.model.sequence_length + 1), dtype=np.int64)

    def loss(self, model: nn.Module, samples: Tokens, device: torch.device) -> Loss:
        ours = cast(DenseDecoder, model)
        descend, report = ours.loss(torch.from_numpy(samples).to(device), self.preset.optimiser.z_loss)
        return Loss(descend, report, routing_sums(ours))

    def begin_step(self) -> None:
        self.balance.clear()

    def note(self, notes: Any, share: float) -> None:
        self.balance.add(notes, share)

    def measure(self, model: nn.Module, ranks: Ranks) -> dict[str, float]:
        found = measure(cast(DenseDecoder, model), self.heldout, self.config.heldout_sequences, ranks=ranks)
        return asdict(found)

    def columns(self, measured: Mapping[str, float] | None, ranks: Ranks) -> dict[str, Any]:
        names = ("nats_per_token", "bits_per_byte") if measured is not None else ()
        return {f"heldout_{name}": (measured or {})[name] for name in names} | self.balance.report(ranks)

    def tokens(self, step: int) -> int:
        return step * self.preset.batch * self.preset.model.sequence_length

    def flops(self, tokens: int) -> int:
        return flops_per_token(self.preset.model) * tokens

    def result(self, tokens: int, measured: Mapping[str, float]) -> dict[str, Any]:
        model = self.preset.model
        return {
            "preset": self.config.preset,
            "seed": self.config.seed,
            "parameters": parameter_count(model),
            "total_parameters": total_parameter_count(model),
            "active_parameters": active_parameter_count(model),
            "flops_per_token": flops_per_token(model),
            "flops": self.flops(tokens),
            "heldout_nats_per_token": measured["nats_per_token"],
            "heldout_bits_per_byte": measured["bits_per_byte"],
        }

    def state(self) -> dict[str, Any]:
        return {"eot": self.eot}
