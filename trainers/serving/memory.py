"""What scoring asks of a model that reads tokens in steps and remembers them.

Shape suffixes: B rows, S tokens read now, T tokens remembered, V vocabulary, N places asked for. The places of a row
that hold no token are never looked at: they stand at its beginning in what is read first, and at its end in what is
read last, so the tokens of a row lie side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Memory:
    """What a model has read."""

    cache: Any
    """Keys and values of every layer, as the model keeps them."""
    held_BT: Tensor
    """True where a row holds a token."""

    @property
    def next_B(self) -> Tensor:
        """The position of each row's next token."""
        return self.held_BT.sum(1)


class LanguageModel(Protocol):
    """What scoring needs of a model."""

    length: int
    """Tokens it reads at most."""
    vocab_size: int
    device: torch.device

    def read(
        self, tokens_BS: Tensor, held_BS: Tensor, memory: Memory | None, at: Tensor | None
    ) -> tuple[Tensor, Memory]:
        """Read on.

        Args:
            held_BS: true where tokens_BS is one.
            at: (N, 2) rows and columns of tokens_BS; None: none.

        Returns:
            Logits (N, V) of what follows each of those places, and what was read in all.
        """
        ...

    def select(self, memory: Memory, rows_B: Tensor) -> Memory:
        """The memory of those rows, which may come more than once. The one given must not be used again."""
        ...


def positions(held_BS: Tensor, memory: Memory | None) -> Tensor:
    """(B, S): how many tokens come before each in its row."""
    before_B1 = memory.next_B[:, None] if memory else 0
    return (held_BS.cumsum(1) - 1).clamp(min=0) + before_B1
