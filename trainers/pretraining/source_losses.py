"""The training loss of each source of a mixture, for the rows of metrics.jsonl."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainers.core.ranks import Ranks
from trainers.data.loader import Ints


class SourceLosses:
    """Adds up the cross-entropy of sequences by source since the last row of metrics.

    Args:
        sources: their number; a single source has no column.
    """

    def __init__(self, sources: int) -> None:
        self.sums_2S = torch.zeros(2, sources, dtype=torch.float64)
        """Nats, and tokens, of each source."""

    def of(self, nats_BT: Tensor, source_B: Ints) -> Tensor:
        """(2, S): nats and tokens of some sequences by source."""
        place_B = torch.from_numpy(source_B).to(nats_BT.device)
        found_2S = self.sums_2S.new_zeros(self.sums_2S.shape, device=nats_BT.device)
        found_2S[0].index_add_(0, place_B, nats_BT.sum(1, dtype=torch.float64))
        found_2S[1].index_add_(0, place_B, torch.full_like(place_B, nats_BT.shape[1], dtype=torch.float64))
        return found_2S

    def add(self, found_2S: Tensor) -> None:
        """Add what `of` returned."""
        self.sums_2S += found_2S.to(self.sums_2S.device)

    def column(self, ranks: Ranks) -> dict[str, list[float | None]]:
        """`loss_by_source`, nats a token in the order of the sources, None of one not read since the last row.

        Every rank calls this; the sums begin anew.
        """
        if self.sums_2S.shape[1] < 2:
            return {}
        nats_S, tokens_S = ranks.totals(self.sums_2S).tolist()
        self.sums_2S.zero_()
        found = zip(nats_S, tokens_S, strict=True)
        return {"loss_by_source": [nats / tokens if tokens else None for nats, tokens in found]}

    def state(self, ranks: Ranks) -> list[list[float]]:
        """The sums of all ranks, for a checkpoint; every rank calls this."""
        return ranks.totals(self.sums_2S.clone()).tolist()

    def restore(self, sums: Sequence[Sequence[float]], ranks: Ranks) -> None:
        """Go on from what `state` gave: the first rank holds the sums of all."""
        self.sums_2S.copy_(torch.tensor(sums, dtype=torch.float64))
        if not ranks.first:
            self.sums_2S.zero_()
