"""The next token of each row: the likeliest, or one drawn by temperature, top-k and top-p.

A draw takes one number from the request's own generator (Philox, seeded), so that it depends on no other request.
Log-probabilities are those of the model: at temperature 1, before penalties, biases and cuts.

Shape suffixes: N rows, V vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a request wants its tokens chosen."""

    temperature: float = 1.0
    """0: always the likeliest."""
    top_p: float = 1.0
    """Only the likeliest tokens whose probabilities add up to this (arXiv 1904.09751)."""
    top_k: int = 0
    """Only so many of the likeliest; 0: all."""
    seed: int = 0
    bias: Mapping[int, float] = field(default_factory=dict)
    """Added to the logits of these tokens."""
    frequency_penalty: float = 0.0
    """Taken from a token's logit for every time that it was written."""
    presence_penalty: float = 0.0
    """Taken from a token's logit if it was written."""

    @property
    def adjusts(self) -> bool:
        """Whether logits are changed before the choice."""
        return bool(self.bias or self.frequency_penalty or self.presence_penalty)


class Chooser:
    """The state of a request's choices."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self._draws = np.random.Generator(np.random.Philox(key=sampling.seed))
        self._written: Counter[int] = Counter()

    def adjust(self, logits_V: Tensor) -> Tensor:
        """The logits after biases and penalties."""
        s = self.sampling
        changes: dict[int, float] = {}
        for token, times in self._written.items():
            changes[token] = -s.frequency_penalty * times - s.presence_penalty
        for token, bias in s.bias.items():
            changes[token] = changes.get(token, 0.0) + bias
        changed_V = logits_V.clone()
        if changes:
            places = torch.tensor(list(changes), device=logits_V.device)
            changed_V[places] += torch.tensor(list(changes.values()), device=logits_V.device, dtype=logits_V.dtype)
        return changed_V

    def draw(self) -> float:
        """The next number of [0, 1)."""
        return float(self._draws.random())

    def wrote(self, token: int) -> None:
        """Count a token that was chosen."""
        if self.sampling.frequency_penalty or self.sampling.presence_penalty:
            self._written[token] += 1


def choose(logits_NV: Tensor, choosers: Sequence[Chooser]) -> list[int]:
    """A token for each row."""
    if any(chooser.sampling.adjusts for chooser in choosers):
        rows = zip(logits_NV, choosers, strict=True)
        logits_NV = torch.stack([c.adjust(row_V) if c.sampling.adjusts else row_V for row_V, c in rows])
    chosen = logits_NV.argmax(-1).tolist()
    drawn = [place for place, chooser in enumerate(choosers) if chooser.sampling.temperature > 0]
    if drawn:
        tokens = _draw(logits_NV[drawn], [choosers[place] for place in drawn])
        for place, token in zip(drawn, tokens, strict=True):
            chosen[place] = token
    for chooser, token in zip(choosers, chosen, strict=True):
        chooser.wrote(token)
    return chosen


def _draw(logits_NV: Tensor, choosers: Sequence[Chooser]) -> list[int]:
    settings = [chooser.sampling for chooser in choosers]
    on: dict[str, Any] = {"device": logits_NV.device, "dtype": torch.float64}
    temperature_N1 = torch.tensor([s.temperature for s in settings], **on)[:, None]
    uniform_N1 = torch.tensor([chooser.draw() for chooser in choosers], **on)[:, None]
    probability_NV = (logits_NV.double() / temperature_N1).softmax(-1)
    cut = any(s.top_p < 1 or s.top_k for s in settings)
    order_NV = None
    if cut:
        probability_NV, order_NV = probability_NV.sort(dim=-1, descending=True, stable=True)
        top_p_N1 = torch.tensor([s.top_p for s in settings], **on)[:, None]
        most_N1 = torch.tensor([s.top_k or logits_NV.shape[1] for s in settings], device=on["device"])[:, None]
        before_NV = probability_NV.cumsum(-1) - probability_NV
        place_V = torch.arange(logits_NV.shape[1], device=logits_NV.device)
        # A rounded sum must cut nothing where top_p is 1.
        kept_NV = ((before_NV < top_p_N1) | (top_p_N1 >= 1)) & (place_V < most_N1)
        kept_NV[:, 0] = True
        probability_NV = probability_NV.masked_fill(~kept_NV, 0.0)
    sums_NV = probability_NV.cumsum(-1)
    place_N1 = torch.searchsorted(sums_NV, uniform_N1 * sums_NV[:, -1:], right=True)
    # Rounding may put the last number after the last token that has a probability.
    last_N1 = logits_NV.shape[1] - 1 - (probability_NV > 0).flip(-1).int().argmax(-1, keepdim=True)
    place_N1 = torch.minimum(place_N1, last_N1)
    return (place_N1 if order_NV is None else order_NV.gather(1, place_N1))[:, 0].tolist()


@dataclass(frozen=True)
class Likelihood:
    """Log-probabilities in nats where a token stands."""

    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens there."""


def likelihoods(logits_NV: Tensor, tokens: Sequence[int], tops: Sequence[int]) -> list[Likelihood]:
    """Of each row's token, with so many of the likeliest beside it."""
    logprob_NV = logits_NV.log_softmax(-1)
    found = logprob_NV.gather(1, torch.tensor(tokens, device=logits_NV.device)[:, None])[:, 0].tolist()
    most = min(max(tops), logits_NV.shape[1])
    if most == 0:
        return [Likelihood(logprob) for logprob in found]
    best = logprob_NV.topk(most, dim=-1)
    rows = zip(found, best.indices.tolist(), best.values.tolist(), tops, strict=True)
    return [Likelihood(logprob, tuple(zip(ids[:top], values[:top], strict=True))) for logprob, ids, values, top in rows]
