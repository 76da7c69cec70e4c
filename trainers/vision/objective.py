"""Training of a model of pictures: the weighted cross-entropy of answers, as an objective of the one loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from trainers.core.loading import DECODER
from trainers.core.objective import Loss, Objective
from trainers.core.optimiser import Optimiser
from trainers.core.ranks import Ranks, put
from trainers.core.schedule import Schedule
from trainers.data.loader import share_of
from trainers.data.mixing import MixedLoader
from trainers.process.errors import TrainerError
from trainers.process.files import write_json
from trainers.process.run_folder import TOKENIZER
from trainers.serving.tokenizers import TextTokenizer
from trainers.vision.config import PARTS, CaptionConfig
from trainers.vision.examples import Examples, Row, Weighting
from trainers.vision.model import VisionLanguageModel
from trainers.vision.shape import VisionLanguageConfig, as_mapping
from trainers.vision.shards import Chats, PictureShards, Sample

MODEL_FILE = "model.json"
"""Beside the checkpoints: the shape of the model."""
SHAPE, END_TOKEN = "vision_language", "eot"
"""Fields of a checkpoint's state."""
Pixmo = PictureShards | Chats


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What a run begins with."""

    shape: VisionLanguageConfig
    tokenizer: TextTokenizer
    end: int
    """The token that ends an answer."""
    weights: Mapping[str, Tensor]
    """Of the parts that were read; those that are missing are drawn."""


@dataclass(frozen=True)
class Notes:
    """Sums over some samples."""

    nats: float
    right: float
    weight: float
    grounding: float
    aiming: float


class Captioning(Objective):
    """-log p of each token of an answer, times the weight of its annotation, over the sum of the weights of the batch.

    Prompts, hints of length and dropout are drawn anew in each step, from its number: a resumed run draws the same.
    """

    kind = "caption"
    entry_points = ("losses", "dense_loss")

    def __init__(
        self,
        config: CaptionConfig,
        beginning: Beginning,
        loader: MixedLoader[Any],
        heldout: Mapping[str, Pixmo],
        *,
        optimiser: Optimiser,
        steps: int,
    ) -> None:
        self.config, self.beginning, self.loader, self.heldout = config, beginning, loader, heldout
        self.rule: Weighting = config.of_stage("weighting")
        self.dropout: float = config.of_stage("dropout")
        self.z_loss, self.seed = optimiser.z_loss, config.seed
        self.dense = config.stage == "dense"
        length = min(config.length or beginning.shape.decoder.sequence_length, beginning.shape.decoder.sequence_length)
        self.examples = Examples(beginning.shape, beginning.tokenizer, beginning.end, length, blind=config.blind)
        rates, warmups = config.of_stage("rates"), config.of_stage("warmups")
        self.schedules = {
            f"{part}.": Schedule(
                name=optimiser.schedule,
                peak=rates[part],
                floor=rates[part] * optimiser.final_fraction,
                warmup_steps=warmups[part],
                steps=steps,
            )
            for part in PARTS
        }
        self.step = 0
        self._tokens = self._here = 0
        self._notes = [0.0] * 4

    # The model

    def build(self) -> nn.Module:
        self.examples.always = self.ranks.count > 1
        if self.config.aiming and self.ranks.count > 1:
            raise TrainerError(
                "aiming is set, and there are several processes", "leave aiming out, or start one process"
            )
        model = VisionLanguageModel(self.beginning.shape)
        model.decoder.recompute = self.config.recompute
        # What embeds or norms is not decayed, as little as biases.
        self.undecayed = tuple(
            n for n, p in model.named_parameters() if p.ndim < 2 or "embedding" in n or "positions" in n
        )
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        return model

    def initialise(self, model: nn.Module) -> None:
        trained = cast(VisionLanguageModel, model)
        new = "decoder.embedding.weight" not in self.beginning.weights
        trained.initialise(self.seed, put, whole_numbers(self.beginning.tokenizer) if new else {})
        for name, parameter in trained.named_parameters():
            found = self.beginning.weights.get(name)
            if found is None:
                continue
            if name.endswith(("embedding.weight", "unembedding.weight")) and len(found) < parameter.shape[0]:
                found = _with_new_rows(found, parameter.shape[0], self.seed)
            put(parameter, found)

    def blocks(self, model: nn.Module) -> Sequence[nn.Module]:
        trained = cast(VisionLanguageModel, model)
        return [*trained.vision.blocks, *trained.decoder.blocks]

    def prepare(self, out: Path) -> None:
        if self.ranks.first:
            self.beginning.tokenizer.save(out / TOKENIZER)
            write_json(out / MODEL_FILE, {SHAPE: as_mapping(self.beginning.shape), END_TOKEN: self.beginning.end})
        self.ranks.from_first(None)

    def rates(self, step: int) -> Mapping[str, float]:
        return {part: schedule.rate(step) for part, schedule in self.schedules.items()}

    # A step

    def begin_step(self) -> None:
        self.step += 1
        self._here = 0

    def rows(self, samples: list[Sample]) -> list[Row]:
        """The samples in tokens, as this step draws them."""
        found = []
        for sample in samples:
            if self.step not in sample.prepared:
                seed = f"{self.seed} {self.step}"
                made = self.examples.picture_row(sample) if self.dense else self.examples.row(sample, self.rule, seed)
                sample.prepared[self.step] = made
            found.append(sample.prepared[self.step])
        return found

    def weight(self, samples: list[Sample]) -> float:
        rows = self.rows(samples)
        self._here += sum(row.length for row in rows)
        return float(len(rows)) if self.dense else sum(row.weight for row in rows)

    def divisor(self, weight: float) -> float:
        # Called once a step by every rank, when all of its samples have been looked at.
        self._tokens += round(self.ranks.total(float(self._here), torch.device("cpu")))
        return weight

    def placeholder(self) -> list[Sample]:
        return self.loader.sources[0][_first()]

    def loss(self, model: nn.Module, samples: list[Sample], device: torch.device) -> Loss:
        rows = self.rows(samples)
        if self.dense:
            return self._dense_loss(cast(VisionLanguageModel, model), rows, device)
        inputs, target_BT, weight_BT = self.examples.batch(rows, device)
        drop = self._drop(samples, weight_BT) if self.dropout else None
        share, aiming_share = self.config.grounding, self.config.aiming
        descend, nats, right, grounding, aiming = cast(VisionLanguageModel, model).losses(
            inputs,
            target_BT,
            weight_BT,
            z_loss=self.z_loss,
            drop=drop,
            grounding=self.examples.grounding(rows, device) if share else None,
            aims=self.examples.aims(rows, device) if aiming_share else None,
        )
        total = weight_BT.sum().clamp(min=1e-9)
        notes = Notes(nats.item(), right.item(), total.item(), grounding.item(), aiming.item())
        return Loss(descend / total + share * grounding + aiming_share * aiming, (nats / total).detach(), notes)

    def _dense_loss(self, model: VisionLanguageModel, rows: Sequence[Row], device: torch.device) -> Loss:
        """The grounding loss; its notes count tokens at points in place of tokens of answers."""
        pictures = self.examples.pictures(rows, device)
        if pictures is None:
            raise TrainerError("the stage dense draws samples without pictures", "leave chats out of its sources")
        loss, right, points = model.dense_loss(pictures, self.examples.grounding(rows, device))
        notes = Notes(0.0, right.item(), points.item(), loss.item(), 0.0)
        return Loss(self.config.grounding * loss, loss.detach(), notes)

    def _drop(self, samples: list[Sample], weight_BT: Tensor) -> Callable[[Tensor], Tensor]:
        """Dropout at the positions of answers; its generator is named by the step and the samples."""
        seed = hash_of(f"{self.seed} {self.step} {' '.join(sample.key for sample in samples)}")
        generator = torch.Generator(weight_BT.device).manual_seed(seed)
        share, answers_BT1 = self.dropout, (weight_BT > 0)[..., None]

        def drop(x_BTD: Tensor) -> Tensor:
            kept = torch.rand(x_BTD.shape, generator=generator, device=x_BTD.device) >= share
            return torch.where(answers_BT1, x_BTD * kept / (1 - share), x_BTD)

        return drop

    def note(self, notes: Notes, share: float) -> None:
        if share:
            values = (notes.right, notes.weight, notes.grounding * notes.weight, notes.aiming * notes.weight)
            self._notes = [before + value for before, value in zip(self._notes, values, strict=True)]

    def columns(self, ranks: Ranks) -> dict[str, Any]:
        totals = ranks.totals(torch.tensor(self._notes, dtype=torch.float64)).tolist()
        self._notes = [0.0] * 4
        right, weight, *extra = totals
        found = {"label_accuracy" if self.dense else "token_accuracy": right / weight if weight else None}
        named = {name: total / weight for name, total in zip(("grounding", "aiming"), extra, strict=True) if weight}
        return found | {name: value for name, value in named.items() if getattr(self.config, name)}

    # Beside the steps

    def measure(self, model: nn.Module, ranks: Ranks, samples: int) -> dict[str, float]:
        """Cross-entropy in nats and accuracy a token of each held-out source, every token with the same weight; in the
        stage dense the grounding loss and the share of tokens at points that match a label at them best."""
        found = {}
        device = next(model.parameters()).device
        for name, source in self.heldout.items():
            sums = torch.zeros(3, dtype=torch.float64)
            size = min(samples, len(source))
            # Every rank takes as many steps.
            most = -(-len(source) // ranks.count)
            first, last = share_of(0, len(source), ranks.rank, ranks.count)
            for start in range(0, most, size):
                places = torch.arange(first + start, min(first + start + size, last)).numpy()
                given = source[places if len(places) else _first()]
                if self.dense:
                    sums += self._dense_sums(cast(VisionLanguageModel, model), given, device) * bool(len(places))
                    continue
                rows = [self.examples.row(sample, "tokens", "heldout") for sample in given]
                inputs, target_BT, weight_BT = self.examples.batch(rows, device)
                with torch.no_grad():
                    _, nats, right, *_ = cast(VisionLanguageModel, model).losses(inputs, target_BT, weight_BT)
                if len(places):
                    sums += torch.tensor([nats.item(), right.item(), weight_BT.sum().item()], dtype=torch.float64)
            nats, right, tokens = ranks.totals(sums).tolist()
            if self.dense:
                # Of tokens at points.
                found |= {f"{name}_grounding": nats / max(tokens, 1), f"{name}_label_accuracy": right / max(tokens, 1)}
                continue
            found |= {f"{name}_nats_per_token": nats / max(tokens, 1), f"{name}_token_accuracy": right / max(tokens, 1)}
        return found

    def _dense_sums(self, model: VisionLanguageModel, samples: Sequence[Sample], device: torch.device) -> Tensor:
        """The grounding loss times the tokens at points, those that match a label at them best, and their number."""
        with torch.no_grad():
            notes = self._dense_loss(model, [self.examples.picture_row(sample) for sample in samples], device).notes
        return torch.tensor([notes.grounding * notes.weight, notes.right, notes.weight], dtype=torch.float64)

    def tokens(self, step: int) -> int:
        del step
        return self._tokens

    def result(self, tokens: int, measured: Mapping[str, float]) -> dict[str, Any]:
        shares = dict(zip(self.config.sources, self.loader.weights, strict=True))
        return {**measured, "rates": shares, "blind": self.config.blind, "parameters": self.parameters}

    def state(self) -> dict[str, Any]:
        return {
            DECODER: "decoder.",
            SHAPE: as_mapping(self.beginning.shape),
            END_TOKEN: self.beginning.end,
            "blind": self.config.blind,
            "steps_begun": self.step,
            "tokens_read": self._tokens,
            "notes": self._notes,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.step, self._tokens = int(state["steps_begun"]), int(state["tokens_read"])
        # A run from before there were aims noted three sums.
        self._notes = [*state["notes"], 0.0][:4]


def whole_numbers(tokenizer: TextTokenizer) -> dict[int, int]:
    """The tokens that stand for the whole numbers from 0 to 100, with their values."""
    found = ((tokenizer.number(str(value)), value) for value in range(101))
    return {token: value for token, value in found if token is not None}


def _first() -> Any:
    import numpy as np

    return np.zeros(1, dtype=np.int64)


def hash_of(text: str) -> int:
    """A number of 62 bits that a text names, the same in every process."""
    import hashlib

    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 2


def _with_new_rows(weight_VD: Tensor, rows: int, seed: int) -> Tensor:
    """An embedding with rows for new tokens, drawn with the deviation of the others (Molmo's own choice is 0.02)."""
    generator = torch.Generator().manual_seed(seed)
    new = torch.randn(rows - len(weight_VD), weight_VD.shape[1], generator=generator) * 0.02
    return torch.cat((weight_VD.float(), new))
