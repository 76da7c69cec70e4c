"""A reward model: a decoder with a number at the end of each text, trained on pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from trainers.core.loading import DECODER
from trainers.core.objective import Loss
from trainers.core.ranks import Ranks, put
from trainers.models.moe import MoEDecoder
from trainers.posttraining.begin import Beginning
from trainers.posttraining.config import RewardConfig
from trainers.posttraining.examples import Examples
from trainers.posttraining.layout import Layout, laid_out
from trainers.posttraining.losses import ranking_loss
from trainers.posttraining.models import Scorer, buffers_of
from trainers.posttraining.objective import PostTraining, Sample
from trainers.posttraining.preferences import CHOSEN, REJECTED, pair_measures, pair_notes


class Ranking(PostTraining):
    """-log sigmoid(chosen - rejected - margin) of two scores, each read at the last token of its text."""

    kind = "reward"

    def __init__(self, beginning: Beginning, examples: Examples, heldout: Examples | None) -> None:
        config = cast(RewardConfig, beginning.config)
        super().__init__(beginning, examples, seed=config.seed, lines=config.sample_losses)
        self.margin, self.heldout = config.margin, heldout
        self.undecayed = ("decoder.embedding.weight",)
        self.entry_points = ()

    def build(self) -> nn.Module:
        model = Scorer(self.model_config)
        model.decoder.recompute = self.config.recompute
        return model

    def blocks(self, model: nn.Module) -> Sequence[nn.Module]:
        return list(cast(Scorer, model).decoder.blocks)

    def initialise(self, model: nn.Module) -> None:
        assert self._initial is not None
        cast(Scorer, model).begin(self._initial, self.config.seed, put)
        with torch.no_grad():
            buffers_of(model)
        self._initial = None

    def laid_out(self, texts: Sequence[Any], device: torch.device) -> Layout:
        length = self.beginning.length
        return laid_out(texts, device, packed=self.config.packed, length=length, to_the_end=True)

    def read(self, model: nn.Module, layout: Layout) -> None:
        model(layout.tokens_BT, layout.documents)

    def router(self, model: nn.Module) -> MoEDecoder:
        return cast(MoEDecoder, cast(Scorer, model).decoder)

    def weight(self, samples: list[Sample]) -> float:
        return float(len(samples))

    def scores(self, model: nn.Module, layout: Layout) -> Tensor:
        """(S,): the score of each text."""
        return model(layout.tokens_BT, layout.documents)[layout.ends_2S[0], layout.ends_2S[1]]

    def loss(self, model: nn.Module, samples: list[Sample], device: torch.device) -> Loss:
        layout = self.laid_out(self.texts_of(samples), device)
        scores_S = self.scores(model, layout)
        found = ranking_loss(scores_S[CHOSEN::2], scores_S[REJECTED::2], self.margin)
        term, routing = self.router_terms(model, layout, self.weight(samples))
        loss = found.loss_P.mean()
        return Loss(loss + term, loss.detach(), pair_notes(found, samples, routing))

    def measure(self, model: nn.Module, ranks: Ranks, samples: int) -> dict[str, float]:
        def measured(model: nn.Module, batch: list[Sample], device: torch.device) -> Tensor:
            scores_S = self.scores(model, self.laid_out(self.texts_of(batch), device))
            found = ranking_loss(scores_S[CHOSEN::2], scores_S[REJECTED::2], self.margin)
            right = (found.chosen_P > found.rejected_P).sum()
            return torch.stack([found.loss_P.sum(), right, torch.tensor(float(len(batch)), device=device)])

        return pair_measures(self.over(model, self.heldout, ranks, samples, measured))

    def state(self) -> dict[str, Any]:
        return {**super().state(), DECODER: "decoder."}
