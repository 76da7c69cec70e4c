"""The contrastive objective: each query is to be nearest to its own document among those of its batch.

Shape suffixes: B pairs, D documents of the batch, V dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers.core.objective import Loss
from trainers.embedding.config import EmbedConfig
from trainers.embedding.encoder import Trainable, encoded, features_of
from trainers.embedding.heldout import placed
from trainers.embedding.objective import PairObjective
from trainers.embedding.pairs import Pair, Pairs
from trainers.embedding.vectors import Floats, key_of


class Contrastive(PairObjective):
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
        self.config, self.heldout, self.frozen = config, heldout, frozen
        super().__init__(encoder, pairs, heldout=heldout is not None, seed=config.seed, batch=config.batch)

    def token_counts(self) -> np.ndarray:
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

    def held_out(self, model: Trainable) -> NDArray[np.float64]:
        """The held-out queries among all held-out documents."""
        assert self.heldout is not None
        device = next(model.parameters()).device
        queries = list(self.heldout.answers)
        documents = self.heldout.documents
        query_QV = encoded(model, queries, "query", device)
        if self.frozen is None:
            document_DV = encoded(model, documents, "document", device)
        else:
            document_DV = torch.from_numpy(np.stack([self.frozen[key_of(text)] for text in documents]))
        place = {text: number for number, text in enumerate(documents)}
        scores = (query_QV @ document_DV.T).double().numpy()
        return np.array([
            placed(row, [place[text] for text in self.heldout.answers[query]])
            for query, row in zip(queries, scores, strict=True)
        ])  # fmt: skip
