"""Bits per byte of a model on held-out shards."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from trainers.data import Sequences
from trainers.models.dense import DenseDecoder
from trainers.models.loss import token_nats

BATCH = 32
"""Sequences at a time."""


@dataclass(frozen=True)
class Heldout:
    """What a held-out pass found."""

    nats_per_token: float
    bits_per_byte: float
    tokens: int
    """Tokens predicted: all but the first of each sequence."""


def measure(
    model: DenseDecoder, sequences: Sequences, limit: int = 0, tick: Callable[[int], None] = lambda _: None
) -> Heldout:
    """Mean loss over the first `limit` sequences (0: all) and its bits per byte.

    Bits per byte = nats per token / ln 2 / bytes per token, with the split's own bytes per stored token (an
    end-of-text token counts as a token of no bytes). So models with different tokenizers can be compared on one text.
    `tick` is called with the number of sequences done after each batch.
    """
    count = min(limit or len(sequences), len(sequences))
    device = next(model.parameters()).device
    total, tokens = 0.0, 0
    with torch.inference_mode():
        for start in range(0, count, BATCH):
            rows = np.arange(start, min(start + BATCH, count))
            tokens_BS = torch.from_numpy(sequences[rows]).to(device)
            x_ND = model.hidden(tokens_BS[:, :-1]).flatten(0, 1)
            nats_N = token_nats(x_ND, model.unembedding.weight, tokens_BS[:, 1:].flatten())
            total += nats_N.double().sum().item()
            tokens += len(nats_N)
            tick(start + len(rows))
    nats = total / tokens
    return Heldout(nats, nats / math.log(2) / sequences.split.bytes_per_token, tokens)
