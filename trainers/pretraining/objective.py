"""Pretraining: predict the next token of sequences from shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from trainers.core.expert_balance import ExpertBalance, routing_sums
from trainers.core.objective import Loss, Objective
from trainers.core.ranks import Ranks, put
from trainers.data.mixing import Sourced
from trainers.data.shards import Sequences, Tokens
from trainers.data.tokenizer_digest import check_same_tokenizer, tokenizer_digest
from trainers.models.config import active_parameter_count, flops_per_token, parameter_count, total_parameter_count
from trainers.models.decoder import decoder
from trainers.models.dense import DenseDecoder
from trainers.models.moe import MoEDecoder
from trainers.pretraining.config import Resolved, balanced, check_groups
from trainers.pretraining.heldout import measure
from trainers.pretraining.source_losses import SourceLosses
from trainers.process.files import write_text
from trainers.process.run_folder import TOKENIZER

ROUTER, FEED_FORWARD = "feed_forward.router.weight", ("feed_forward.gate_up", "feed_forward.down")


def first_weight(name: str, weights: Mapping[str, Tensor], shape: Sequence[int]) -> Tensor | None:
    """The weight that the parameter `name` begins with; None where it stays as drawn.

    In a mixture that begins as a dense model, every expert begins as the dense layer, and the router stays as drawn
    (arXiv 2212.05055, section 2.2).

    Args:
        weights: by name, of the model to begin with.
        shape: of the parameter.
    """
    if name in weights:
        return weights[name]
    if name.endswith(ROUTER):
        return None
    if name.endswith(FEED_FORWARD):
        return weights[f"{name}.weight"].expand(*shape)
    raise KeyError(name)


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
        self.source_losses = SourceLosses(max(1, len(self.config.sources)))
        self._balanced = balanced(self.preset.model)
        self._counts_LE: Tensor | None = None
        if self._balanced is not None:
            self.surveys = not self._balanced.load_balancing_sequences
            self.entry_points = (*self.entry_points, "expert_counts")
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
                if (first := first_weight(name, weights, parameter.shape)) is not None:
                    put(parameter, first)
            self._initial = None

    def prepare(self, out: Path) -> None:
        """Keep the shards' tokenizer beside the checkpoints, for whoever asks the model for text."""
        check_groups(self._balanced, self.config, self.preset.batch, self.ranks.count)
        tokenizer = Path(self.config.shards) / TOKENIZER
        there = tokenizer_digest(out / TOKENIZER)
        check_same_tokenizer(self.heldout.split.tokenizer, there, ours=self.config.shards, theirs=f"the run in {out}")
        if tokenizer.is_file():
            write_text(out / TOKENIZER, tokenizer.read_text(encoding="utf-8"))

    def weight(self, samples: Tokens | Sourced) -> float:
        """Every sequence predicts as many tokens."""
        return len(samples)

    def placeholder(self) -> Tokens:
        return np.zeros((1, self.preset.model.sequence_length + 1), dtype=np.int64)

    def loss(self, model: nn.Module, samples: Tokens | Sourced, device: torch.device) -> Loss:
        ours = cast(DenseDecoder, model)
        given, source_B = (samples.samples, samples.source_B) if isinstance(samples, Sourced) else (samples, None)
        tokens, z_loss = torch.from_numpy(given).to(device), self.preset.optimiser.z_loss
        if isinstance(ours, MoEDecoder) and self.surveys:
            descend, report = ours.loss(tokens, z_loss, self._counts_of_batch())
        else:
            descend, report = ours.loss(tokens, z_loss)
        by_source = None if source_B is None else self.source_losses.of(ours.nats_BT, source_B)
        return Loss(descend, report, (routing_sums(ours), by_source))

    def _counts_of_batch(self) -> Callable[[Tensor], Tensor] | None:
        """From the expert counts of some samples to those of the step's batch; None where the samples are the batch."""
        surveyed = self._counts_LE
        if surveyed is not None:
            return lambda _: surveyed
        return self.ranks.totals if self.ranks.count > 1 else None

    def survey(self, model: nn.Module, samples: Tokens | Sourced, device: torch.device) -> Tensor:
        tokens = samples.samples if isinstance(samples, Sourced) else samples
        return cast(MoEDecoder, model).expert_counts(torch.from_numpy(tokens).to(device))

    def surveyed(self, total: Tensor) -> None:
        self._counts_LE = total

    def begin_step(self) -> None:
        self.balance.clear()
        self._counts_LE = None

    def note(self, notes: Any, share: float) -> None:
        routing, by_source = notes
        self.balance.add(routing, share)
        if by_source is not None:
            self.source_losses.add(by_source)

    def measure(self, model: nn.Module, ranks: Ranks, samples: int) -> dict[str, float]:
        limit = self.config.heldout_sequences
        found = measure(cast(DenseDecoder, model), self.heldout, limit, ranks=ranks, batch=samples * ranks.count)
        return asdict(found)

    def columns(self, ranks: Ranks) -> dict[str, Any]:
        return self.balance.report(ranks) | self.source_losses.column(ranks)

    def restore(self, state: Mapping[str, Any]) -> None:
        sums = state.get("source_losses")
        if sums is not None and len(sums[0]) == len(self.config.sources):
            self.source_losses.restore(sums, self.ranks)

    def measured_columns(self, measured: Mapping[str, float]) -> dict[str, Any]:
        return {f"heldout_{name}": measured[name] for name in ("nats_per_token", "bits_per_byte")}

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
        several = len(self.config.sources) > 1
        return {"eot": self.eot} | ({"source_losses": self.source_losses.state(self.ranks)} if several else {})
