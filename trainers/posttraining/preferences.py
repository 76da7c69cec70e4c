"""Learning from preferences without a reward model: DPO and its kin on pairs, and KTO on single texts.

Shape suffixes: P pairs, S texts, N trained positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers.core.objective import Loss
from trainers.core.ranks import Ranks
from trainers.models.dense import DenseDecoder
from trainers.models.loss import TokenScores
from trainers.posttraining import losses
from trainers.posttraining.begin import Beginning
from trainers.posttraining.config import PreferenceConfig
from trainers.posttraining.examples import Example, Examples, Make
from trainers.posttraining.labels import Labelled
from trainers.posttraining.layout import Layout
from trainers.posttraining.losses import PairLoss
from trainers.posttraining.objective import Notes, PostTraining, Sample
from trainers.posttraining.reference import Reference
from trainers.posttraining.rows import Message, UnusableRow, both_chats, messages_of, tools_of

CHOSEN, REJECTED = 0, 1


def pairs(beginning: Beginning) -> Make:
    """From a row with `chosen` and `rejected` to a pair of texts, whose last replies are compared."""

    def make(row: dict[str, Any]) -> list[list[tuple[Labelled, int]]]:
        tools = tools_of(row)
        return [[(_last(beginning, chat, tools), which) for which, chat in enumerate(both_chats(row))]]

    return make


def singles(beginning: Beginning) -> Make:
    """From a row with `messages` and `label`, or with `chosen` and `rejected`, to texts by themselves."""

    def make(row: dict[str, Any]) -> list[list[tuple[Labelled, int]]]:
        tools = tools_of(row)
        if "messages" not in row:
            return [[(_last(beginning, chat, tools), which)] for which, chat in enumerate(both_chats(row))]
        if not isinstance(row.get("label"), bool):
            raise UnusableRow("its label is neither true nor false")
        return [[(_last(beginning, messages_of(row), tools), CHOSEN if row["label"] else REJECTED)]]

    return make


def _last(beginning: Beginning, chat: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None) -> Labelled:
    return beginning.fit(beginning.format.labelled(chat, tools)[-1])


class Preferences(PostTraining):
    """What DPO and KTO share: a reference whose log-probabilities are computed once."""

    kind = "dpo"

    def __init__(self, beginning: Beginning, examples: Examples, heldout: Examples | None) -> None:
        self.preferences = cast(PreferenceConfig, beginning.config)
        super().__init__(beginning, examples, seed=beginning.config.seed, lines=self.preferences.sample_losses)
        self.heldout = heldout
        self.reference: NDArray[np.float64] | None = None
        """Of each example, the sum of its log-probabilities; None where the loss has no reference."""
        self.heldout_reference: NDArray[np.float64] | None = None

    @property
    def refers(self) -> bool:
        """Whether the loss has a reference."""
        return self.preferences.loss != "simpo"

    def prepare(self, out: Path) -> None:
        super().prepare(out)
        if self.refers:
            reference = Reference(self.beginning, self.preferences.reference, self.ranks)
            self.reference = reference.cached(out / "reference.npz", self.examples, self.texts_to_score(self.examples))
            if self.heldout is not None:
                place, texts = out / "heldout_reference.npz", self.texts_to_score(self.heldout)
                self.heldout_reference = reference.cached(place, self.heldout, texts)

    def texts_to_score(self, examples: Examples) -> Sequence[Any]:
        """The texts whose log-probabilities the reference gives."""
        return [examples.example(number) for number in range(len(examples) * examples.together)]

    def weight(self, samples: list[Sample]) -> float:
        return float(len(samples))

    def scored(self, model: nn.Module, texts: Sequence[Any], device: torch.device) -> tuple[Layout, TokenScores]:
        """The texts as rows, and what the policy says of their trained tokens."""
        layout = self.laid_out(texts, device)
        scores = cast(DenseDecoder, model).score(
            layout.tokens_BT, layout.target_BT, layout.chosen_BT, documents=layout.documents
        )
        return layout, scores


class DirectPreference(Preferences):
    """-log sigmoid of a margin between the texts of a pair; the mean over pairs."""

    def loss(self, model: nn.Module, samples: list[Sample], device: torch.device) -> Loss:
        texts = [text for pair in samples for text in pair]
        layout, scores = self.scored(model, texts, device)
        found, sft = self.of_pairs(layout, scores, texts, self.reference)
        term, routing = self.router_terms(model, layout, self.weight(samples))
        loss = found.loss_P.mean()
        report = loss.detach()
        if self.preferences.sft_weight:
            loss = loss + self.preferences.sft_weight * sft
        return Loss(loss + term, report, pair_notes(found, samples, routing))

    def of_pairs(
        self, layout: Layout, scores: TokenScores, texts: Sequence[Example], reference: NDArray[np.float64] | None
    ) -> tuple[PairLoss, Tensor]:
        """The losses of pairs, and the mean cross-entropy of the chosen texts."""
        config = self.preferences
        sums_S, counts_S = layout.sums(scores.logprob_N), layout.counts
        means_S = sums_S / counts_S
        sft = -means_S[CHOSEN::2].mean()
        if config.loss == "simpo":
            return losses.simpo_loss(means_S[CHOSEN::2], means_S[REJECTED::2], config.beta, config.gamma), sft
        assert reference is not None
        theirs_S = torch.from_numpy(reference[[text.number for text in texts]]).to(sums_S)
        ours_S = sums_S
        if config.loss == "dpo_norm":
            ours_S, theirs_S = means_S, theirs_S / counts_S
        found = losses.dpo_loss(
            ours_S[CHOSEN::2],
            ours_S[REJECTED::2],
            theirs_S[CHOSEN::2],
            theirs_S[REJECTED::2],
            beta=config.beta,
            label_smoothing=config.label_smoothing,
        )
        if config.loss == "wpo":
            aligned_S = layout.sums(scores.logprob_N.detach() - scores.collision_N) / counts_S
            weight_P = losses.wpo_weights(aligned_S[CHOSEN::2], aligned_S[REJECTED::2])
            found = PairLoss(weight_P * found.loss_P, found.chosen_P, found.rejected_P)
        return found, sft

    def measure(self, model: nn.Module, ranks: Ranks, samples: int) -> dict[str, float]:
        def measured(model: nn.Module, batch: list[Sample], device: torch.device) -> Tensor:
            texts = [text for pair in batch for text in pair]
            found, _ = self.of_pairs(*self.scored(model, texts, device), texts, self.heldout_reference)
            right = (found.chosen_P > found.rejected_P).sum()
            return torch.stack([found.loss_P.sum(), right, torch.tensor(float(len(batch)), device=device)])

        return pair_measures(self.over(model, self.heldout, ranks, samples, measured))


class Kahneman(Preferences):
    """KTO: each text by itself is good or bad, against the policy's mean distance from the reference."""

    asks = 2

    def texts_to_score(self, examples: Examples) -> Sequence[Any]:
        own = [examples.example(number) for number in range(len(examples))]
        return [*own, *(mismatched(examples, text) for text in own)]

    def asked(self, model: nn.Module, samples: list[Sample], device: torch.device) -> Tensor:
        """The sum over mismatched prompts and replies of log policy / reference, and their number."""
        assert self.reference is not None
        texts = [text for (text,) in samples]
        layout, scores = self.scored(model, [mismatched(self.examples, text) for text in texts], device)
        theirs = self.reference[[len(self.examples) + text.number for text in texts]]
        difference = layout.sums(scores.logprob_N).double() - torch.from_numpy(theirs).to(device)
        return torch.stack([difference.sum(), difference.new_tensor(float(len(texts)))])

    def loss(self, model: nn.Module, samples: list[Sample], device: torch.device) -> Loss:
        total, count = self.of_step(model, samples, device)
        kl = (total / count).clamp(min=0).float()
        texts = [text for (text,) in samples]
        layout, scores = self.scored(model, texts, device)
        assert self.reference is not None
        ours_S = layout.sums(scores.logprob_N)
        theirs_S = torch.from_numpy(self.reference[[text.number for text in texts]]).to(ours_S)
        good_S = torch.tensor([text.group == CHOSEN for text in texts], device=device)
        config = self.preferences
        found = losses.kto_loss(
            ours_S,
            theirs_S,
            good_S,
            kl,
            beta=config.beta,
            desirable_weight=config.desirable_weight,
            undesirable_weight=config.undesirable_weight,
        )
        term, routing = self.router_terms(model, layout, self.weight(samples))
        rows = [
            {"row": text.row, "example": text.number, "desirable": text.group == CHOSEN, "loss": loss, "reward": reward}
            for text, loss, reward in zip(texts, found.loss_S.tolist(), found.reward_S.tolist(), strict=True)
        ]
        sums = {
            "kl": kl.item() * len(texts),
            "reward_desirable": found.reward_S[good_S].sum().item(),
            "reward_undesirable": found.reward_S[~good_S].sum().item(),
        }
        loss = found.loss_S.mean()
        return Loss(loss + term, loss.detach(), Notes(sums, len(texts), rows, routing))


def mismatched(examples: Examples, text: Example) -> Labelled:
    """The prompt of a text with the reply of the next one that was made of another row."""
    count = len(examples)
    step = next((step for step in range(1, count) if int(examples.rows[(text.number + step) % count]) != text.row), 0)
    other = examples.example((text.number + step) % count)
    prompt, reply = int(np.argmax(text.labels)), int(np.argmax(other.labels))
    tokens = np.concatenate([text.tokens[:prompt], other.tokens[reply:]])
    labels = np.concatenate([text.labels[:prompt], other.labels[reply:]])
    longest = max(len(text), len(other))
    return Labelled(tokens[:longest], labels[:longest])


def pair_notes(found: PairLoss, samples: Sequence[Sample], routing: Any) -> Notes:
    """What pairs add to the metrics, and a line for each."""
    values = zip(samples, found.loss_P.tolist(), found.chosen_P.tolist(), found.rejected_P.tolist(), strict=True)
    rows = [
        {
            "row": pair[0].row,
            "example": pair[0].number,
            "loss": loss,
            "margin": chosen - rejected,
            "chosen_reward": chosen,
            "rejected_reward": rejected,
        }
        for pair, loss, chosen, rejected in values
    ]
    sums = {
        "accuracy": float(sum(row["margin"] > 0 for row in rows)),
        **{name: sum(row[name] for row in rows) for name in ("margin", "chosen_reward", "rejected_reward")},
    }
    return Notes(sums, len(rows), rows, routing)


def pair_measures(found: Tensor | None) -> dict[str, float]:
    """The measurement of held-out pairs from the sums of losses, pairs in the right order, and pairs."""
    if found is None:
        return {}
    loss, right, count = found.tolist()
    return {"heldout_loss": loss / count, "heldout_accuracy": right / count}
