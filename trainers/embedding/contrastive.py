"""The contrastive objective: each query is to be nearest to its own document among those of its batch.

Shape suffixes: B pairs, D documents of the batch, V dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from trainers.core.objective import Loss, Objective
from trainers.core.ranks import Ranks, put
from trainers.data.loader import ShuffledLoader
from trainers.embedding.config import EmbedConfig
from trainers.embedding.encoder import Trainable, encoded, features_of
from trainers.embedding.pairs import Pair, Pairs
from trainers.embedding.vectors import Floats, key_of
from trainers.process.errors import TrainerError

SEEDS = 1_000_003


class Contrastive(Objective):
    """-log softmax of similarity / temperature of a query's own document, over all documents of the batch (InfoNCE).

    Other documents that answer the query, and repeated ones, are not negatives.

    Args:
        encoder: the model of sentence-transformers, its adapters put in.
        frozen: vectors of documents by key, if only queries are trained.
    """

    kind = "embed"

    def __init__(
        self,
        config: EmbedConfig,
        encoder: Any,
        pairs: Pairs,
        heldout: Pairs | None,
        frozen: Mapping[bytes, Floats] | None,
    ) -> None:
        self.config, self.pairs, self.heldout, self.frozen = config, pairs, heldout, frozen
        self.loader: ShuffledLoader[Pairs] = ShuffledLoader(pairs, config.seed)
        self._encoder = encoder
        named = {name: p for name, p in encoder.named_parameters() if p.requires_grad}
        self._initial = {name.replace(".", "/"): p.detach().clone() for name, p in named.items()}
        self.parameters = sum(p.numel() for p in named.values())
        self.step = 0
        self._hits, self._seen = 0.0, 0.0
        self._lengths = self._token_counts()
        self._tokens = [0]

    def _token_counts(self) -> np.ndarray:
        """(pairs,): tokens of each pair that are read with gradients."""
        sides = [("query", [pair.query for pair in self.pairs.pairs])]
        if self.frozen is None:
            sides.append(("document", [pair.positive for pair in self.pairs.pairs]))
        return np.sum([self._counted(side, texts) for side, texts in sides], axis=0)

    def _counted(self, side: str, texts: list[str]) -> np.ndarray:
        masks = (
            features_of(self._encoder, texts[start : start + 64], side, "cpu")["attention_mask"].sum(1).numpy()
            for start in range(0, len(texts), 64)
        )
        return np.concatenate(list(masks))

    def build(self) -> nn.Module:
        return Trainable(self._encoder)

    def initialise(self, model: nn.Module) -> None:
        if self.ranks.count > 1:
            raise TrainerError("encoders are trained by one process", "start it without torchrun")
        for name, parameter in model.named_parameters():
            put(parameter, self._initial[name])
        # The loop has moved what is trained; the frozen rest follows.
        first = next(model.parameters(), None)
        if first is None:
            raise TrainerError("the encoder has no weights to train", "give another, or adapters")
        cast(Trainable, model).encoder.to(first.device)
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
        torch.manual_seed(self.config.seed * SEEDS + self.step)

    def loss(self, model: nn.Module, samples: list[Pair], device: torch.device) -> Loss:
        trained = cast(Trainable, model)
        documents = list(dict.fromkeys([pair.positive for pair in samples] + self._negatives(samples)))
        query_BV = trained(features_of(trained.encoder, [pair.query for pair in samples], "query", device))
        document_DV = self._documents(trained, documents, device)
        score_BD = query_BV @ document_DV.T / self.config.temperature
        place = {text: number for number, text in enumerate(documents)}
        own_B = torch.tensor([place[pair.positive] for pair in samples], device=device)
        score_BD = score_BD.masked_fill(self._no_negatives(samples, documents).to(device), -torch.inf)
        found = nn.functional.cross_entropy(score_BD, own_B)
        hits = (score_BD.argmax(1) == own_B).sum().item()
        return Loss(found, found.detach(), (hits, len(samples)))

    def _negatives(self, samples: list[Pair]) -> list[str]:
        return [each for pair in samples for each in pair.negatives[: self.config.negatives + self.config.mined]]

    def _documents(self, model: Trainable, texts: list[str], device: torch.device) -> Tensor:
        if self.frozen is None:
            return model(features_of(model.encoder, texts, "document", device))
        return torch.from_numpy(np.stack([self.frozen[key_of(text)] for text in texts])).to(device)

    def _no_negatives(self, samples: list[Pair], documents: list[str]) -> Tensor:
        """(B, D): whether a document answers a query and is not the one that the pair names."""
        found = np.zeros((len(samples), len(documents)), dtype=bool)
        place = {text: number for number, text in enumerate(documents)}
        for row, pair in enumerate(samples):
            for text in self.pairs.answers[pair.query]:
                if text in place and text != pair.positive:
                    found[row, place[text]] = True
        return torch.from_numpy(found)

    def note(self, notes: tuple[float, int], share: float) -> None:
        if share:
            self._hits, self._seen = self._hits + notes[0], self._seen + notes[1]

    def columns(self, ranks: Ranks) -> dict[str, Any]:
        found = {"accuracy": self._hits / self._seen if self._seen else None}
        self._hits = self._seen = 0.0
        return found

    def measure(self, model: nn.Module, ranks: Ranks, samples: int) -> dict[str, float]:
        """The mean reciprocal rank of the held-out queries' documents among all held-out documents."""
        if self.heldout is None:
            return {}
        trained, held = cast(Trainable, model), self.heldout
        device = next(model.parameters()).device
        queries = encoded(trained, [pair.query for pair in held.pairs], "query", device)
        documents = held.documents
        if self.frozen is None:
            vectors = encoded(trained, documents, "document", device)
        else:
            vectors = torch.from_numpy(np.stack([self.frozen[key_of(text)] for text in documents]))
        place = {text: number for number, text in enumerate(documents)}
        scores = queries @ vectors.T
        own = scores[torch.arange(len(scores)), torch.tensor([place[pair.positive] for pair in held.pairs])]
        # A document of the same score counts as one before: equal vectors earn nothing.
        ranks_ = (scores >= own[:, None]).sum(1).double()
        return {"heldout_mrr": (1 / ranks_).mean().item()}

    def tokens(self, step: int) -> int:
        while len(self._tokens) <= step:
            taken = self.loader.items((len(self._tokens) - 1) * self.config.batch, self.config.batch)
            self._tokens.append(self._tokens[-1] + int(self._lengths[taken].sum()))
        return self._tokens[step]

    def result(self, tokens: int, measured: Mapping[str, float]) -> dict[str, Any]:
        return {**measured, "pairs": len(self.pairs), "trained_parameters": self.parameters}

    def state(self) -> dict[str, Any]:
        return {"steps_begun": self.step, "accuracy": [self._hits, self._seen]}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.step = int(state["steps_begun"])
        self._hits, self._seen = state["accuracy"]
