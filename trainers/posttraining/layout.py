"""Several texts in the rows of one batch, padded or packed: the same losses, gradients and sums by either.

Padded, each text has a row of its own. Packed, rows hold as many texts as fit, the longest placed first (first-fit
decreasing); attention and positions keep the texts apart, and no text predicts the first token of the next one.

Shape suffixes: S texts, B rows, T positions, N positions whose next token is trained on, in the order of the texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.models.dense import Documents


class Text(Protocol):
    """Tokens, and which of them are trained on."""

    @property
    def tokens(self) -> NDArray[np.int32]: ...
    @property
    def labels(self) -> NDArray[np.bool_]: ...


@dataclass(frozen=True)
class Layout:
    """A batch as a decoder reads it."""

    tokens_BT: Tensor
    target_BT: Tensor
    """The next token of the same text; 0 where there is none."""
    chosen_BT: Tensor
    """True where the next token is trained on."""
    held_BT: Tensor
    """True where a token stands, false in padding."""
    text_N: Tensor
    """The number of the text of each chosen position, in the order in which `chosen_BT` selects them."""
    order_N: Tensor
    """What puts values of chosen positions in the order of the texts and, within a text, of its tokens."""
    ends_2S: Tensor
    """Row and position of the last token of each text that is read."""
    texts: int
    documents: Documents | None
    """None where each row holds one text from its beginning on."""

    def sums(self, values_N: Tensor) -> Tensor:
        """(S,): the sum of the values of each text's chosen positions."""
        # Not index_add: on a GPU its order of additions changes from call to call.
        return segment_sums(values_N[self.order_N], self.counts)

    @property
    def counts(self) -> Tensor:
        """(S,): chosen positions of each text."""
        return torch.bincount(self.text_N, minlength=self.texts)


def segment_sums(values_N: Tensor, counts_S: Tensor) -> Tensor:
    """(S,): sums over runs of values, of these lengths."""
    reduce: Any = torch.segment_reduce  # ty: ignore[missing-attribute]
    return reduce(values_N, "sum", lengths=counts_S, unsafe=True)


def rows_of(lengths: Sequence[int], length: int) -> list[list[int]]:
    """Which texts share a row of `length` tokens: each, the longest first, goes into the first row with room.

    Example:
        >>> rows_of([3, 5, 2, 4], 8)
        [[1, 0], [3, 2]]
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for text in sorted(range(len(lengths)), key=lambda number: (-lengths[number], number)):
        row = next((number for number, left in enumerate(room) if left >= lengths[text]), None)
        if row is None:
            rows.append([])
            room.append(max(length, lengths[text]))
            row = len(rows) - 1
        rows[row].append(text)
        room[row] -= lengths[text]
    return rows


def laid_out(
    texts: Sequence[Text], device: torch.device, *, packed: bool, length: int, to_the_end: bool = False
) -> Layout:
    """The texts as rows.

    Args:
        packed: whether a row holds as many texts as fit into `length` tokens.
        to_the_end: whether the last token of a text is read too, which predicts nothing.
    """
    lengths = [max(1, len(text.tokens) - (not to_the_end)) for text in texts]
    rows = rows_of(lengths, length) if packed else [[number] for number in range(len(texts))]
    B, T = len(rows), max(sum(lengths[text] for text in row) for row in rows)
    tokens, target = np.zeros((B, T), dtype=np.int64), np.zeros((B, T), dtype=np.int64)
    chosen, held = np.zeros((B, T), dtype=np.bool_), np.zeros((B, T), dtype=np.bool_)
    document, position = np.full((B, T), -1, dtype=np.int64), np.zeros((B, T), dtype=np.int64)
    text_of, ends = np.zeros((B, T), dtype=np.int64), np.zeros((2, len(texts)), dtype=np.int64)
    for row, members in enumerate(rows):
        begin = 0
        for place, number in enumerate(members):
            text, end = texts[number], begin + lengths[number]
            here = (row, slice(begin, end))
            tokens[here], held[here] = text.tokens[: lengths[number]], True
            following = slice(begin, begin + len(text.tokens) - 1)
            target[row, following], chosen[row, following] = text.tokens[1:], text.labels[1:]
            document[here], position[here], text_of[here] = place, np.arange(lengths[number]), number
            ends[:, number] = row, end - 1
            begin = end
    text_N = text_of[chosen]
    shared = any(len(members) > 1 for members in rows)
    on: dict[str, Any] = {"device": device}
    return Layout(
        tokens_BT=torch.as_tensor(tokens, **on),
        target_BT=torch.as_tensor(target, **on),
        chosen_BT=torch.as_tensor(chosen, **on),
        held_BT=torch.as_tensor(held, **on),
        text_N=torch.as_tensor(text_N, **on),
        order_N=torch.as_tensor(np.argsort(text_N, kind="stable"), **on),
        ends_2S=torch.as_tensor(ends, **on),
        texts=len(texts),
        documents=Documents(torch.as_tensor(document, **on), torch.as_tensor(position, **on)) if shared else None,
    )
