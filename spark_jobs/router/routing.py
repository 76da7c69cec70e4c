"""Routers: which expert answers a query, from the vector of the query by the frozen encoder.

`pilots` and `Pilots` are RouterRetriever's (arXiv 2409.02685, section 3). The other three are the paper's baselines
(section 4): the domain of the nearest training queries, a classifier for each expert, and one layer over all experts.
Vectors are (queries, dimensions); what is returned is the number of an expert for each query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

SAMPLED = 100
"""Training queries of a domain that the dataset router keeps."""
PENALTY = 1e-3
"""Weight of the squares of a classifier's weights."""


@dataclass(frozen=True)
class Pilot:
    """The centroid of the training queries of a domain that one expert answers best."""

    domain: str
    expert: str
    queries: int
    vector: np.ndarray


@dataclass(frozen=True)
class Labelled:
    """Training queries: vectors, and for each its domain and the expert that answers it best."""

    vectors: np.ndarray
    domains: Sequence[str]
    winners: Sequence[str]


class Router(Protocol):
    """Chooses experts."""

    def route(self, vectors: np.ndarray) -> list[str]:
        """Return the expert of each query."""
        ...


def winner(scores: dict[str, float], own: str) -> str:
    """Return the expert with the highest nDCG@10 of a query.

    Of equal ones, which are many where a query has one relevant document, the expert of the query's own domain is
    taken, or else the first in the alphabet.
    """
    best = max(scores.values())
    return own if scores.get(own, -1.0) == best else min(name for name, score in scores.items() if score == best)


def pilots(found: Labelled) -> list[Pilot]:
    """Return a pilot for each domain and expert that answers one of its queries best: at most domains x experts."""
    places: dict[tuple[str, str], list[int]] = {}
    for place, key in enumerate(zip(found.domains, found.winners, strict=True)):
        places.setdefault(key, []).append(place)
    return [
        Pilot(domain, expert, len(those), found.vectors[those].mean(axis=0).astype(np.float32))
        for (domain, expert), those in sorted(places.items())
    ]


class Pilots:
    """The mean similarity of a query to the pilots of each expert; the expert with the highest answers it.

    Similarity is the inner product, as in the search.
    """

    def __init__(self, found: Sequence[Pilot]) -> None:
        self.pilots = list(found)
        self.experts = sorted({pilot.expert for pilot in self.pilots})
        self._vectors = np.stack([pilot.vector for pilot in self.pilots])
        member = np.array([[pilot.expert == expert for expert in self.experts] for pilot in self.pilots], dtype=float)
        self._mean = member / member.sum(axis=0)

    def similarities(self, vectors: np.ndarray) -> np.ndarray:
        """Return (queries, experts): the mean similarity to the pilots of each expert of `experts`."""
        return vectors @ self._vectors.T @ self._mean

    def route(self, vectors: np.ndarray) -> list[str]:
        """See `Router`."""
        return [self.experts[place] for place in self.similarities(vectors).argmax(axis=1)]


class Nearest:
    """The dataset router: the expert of the domain of the nearest of 100 training queries of each domain."""

    def __init__(self, found: Labelled, seed: int) -> None:
        generator = np.random.default_rng(seed)
        domains = np.array(found.domains)
        kept = [generator.permutation(np.flatnonzero(domains == name))[:SAMPLED] for name in sorted(set(found.domains))]
        places = np.concatenate(kept)
        self._vectors, self._domains = found.vectors[places], domains[places]

    def route(self, vectors: np.ndarray) -> list[str]:
        """See `Router`."""
        return [str(self._domains[place]) for place in (vectors @ self._vectors.T).argmax(axis=1)]


class Classifiers:
    """The expert classifier: for each expert a binary classifier of the queries that it answers best.

    Each is trained on as many queries that it does not answer best.
    """

    def __init__(self, found: Labelled, seed: int) -> None:
        generator = np.random.default_rng(seed)
        winners = np.array(found.winners)
        self.experts = sorted(set(found.winners))
        self._layers = []
        for expert in self.experts:
            own, others = np.flatnonzero(winners == expert), np.flatnonzero(winners != expert)
            count = min(len(own), len(others)) or len(own)
            places = np.concatenate([generator.permutation(own)[:count], generator.permutation(others)[:count]])
            self._layers.append(_softmax_layer(found.vectors[places], (winners[places] == expert).astype(int), 2))

    def route(self, vectors: np.ndarray) -> list[str]:
        """See `Router`."""
        odds = np.stack([_logits(vectors, layer) @ [-1.0, 1.0] for layer in self._layers], axis=1)
        return [self.experts[place] for place in odds.argmax(axis=1)]


class Head:
    """The classification head: one softmax layer over the experts, trained on as many queries of each."""

    def __init__(self, found: Labelled, seed: int) -> None:
        generator = np.random.default_rng(seed)
        winners = np.array(found.winners)
        self.experts = sorted(set(found.winners))
        count = min(int((winners == expert).sum()) for expert in self.experts)
        places = np.concatenate(
            [generator.permutation(np.flatnonzero(winners == expert))[:count] for expert in self.experts]
        )
        labels = np.repeat(np.arange(len(self.experts)), count)
        self._layer = _softmax_layer(found.vectors[places], labels, len(self.experts))

    def route(self, vectors: np.ndarray) -> list[str]:
        """See `Router`."""
        return [self.experts[place] for place in _logits(vectors, self._layer).argmax(axis=1)]


def _logits(vectors: np.ndarray, layer: np.ndarray) -> np.ndarray:
    return vectors @ layer[:-1] + layer[-1]


def _softmax_layer(vectors: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return (dimensions + 1, classes): weights and biases of multinomial logistic regression, by L-BFGS from zero."""
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    features = np.hstack([vectors, np.ones((len(vectors), 1))]).astype(np.float64)
    target = np.eye(classes)[labels]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(-1, classes)
        logits = features @ weights
        logp = logits - logsumexp(logits, axis=1, keepdims=True)
        decayed = np.vstack([weights[:-1], np.zeros((1, classes))])
        value = -(target * logp).sum() / len(features) + PENALTY / 2 * (decayed**2).sum()
        gradient = features.T @ (np.exp(logp) - target) / len(features) + PENALTY * decayed
        return value, gradient.ravel()

    begin = np.zeros(features.shape[1] * classes)
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return found.x.reshape(-1, classes)
