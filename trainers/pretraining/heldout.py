"""Bits per byte of a model on held-out shards."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from trainers.core.ranks import Ranks
from trainers.data.shards import Sequences
from trainers.models.dense import DenseDecoder


@dataclass(frozen=True)
class Heldout:
    """What a held-out pass found."""

    nats_per_token: float
    bits_per_byte: float
    tokens: int
    """Tokens predicted: all but the first of each sequence."""


def measure(
    model: DenseDecoder,
    sequences: Sequences,
    limit: int = 0,
    tick: Callable[[int], None] = lambda _: None,
    *,
    ranks: Ranks | None = None,
    batch: int = 32,
) -> Heldout:
    """Mean loss over the first `limit` sequences (0: all) and its bits per byte.

    Bits per byte = nats per token / ln 2 / bytes per token, with the split's own bytes per stored token (an
    end-of-text token counts as a token of no bytes). So models with different tokenizers can be compared on one text.
    `tick` is called with the number of sequences done after each `batch` of them. Ranks share each batch.
    """
    ranks = ranks or Ranks()
    count = min(limit or len(sequences), len(sequences))
    device = next(model.parameters()).device
    total, tokens = 0.0, 0
    for start in range(0, count, batch):
        rows = np.arange(start, min(start + batch, count))
        mine = np.array_split(rows, ranks.count)[ranks.rank]
        # Ranks compute together, so one that has no sequence left reads the first again, and counts nothing.
        nats_N = model.nats(torch.from_numpy(sequences[mine if len(mine) else rows[:1]]).to(device))
        if len(mine):
            total += nats_N.double().sum().item()
            tokens += len(nats_N)
        tick(start + len(rows))
    total, tokens = ranks.total(total, device), round(ranks.total(tokens, device))
    nats = total / tokens
    return Heldout(nats, nats / math.log(2) / sequences.split.bytes_per_token, tokens)
