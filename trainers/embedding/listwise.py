"""The objective of a reranker: the document that answers a query is to score highest in a group of hard negatives.

Shape suffixes: B pairs, G documents of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainers.core.objective import Loss
from trainers.core.ranks import Ranks
from trainers.embedding.cross_encoder import Scorer, pair_features, scored
from trainers.embedding.encoder import Trainable
from trainers.embedding.heldout import MEASURES, placed
from trainers.embedding.objective import PairObjective
from trainers.embedding.pairs import Pair, Pairs
from trainers.embedding.words import WordIndex
from trainers.process.files import sha256_text


def with_hard_negatives(pairs: Pairs, count: int, seed: int) -> Pairs:
    """The pairs with `count` negatives each: their own, then the documents nearest by words, then any.

    No document that answers the query is among them. There are fewer if the pairs have too few documents.
    """
    documents, index = pairs.documents, WordIndex(pairs.documents)
    found = []
    for number, pair in enumerate(pairs.pairs):
        taken = dict.fromkeys(pair.negatives)
        if len(taken) < count:
            near = index.nearest(pair.query, count + len(taken) + len(pairs.answers[pair.query]))
            taken |= dict.fromkeys(documents[place] for place in near)
        if len(taken) < count + len(pairs.answers[pair.query]):
            draw = np.random.default_rng([seed, number]).permutation(len(documents))[: 3 * count + 8]
            taken |= dict.fromkeys(documents[place] for place in draw)
        wrong = [text for text in taken if text not in pairs.answers[pair.query]]
        found.append(Pair(pair.query, pair.positive, tuple(wrong[:count])))
    return Pairs(found)


class Candidates:
    """Held-out queries, each with the documents that a search by words finds for it: what a reranker is to order.

    The documents that answer the query, and the negatives of its rows, are among them whether found or not; those that
    were not found stand behind the others in the order of the words.

    Args:
        heldout: the held-out pairs.
        pool: further documents that may be found, such as those of the training pairs.
        count: documents of a query, at the least.
    """

    def __init__(self, heldout: Pairs, pool: Sequence[str], count: int) -> None:
        # Documents that fit a query equally well are ordered by a digest: an answer must not stand first for being one.
        documents = sorted({*heldout.documents, *pool}, key=sha256_text)
        index = WordIndex(documents)
        own: dict[str, list[str]] = {}
        for pair in heldout.pairs:
            own.setdefault(pair.query, []).extend((pair.positive, *pair.negatives))
        self.queries = list(own)
        self.documents = [
            list(dict.fromkeys([*(documents[place] for place in index.nearest(query, count)), *own[query]]))
            for query in self.queries
        ]
        self.relevant = [
            [place for place, text in enumerate(texts) if text in heldout.answers[query]]
            for query, texts in zip(self.queries, self.documents, strict=True)
        ]

    def measured(self, scores: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """(queries, 2): as `heldout.placed`, by the scores of each query's documents."""
        return np.array([placed(each, right) for each, right in zip(scores, self.relevant, strict=True)])

    def by_words(self) -> NDArray[np.float64]:
        """(queries, 2): the measures of the order in which the words found them."""
        return self.measured([-np.arange(len(texts), dtype=np.float64) for texts in self.documents])


class Listwise(PairObjective):
    """-log softmax of the score of a pair's document over those of its group, as FlagEmbedding trains rerankers.

    Args:
        model: the cross-encoder.
        pairs: pairs with their negatives.
        heldout: held-out queries with their candidates, if any.
        seed: decides the order of the pairs, and dropout.
        batch: pairs a step.
    """

    kind = "rerank"
    wrapper = Scorer

    def __init__(self, model: Any, pairs: Pairs, heldout: Candidates | None, *, seed: int, batch: int) -> None:
        self.candidates = heldout
        super().__init__(model, pairs, heldout=heldout is not None, seed=seed, batch=batch)

    def token_counts(self) -> np.ndarray:
        return np.array([
            pair_features(self._encoder, _group(pair), "cpu")["attention_mask"].sum().item()
            for pair in self.pairs.pairs
        ])  # fmt: skip

    def loss(self, model: nn.Module, samples: list[Pair], device: torch.device) -> Loss:
        groups = [_group(pair) for pair in samples]
        trained = cast(Scorer, model)
        scores = trained(pair_features(trained.encoder, [each for group in groups for each in group], device))
        score_BG = nn.utils.rnn.pad_sequence(
            list(scores.split([len(group) for group in groups])), batch_first=True, padding_value=-torch.inf
        )
        # The document that answers stands first in its group.
        first_B = torch.zeros(len(groups), dtype=torch.long, device=device)
        found = nn.functional.cross_entropy(score_BG, first_B)
        hits = (score_BG.argmax(1) == 0).sum().item()
        return Loss(found, found.detach(), (hits, len(samples)))

    def measure(self, model: nn.Module, ranks: Ranks, samples: int) -> dict[str, float]:
        """As `PairObjective.measure`, beside the order in which the search by words found the documents."""
        found = super().measure(model, ranks, samples)
        if self.candidates is not None:
            means = self.candidates.by_words().mean(axis=0)
            found |= {f"heldout_{name}_words": float(mean) for name, mean in zip(MEASURES, means, strict=True)}
        return found

    def held_out(self, model: Trainable) -> NDArray[np.float64]:
        """The documents that a search by words found for the held-out queries, ordered by the cross-encoder."""
        assert self.candidates is not None
        found = self.candidates
        asked = [(query, text) for query, texts in zip(found.queries, found.documents, strict=True) for text in texts]
        ends = np.cumsum([len(texts) for texts in found.documents])[:-1]
        return found.measured(np.split(scored(cast(Scorer, model), asked).double().numpy(), ends))


def _group(pair: Pair) -> list[tuple[str, str]]:
    return [(pair.query, text) for text in (pair.positive, *pair.negatives)]
