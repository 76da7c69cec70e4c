"""A second objective for the training loop: rank the better of two texts higher, as a reward model does.

A pair's two texts differ in length, so samples are a list and not an array; a pair counts by its tokens; the margin
grows with the steps taken, so the objective has a state of its own that decides the weights. Run as a program it takes
LoopConfig's options as JSON, and a step in which it kills itself outright:
python tests/trainers/pair_ranking.py '{"out": "run"}' 27
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.core.loop import train
from trainers.core.objective import Loss, Objective
from trainers.core.optimiser import Optimiser
from trainers.core.plan import LoopConfig, Plan
from trainers.core.ranks import Ranks, put
from trainers.data.loader import Ints, ShuffledLoader
from trainers.models.config import DenseConfig
from trainers.models.dense import DenseDecoder
from trainers.process.config_file import from_mapping
from trainers.process.errors import exit_code
from trainers.process.files import canonical_json, sha256_text

SHAPE = DenseConfig(vocab_size=32, sequence_length=12, width=16, layers=2, heads=2, hidden=32, tied=True, init_std=0.2)
BATCH, STEPS = 9, 40
GOOD = 7
"""Texts with more of this token are better."""

Pair = tuple[Ints, Ints]


class Pairs:
    """A source of (better, worse) texts of 4 to 12 tokens."""

    def __init__(self, count: int, seed: int) -> None:
        draw = np.random.default_rng(seed)
        self.pairs = [self._pair(draw) for _ in range(count)]
        self.fingerprint = sha256_text(canonical_json([[text.tolist() for text in pair] for pair in self.pairs]))

    @staticmethod
    def _pair(draw: np.random.Generator) -> Pair:
        texts = [draw.integers(8, SHAPE.vocab_size, draw.integers(4, SHAPE.sequence_length + 1)) for _ in range(2)]
        for text, share in zip(texts, (0.6, 0.1), strict=True):
            text[draw.random(len(text)) < share] = GOOD
        return texts[0], texts[1]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, places: Ints) -> list[Pair]:
        return [self.pairs[place] for place in places.tolist()]


class Ranker(nn.Module):
    """A decoder with one number per text in place of logits."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = DenseDecoder(SHAPE)
        self.head = nn.Linear(SHAPE.width, 1, bias=False)

    def forward(self, tokens_BT: Tensor, last_B: Tensor) -> Tensor:
        """(B,): the score of each text, read at its last token."""
        x_BTD = self.decoder.hidden(tokens_BT)
        return self.head(x_BTD[torch.arange(len(last_B)), last_B])[:, 0]


@dataclass(frozen=True)
class Margins:
    """What a microbatch adds to the metrics."""

    total: float
    pairs: int


class RankPairs(Objective):
    """-log sigmoid(better - worse - margin), a mean over pairs by their tokens."""

    kind = "rank"
    undecayed = ("decoder.embedding.weight",)
    killed_in = 0
    """The step in which the process exits without an error message; 0: never."""

    def __init__(self, heldout: Pairs) -> None:
        self.heldout = heldout
        self.steps = 0
        self.margins = [0.0, 0.0]

    def build(self) -> nn.Module:
        return Ranker()

    def blocks(self, model: nn.Module) -> Sequence[nn.Module]:
        assert isinstance(model, Ranker)
        return list(model.decoder.blocks)

    def initialise(self, model: nn.Module) -> None:
        assert isinstance(model, Ranker)
        model.decoder.initialise(0, put)
        put(model.head.weight, torch.full((1, SHAPE.width), 0.1))

    def weight(self, samples: list[Pair]) -> float:
        return sum(len(better) + len(worse) for better, worse in samples)

    def placeholder(self) -> list[Pair]:
        return self.heldout.pairs[:1]

    def loss(self, model: nn.Module, samples: list[Pair], device: torch.device) -> Loss:
        better_B, worse_B = self._scores(model, samples, device)
        weight_B = torch.tensor([self.weight([pair]) for pair in samples], device=device)
        nats_B = -F.logsigmoid(better_B - worse_B - 0.01 * self.steps)
        nats = (nats_B * weight_B).sum() / weight_B.sum()
        margins = (better_B - worse_B).detach()
        return Loss(nats, nats.detach(), Margins(margins.sum().item(), len(samples)))

    @staticmethod
    def _scores(model: nn.Module, samples: list[Pair], device: torch.device) -> tuple[Tensor, Tensor]:
        texts = [text for pair in samples for text in pair]
        tokens = np.zeros((len(texts), SHAPE.sequence_length), dtype=np.int64)
        for row, text in enumerate(texts):
            tokens[row, : len(text)] = text
        last = torch.tensor([len(text) - 1 for text in texts], device=device)
        scores = model(torch.from_numpy(tokens).to(device), last)
        return scores[0::2], scores[1::2]

    def begin_step(self) -> None:
        self.steps += 1
        self.margins = [0.0, 0.0]
        if self.steps == self.killed_in:
            os.kill(os.getpid(), signal.SIGKILL)

    def note(self, notes: Margins, share: float) -> None:
        if share:
            self.margins[0] += notes.total
            self.margins[1] += notes.pairs

    def measure(self, model: nn.Module, ranks: Ranks, samples: int) -> dict[str, float]:
        del ranks, samples
        with torch.no_grad():
            better, worse = self._scores(model, self.heldout.pairs, next(model.parameters()).device)
        return {"pair_accuracy": (better > worse).double().mean().item()}

    def columns(self, ranks: Ranks) -> dict[str, Any]:
        total, pairs = (ranks.total(value, torch.device("cpu")) for value in self.margins)
        return {"margin": total / pairs, "pairs": int(pairs)}

    def tokens(self, step: int) -> int:
        return step * BATCH * 2 * SHAPE.sequence_length

    def state(self) -> dict[str, Any]:
        return {"margin_steps": self.steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.steps = state["margin_steps"]


def rank_pairs(config: LoopConfig) -> dict[str, Any]:
    """Train the ranker on 60 pairs for 40 steps."""
    pairs = Pairs(60, seed=0)
    identity = {"code": "pair-ranking-1", "pairs": pairs.fingerprint}
    plan = Plan(
        config=config,
        name="pairs",
        optimiser=Optimiser(learning_rate=0.01, warmup_steps=4),
        batch=BATCH,
        steps=STEPS,
        identity=identity,
        fingerprint=sha256_text(canonical_json(identity)),
    )
    return train(plan, RankPairs(Pairs(50, seed=1)), ShuffledLoader(pairs, seed=3))


if __name__ == "__main__":
    RankPairs.killed_in = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    sys.exit(exit_code(lambda: rank_pairs(from_mapping(json.loads(sys.argv[1]), LoopConfig, "options"))))
