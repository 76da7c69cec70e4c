"""Win rates and ratings of models from choices between two answers, with bootstrap intervals.

Ratings are a Bradley-Terry fit (Bradley and Terry 1952): P(i beats j) = 1 / (1 + 10^((R_j - R_i) / 400)). They are on
the scale of Elo with mean 1000, and do not depend on the order of the choices, as Elo's own updates do. A tie counts as
half a win of each, as in Chatbot Arena (arXiv 2403.04132). Each model also has one tie against an opponent of average
strength, so that a model that never lost has a finite rating. Intervals resample questions, because choices about the
same question are not independent.

Shape suffixes: Q questions, P pairs of models, M models, S resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MEAN, SCALE = 1000.0, 400 / np.log(10)
RESAMPLES, LEVEL = 1000, 0.95
CHUNK = 100
"""Resamples that are fitted at a time."""
STEPS, CLOSE = 200, 1e-10


@dataclass(frozen=True)
class Comparison:
    """A choice between the answers of two models to a question."""

    question: str
    one: str
    other: str
    points: float
    """1 if the answer of `one` was chosen, 0 if the other was, 0.5 for a tie."""

    def __post_init__(self) -> None:
        if self.one == self.other or self.points not in (0.0, 0.5, 1.0):
            raise ValueError(f"{self} is no choice between two models")


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Choices counted, with the share of points and its interval; no interval exists below two questions."""

    wins: int
    ties: int
    losses: int
    win_rate: float
    """Wins and half of the ties, as a share of all."""
    win_low: float | None
    win_high: float | None


@dataclass(frozen=True, kw_only=True)
class Rated(Counts):
    """A model with its rating."""

    model: str
    elo: float
    elo_low: float | None
    elo_high: float | None
    group: int
    """Models of different groups are connected by no chain of choices, and their ratings do not compare."""


@dataclass(frozen=True, kw_only=True)
class Versus(Counts):
    """A model against another; the counts are those of `one`."""

    one: str
    other: str


def rated(
    choices: Sequence[Comparison], *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[list[Rated], list[Versus]]:
    """Return models, best first, and every two that were compared.

    Args:
        choices: the choices, in any order.
        resamples: bootstrap samples of the questions.
        seed: decides the samples.

    Example:
        >>> models, _ = rated([Comparison(str(n), "a", "b", 1.0 if n else 0.0) for n in range(4)])
        >>> [(each.model, each.wins, each.win_rate) for each in models]
        [('a', 3, 0.75), ('b', 1, 0.25)]
    """
    if not choices:
        return [], []
    models = sorted({name for each in choices for name in (each.one, each.other)})
    pairs = sorted({_pair(each) for each in choices})
    questions = sorted({each.question for each in choices})
    # A resample draws places of questions, so the order of the choices must not decide these.
    points_QP2 = np.zeros((len(questions), len(pairs), 2))
    ties_P = np.zeros(len(pairs))
    row = {question: place for place, question in enumerate(questions)}
    column = {pair: place for place, pair in enumerate(pairs)}
    for each in choices:
        place, turned = column[_pair(each)], _pair(each)[0] != each.one
        points = 1 - each.points if turned else each.points
        points_QP2[row[each.question], place] += (points, 1 - points)
        ties_P[place] += each.points == 0.5
    at = np.array([[models.index(name) for name in pair] for pair in pairs])
    total_P2 = points_QP2.sum(0)
    ratings_M = _ratings(total_P2[None], at, len(models))[0]
    drawn_SP2 = _resampled(points_QP2, resamples, seed)
    drawn_SM = np.concatenate([
        _ratings(drawn_SP2[start : start + CHUNK], at, len(models)) for start in range(0, len(drawn_SP2), CHUNK)
    ]) if len(drawn_SP2) else np.zeros((0, len(models)))  # fmt: skip
    groups = _groups(at, len(models))
    found = []
    for number, model in enumerate(models):
        ours = [(place, side) for place, pair in enumerate(at) for side in (0, 1) if pair[side] == number]
        own = sum(total_P2[place, side] for place, side in ours)
        against = sum(total_P2[place, 1 - side] for place, side in ours)
        drawn_own = sum((drawn_SP2[:, place, side] for place, side in ours), np.zeros(len(drawn_SP2)))
        drawn_against = sum((drawn_SP2[:, place, 1 - side] for place, side in ours), np.zeros(len(drawn_SP2)))
        low, high = _interval(drawn_SM[:, number])
        counted = _counted(own, against, sum(ties_P[place] for place, _ in ours), drawn_own, drawn_against)
        elo = float(ratings_M[number])
        found.append(Rated(model=model, elo=elo, elo_low=low, elo_high=high, group=groups[number], **counted))
    versus = [
        Versus(
            one=one,
            other=other,
            **_counted(*total_P2[place], ties_P[place], drawn_SP2[:, place, 0], drawn_SP2[:, place, 1]),
        )
        for place, (one, other) in enumerate(pairs)
    ]
    return sorted(found, key=lambda each: (-each.elo, each.model)), versus


def _pair(each: Comparison) -> tuple[str, str]:
    return (each.one, each.other) if each.one < each.other else (each.other, each.one)


def _counted(own: float, against: float, ties: float, drawn_own_S: Floats, drawn_against_S: Floats) -> dict:
    counted_S = drawn_own_S + drawn_against_S
    # A resample may hold no question about these models.
    low, high = _interval(drawn_own_S[counted_S > 0] / counted_S[counted_S > 0])
    return {
        "wins": round(own - ties / 2),
        "ties": round(ties),
        "losses": round(against - ties / 2),
        "win_rate": float(own / (own + against)),
        "win_low": low,
        "win_high": high,
    }


def _interval(drawn_S: Floats) -> tuple[float | None, float | None]:
    if not len(drawn_S):
        return None, None
    low, high = np.quantile(drawn_S, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _resampled(points_QP2: Floats, resamples: int, seed: int) -> Floats:
    """(S, P, 2): points of the pairs in resamples of the questions; no resample exists of a single question."""
    questions, pairs, _ = points_QP2.shape
    if questions < 2:
        return np.zeros((0, pairs, 2))
    generator, flat = np.random.default_rng(seed), points_QP2.reshape(questions, -1)
    even = np.full(questions, 1 / questions)
    drawn = [generator.multinomial(questions, even).astype(np.float64) @ flat for _ in range(resamples)]
    return np.stack(drawn).reshape(resamples, pairs, 2)


def _ratings(points_SP2: Floats, at: NDArray[np.int_], models: int) -> Floats:
    """(S, M): ratings on Elo's scale. Newton's steps are shortened far from the maximum, where they would overshoot."""
    samples = len(points_SP2)
    one, other = at[:, 0], at[:, 1]
    signs_PM = np.zeros((len(at), models))
    signs_PM[np.arange(len(at)), one], signs_PM[np.arange(len(at)), other] = 1, -1
    count_SP = points_SP2.sum(2)
    strength_SM = np.zeros((samples, models))
    diagonal = np.arange(models)
    for _ in range(STEPS):
        chance_SP = _sigmoid(strength_SM @ signs_PM.T)
        own_SM = _sigmoid(strength_SM)
        slope_SM = (points_SP2[:, :, 0] - count_SP * chance_SP) @ signs_PM + 0.5 - own_SM
        bend_SP = count_SP * chance_SP * (1 - chance_SP)
        bend_SMM = np.zeros((samples, models, models))
        bend_SMM[:, one, other] = bend_SMM[:, other, one] = -bend_SP
        bend_SMM[:, diagonal, diagonal] = bend_SP @ np.abs(signs_PM) + own_SM * (1 - own_SM)
        step_SM = np.linalg.solve(bend_SMM, slope_SM[:, :, None])[:, :, 0]
        longest_S = np.abs(step_SM).max(1, keepdims=True)
        strength_SM += step_SM / np.maximum(longest_S, 1)
        if longest_S.max() < CLOSE:
            break
    return MEAN + SCALE * (strength_SM - strength_SM.mean(1, keepdims=True))


def _sigmoid(x: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(x / 2))


def _groups(at: NDArray[np.int_], models: int) -> list[int]:
    """The group of each model, from 1, by the pairs that were compared."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(at)), (at[:, 0], at[:, 1])), shape=(models, models))
    return [int(group) + 1 for group in connected_components(graph, directed=False)[1]]
