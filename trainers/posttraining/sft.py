"""Supervised fine-tuning: the cross-entropy of the model's own words in chats."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from trainers.core.objective import Loss
from trainers.core.ranks import Ranks
from trainers.models.dense import DenseDecoder
from trainers.posttraining.begin import Beginning
from trainers.posttraining.config import SFTConfig
from trainers.posttraining.examples import Examples, Make
from trainers.posttraining.layout import Layout
from trainers.posttraining.objective import Notes, PostTraining, Sample
from trainers.posttraining.rows import messages_of, tools_of


def chats(beginning: Beginning) -> Make:
    """From a row with `messages` and maybe `tools` to its examples: one, or one a reply."""

    def make(row: dict[str, Any]) -> list[list[tuple[Any, int]]]:
        found = beginning.format.labelled(messages_of(row), tools_of(row))
        return [[(beginning.fit(each), 0)] for each in found]

    return make


class FineTuning(PostTraining):
    """-log p of each labelled token, summed; see SFTConfig.reduction for what that is divided by."""

    kind = "sft"

    def __init__(self, beginning: Beginning, examples: Examples, heldout: Examples | None) -> None:
        config = cast(SFTConfig, beginning.config)
        super().__init__(beginning, examples, seed=config.seed, lines=config.sample_losses)
        self.reduction, self.heldout = config.reduction, heldout

    def weight(self, samples: list[Sample]) -> float:
        return float(len(samples) if self.reduction == "examples" else sum(text.targets for (text,) in samples))

    def divisor(self, weight: float) -> float:
        return 1.0 if self.reduction == "sum" else weight

    def _nats(self, model: nn.Module, layout: Layout) -> Tensor:
        """(N,): -log p of each labelled token."""
        scores = cast(DenseDecoder, model).score(
            layout.tokens_BT, layout.target_BT, layout.chosen_BT, documents=layout.documents
        )
        return -scores.logprob_N

    def loss(self, model: nn.Module, samples: list[Sample], device: torch.device) -> Loss:
        texts = [text for (text,) in samples]
        layout = self.laid_out(texts, device)
        nats_N = self._nats(model, layout)
        nats_S, counts_S = layout.sums(nats_N), layout.counts
        mean_S = nats_S / counts_S
        mean = mean_S.mean() if self.reduction == "examples" else nats_S.sum() / counts_S.sum()
        term, routing = self.router_terms(model, layout, self.weight(samples))
        rows = [
            {"row": text.row, "example": text.number, "tokens": count, "loss": loss}
            for text, count, loss in zip(texts, counts_S.tolist(), mean_S.tolist(), strict=True)
        ]
        return Loss(
            mean + term, mean.detach(), Notes({"trained_tokens": counts_S.sum().item()}, len(texts), rows, routing)
        )

    def measure(self, model: nn.Module, ranks: Ranks, samples: int) -> dict[str, float]:
        found = self.over(model, self.heldout, ranks, samples, self._measured)
        if found is None:
            return {}
        nats, tokens = found.tolist()
        return {"heldout_nats_per_token": nats / tokens}

    def _measured(self, model: nn.Module, samples: list[Sample], device: torch.device) -> Tensor:
        layout = self.laid_out([text for (text,) in samples], device)
        return torch.stack([self._nats(model, layout).sum(), layout.counts.sum()])
