"""One step of a decoder over rows with a cache of keys and values.

A row is a text that is being read or written. Live rows are the first ones of the cache, so that a step over all of
them reads its tensors as they lie; a row that ends gives its place to the last one.

Shape suffixes: R rows of the cache, N live rows, S tokens read now, T tokens of the cache, V vocabulary, J = H / G
queries that share a key, Z tokens that a row begins with; D, H, G, K and P as in trainers/models/dense.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.models.dense import Attention, Block, DenseDecoder
from trainers.serving.prefixes import LEAST, Kept, Prefixes

SMALLEST = 256
"""Tokens of a row that are allocated at first; it doubles from there."""


def queries_keys_values(
    attention: Attention, x_BSD: Tensor, cos_BS11P: Tensor, sin_BS11P: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """(B, S, H, K), (B, S, G, K) and (B, S, G, K), turned by angles that each row has for itself."""
    split = attention._equal if attention.groups == attention.heads else attention._grouped
    return split(attention.query_key_value(x_BSD), cos_BS11P, sin_BS11P)


Keep = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Stores a layer's keys and values of the tokens read now; returns those that they look at, (B, G, T, K)."""


class Cache:
    """Keys and values, (R, G, T, K) a layer, within a budget of R T tokens.

    Args:
        model: whose layers, groups, widths, device and type the cache has.
        budget: tokens of all rows together, at most, and of the texts that are kept after their end.
        length: tokens of a row, at most.
        reused: the share of the budget that kept texts may have, 0..1, where rows leave room for them.
    """

    def __init__(self, model: DenseDecoder, budget: int, length: int, reused: float = 1.0) -> None:
        self.budget, self.length = budget, length
        self._reused, self.kept = reused, Prefixes()
        self._shape = (model.config.groups, model.config.head_width)
        weight = model.embedding.weight
        self._options: dict[str, Any] = {"dtype": weight.dtype, "device": weight.device}
        self.rows = self.tokens = 0
        self._layers = model.config.layers
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.clear()

    def clear(self) -> None:
        """Free everything."""
        G, K = self._shape
        self.rows = self.tokens = 0
        self.keys = [torch.empty(0, G, 0, K, **self._options) for _ in range(self._layers)]
        self.values = [torch.empty(0, G, 0, K, **self._options) for _ in range(self._layers)]
        self.kept.shrink(0)

    def fits(self, rows: int, tokens: int) -> bool:
        """Whether that many rows of that many tokens are within the budget."""
        return rows * tokens <= self.budget and tokens <= self.length

    def reserve(self, rows: int, tokens: int, live: int) -> None:
        """Make room; the first `live` rows are kept."""
        if rows <= self.rows and tokens <= self.tokens:
            return
        wide = max(self.tokens, min(_doubled(tokens, SMALLEST), self.length))
        high = max(self.rows, _doubled(rows, 1))
        if high * wide > self.budget:
            wide, high = min(max(tokens, self.budget // rows), self.length, _doubled(tokens, SMALLEST)), rows
        G, K = self._shape
        kept, live = min(self.tokens, wide), min(live, self.rows)
        self.kept.shrink(self.budget - high * wide)
        for held in (self.keys, self.values):
            for layer in range(self._layers):
                # Zeros, because what is masked is still multiplied: it must not be NaN.
                larger = torch.zeros(high, G, wide, K, **self._options)
                larger[:live, :, :kept] = held[layer][:live, :, :kept]
                held[layer] = larger
        self.rows, self.tokens = high, wide

    def move(self, source: int, target: int, tokens: int) -> None:
        """Copy the first tokens of a row to another row."""
        for held in (*self.keys, *self.values):
            held[target, :, :tokens] = held[source, :, :tokens]

    def keep(self, row: int, tokens: list[int]) -> None:
        """Keep the first tokens of a row, whose text has ended, if there is room for them."""
        room = min(self.budget - self.rows * self.tokens, int(self._reused * self.budget))
        if LEAST <= len(tokens) <= room:
            held = (torch.stack([each[row, :, : len(tokens)] for each in side]) for side in (self.keys, self.values))
            self.kept.keep(Kept(tokens, *held), room)

    def restore(self, text: Kept, row: int, tokens: int) -> None:
        """Copy the first tokens of a kept text to a row."""
        for held, kept_LGTK in ((self.keys, text.keys_LGTK), (self.values, text.values_LGTK)):
            for layer in range(self._layers):
                held[layer][row, :, :tokens] = kept_LGTK[layer, :, :tokens]


def _doubled(least: int, start: int) -> int:
    while start < least:
        start *= 2
    return start


class Steps:
    """Reads tokens into rows of a cache and returns logits in float32.

    Args:
        model: on its device and in its type; rotary tables stay in float32.
        cache: of that model.
    """

    def __init__(self, model: DenseDecoder, cache: Cache) -> None:
        self.model, self.cache = model.eval(), cache
        self.device = model.embedding.weight.device

    @torch.inference_mode()
    def read(
        self,
        row: int,
        tokens: list[int],
        start: int,
        opened: int,
        *,
        begun_ZD: Tensor | None = None,
        both_ways: bool = False,
    ) -> Tensor:
        """Hidden states (S, D) after each of the tokens, which follow `start` others in the row.

        Args:
            opened: where the document of the first token began; see DenseConfig.separator.
            begun_ZD: embeddings of the first tokens of the row, in place of the model's own; see pictures.py.
            both_ways: whether those look at each other in both directions. They are then read in one step.
        """
        tokens_1S = torch.tensor([tokens], device=self.device)
        end = start + len(tokens)
        place_S = torch.arange(start, end, device=self.device)
        look_ST = torch.arange(end, device=self.device)[None] <= place_S[:, None]
        if self.model.config.separator >= 0:
            begins_S = torch.where(tokens_1S[0] == self.model.config.separator, place_S, -1).cummax(0).values
            look_ST &= torch.arange(end, device=self.device)[None] >= begins_S.clamp(min=opened)[:, None]
        x_1SD = self.model.embedding(tokens_1S)
        if begun_ZD is not None and start < len(begun_ZD):
            given_SD = begun_ZD[start:end].to(x_1SD.dtype)
            x_1SD[0, : len(given_SD)] = given_SD
            if both_ways:
                look_ST[: len(given_SD), : len(begun_ZD)] = True
        views = [
            (keys[row : row + 1, :, :end], values[row : row + 1, :, :end])
            for keys, values in zip(self.cache.keys, self.cache.values, strict=True)
        ]

        def keep(layer: int, k_1SGK: Tensor, v_1SGK: Tensor) -> tuple[Tensor, Tensor]:
            keys, values = views[layer]
            keys[:, :, start:], values[:, :, start:] = k_1SGK.transpose(1, 2), v_1SGK.transpose(1, 2)
            return keys, values

        return self._blocks(x_1SD, place_S[None], look_ST[None, None], keep)[0]

    @torch.inference_mode()
    def write(self, tokens: list[int], places: list[int], opened: list[int]) -> Tensor:
        """Logits (N, V) after one more token in each of the first N rows.

        Args:
            places: how many tokens each row holds.
            opened: where the document of each token began.
        """
        N, most = len(tokens), max(places) + 1
        tokens_N1 = torch.tensor(tokens, device=self.device)[:, None]
        place_N1 = torch.tensor(places, device=self.device)[:, None]
        every_T = torch.arange(most, device=self.device)
        look_NT = every_T <= place_N1
        if self.model.config.separator >= 0:
            look_NT &= every_T >= torch.tensor(opened, device=self.device)[:, None]
        row_N, at_N = torch.arange(N, device=self.device), place_N1[:, 0]

        def keep(layer: int, k_N1GK: Tensor, v_N1GK: Tensor) -> tuple[Tensor, Tensor]:
            keys, values = self.cache.keys[layer], self.cache.values[layer]
            keys[row_N, :, at_N], values[row_N, :, at_N] = k_N1GK[:, 0], v_N1GK[:, 0]
            return keys[:N, :, :most], values[:N, :, :most]

        x_N1D = self.model.embedding(tokens_N1)
        return self.logits(self._blocks(x_N1D, place_N1, look_NT[:, None, None], keep)[:, 0])

    def logits(self, x_ND: Tensor) -> Tensor:
        """(N, V) in float32 of hidden states."""
        with torch.inference_mode():
            return F.linear(self.model.norm(x_ND), self.model.output_weight).float()

    def _blocks(self, x_BSD: Tensor, place_BS: Tensor, look_B1ST: Tensor, keep: Keep) -> Tensor:
        cos_BS11P, sin_BS11P = self.model.cos_T11P[place_BS], self.model.sin_T11P[place_BS]
        attention = cast(Block, self.model.blocks[0]).attention
        J = attention.heads // attention.groups
        # The J queries of a key are J places that look at the same: nothing is repeated.
        look_B1JST = look_B1ST[:, :, None].expand(-1, -1, J, -1, -1).flatten(2, 3) if J > 1 else look_B1ST
        for layer, each in enumerate(self.model.blocks):
            block = cast(Block, each)

            def attend(x_BSD: Tensor, block: Block = block, layer: int = layer) -> Tensor:
                q_BSHK, k_BSGK, v_BSGK = queries_keys_values(block.attention, x_BSD, cos_BS11P, sin_BS11P)
                k_BGTK, v_BGTK = keep(layer, k_BSGK, v_BSGK)
                q_BGXK = q_BSHK.transpose(1, 2).unflatten(1, (-1, J)).flatten(2, 3)
                y_BGXK = F.scaled_dot_product_attention(q_BGXK, k_BGTK, v_BGTK, attn_mask=look_B1JST)
                y_BHSK = y_BGXK.unflatten(2, (J, -1)).flatten(1, 2)
                return block.attention.out(y_BHSK.transpose(1, 2).flatten(2))

            x_BSD = block.around(x_BSD, attend)
        return x_BSD
