"""A vision transformer over crops, and the connector that pools its patches.

Shape suffixes: C crops, S patches of a crop (plus a class token), D width, H heads, K width of a head, P picture
tokens, W patches of a picture token, L layers that are read, E width of the decoder.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.vision.shape import ConnectorConfig, TransformerConfig


def _activated(x: Tensor, kind: str) -> Tensor:
    if kind == "quick_gelu":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate="tanh" if kind == "gelu_tanh" else "none")


def number_waves(values: Tensor, waves: int) -> Tensor:
    """(..., 2 waves): sines and cosines of numbers from 0 to 100, of frequencies from half a wave to 16 waves."""
    frequency = 2 * torch.pi / 100 * 2.0 ** torch.linspace(-1, 4, waves, device=values.device)
    angle = values[..., None].float() * frequency
    return torch.cat((angle.sin(), angle.cos()), -1)


class Stem(nn.Module):
    """Convolutions of 3 x 3, those with stride 2 first, then a matrix (arXiv 2106.14881).

    A convolution with stride 1 that keeps the number of channels is added to what it reads.
    """

    def __init__(self, channels: tuple[int, ...], patch: int, width: int) -> None:
        super().__init__()
        sizes, halvings = (3, *channels), patch.bit_length() - 1
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2 if number < halvings else 1, padding=1)
            for number, (before, after) in enumerate(zip(sizes, channels, strict=False))
        )
        self.norms = nn.ModuleList(nn.GroupNorm(1, size) for size in channels)
        self.out = nn.Linear(channels[-1], width)

    def forward(self, pixels_CHW3: Tensor) -> Tensor:
        x = pixels_CHW3.permute(0, 3, 1, 2)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            found = F.relu(norm(convolution(x)))
            x = x + found if found.shape == x.shape else found
        return self.out(x.flatten(2).transpose(1, 2))


class PatchMatrix(nn.Module):
    """One matrix from a patch's pixels (rows, columns, colours) to D, as CLIP's convolution without overlap."""

    def __init__(self, patch: int, width: int, *, bias: bool) -> None:
        super().__init__()
        self.patch = patch
        self.out = nn.Linear(3 * patch * patch, width, bias=bias)

    def forward(self, pixels_CHW3: Tensor) -> Tensor:
        C, size, _, _ = pixels_CHW3.shape
        side, patch = size // self.patch, self.patch
        cut = pixels_CHW3.view(C, side, patch, side, patch, 3).transpose(2, 3)
        return self.out(cut.reshape(C, side * side, -1))


class VisionBlock(nn.Module):
    """Attention without a mask, then two layers, each normed before and added to the stream."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        D = config.width
        self.heads, self.activation = config.heads, config.activation
        self.attention_norm = nn.LayerNorm(D, eps=config.norm_eps)
        self.query_key_value = nn.Linear(D, 3 * D)
        self.out = nn.Linear(D, D)
        self.feed_forward_norm = nn.LayerNorm(D, eps=config.norm_eps)
        self.up = nn.Linear(D, config.hidden)
        self.down = nn.Linear(config.hidden, D)

    def forward(self, x_CSD: Tensor) -> Tensor:
        qkv = self.query_key_value(self.attention_norm(x_CSD)).unflatten(-1, (3, self.heads, -1))
        q_CHSK, k_CHSK, v_CHSK = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        y_CHSK = F.scaled_dot_product_attention(q_CHSK, k_CHSK, v_CHSK)
        x_CSD = x_CSD + self.out(y_CHSK.transpose(1, 2).flatten(2))
        return x_CSD + self.down(_activated(self.up(self.feed_forward_norm(x_CSD)), self.activation))


class VisionTransformer(nn.Module):
    """Crops in, the outputs of chosen blocks side by side out."""

    def __init__(self, config: TransformerConfig, crop: int, patch: int) -> None:
        super().__init__()
        self.config = config
        D, tokens = config.width, (crop // patch) ** 2 + config.class_token
        self.patches: nn.Module = (
            Stem(tuple(config.stem), patch, D) if config.stem else PatchMatrix(patch, D, bias=config.patch_bias)
        )
        if config.class_token:
            self.class_token = nn.Parameter(torch.empty(D))
        if config.positions:
            self.positions = nn.Parameter(torch.empty(tokens, D))
        if config.norm_first:
            self.norm = nn.LayerNorm(D, eps=config.norm_eps)
        self.blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.layers))

    def forward(self, pixels_CHW3: Tensor, layers: tuple[int, ...]) -> Tensor:
        """(C, S, L D) of crops (C, H, W, 3) in 0..255, without the class token.

        Args:
            layers: the blocks whose outputs are joined, counted from the end: -1 is the last.
        """
        config, x = self.config, pixels_CHW3.float() / 255
        scale = [torch.tensor(values, device=x.device) for values in (config.mean, config.deviation)]
        x_CSD = self.patches((x - scale[0]) / scale[1])
        if config.class_token:
            x_CSD = torch.cat((self.class_token.expand(len(x_CSD), 1, -1).to(x_CSD.dtype), x_CSD), 1)
        if config.positions:
            x_CSD = x_CSD + self.positions
        if config.norm_first:
            x_CSD = self.norm(x_CSD)
        wanted = [len(self.blocks) + layer for layer in layers]
        kept: dict[int, Tensor] = {}
        for number, block in enumerate(self.blocks[: max(wanted) + 1]):
            x_CSD = block(x_CSD)
            if number in wanted:
                kept[number] = x_CSD
        joined = torch.cat([kept[number] for number in wanted], -1)
        return joined[:, 1:] if config.class_token else joined


class Connector(nn.Module):
    """Pools the patches of a token by attention, whose query is their mean, and maps the result to the decoder."""

    def __init__(
        self, config: ConnectorConfig, vision: TransformerConfig, crops_hidden: int, decoder_width: int
    ) -> None:
        super().__init__()
        reads, D = vision.width * len(config.layers), config.width or vision.width
        self.heads = config.heads
        if config.mark_padding:
            self.padding = nn.Parameter(torch.empty(2, reads))
        self.query, self.key, self.value = (nn.Linear(reads, D) for _ in range(3))
        self.pooled = nn.Linear(D, D)
        self.gate_up = nn.Linear(D, 2 * crops_hidden, bias=False)
        self.down = nn.Linear(crops_hidden, decoder_width, bias=False)
        if config.places:
            self.waves = max(1, decoder_width // 8)
            self.places = nn.Linear(4 * self.waves, decoder_width, bias=False)
        if config.offsets:
            self.offsets = nn.Linear(decoder_width, 2)

    def placed(self, at_P2: Tensor) -> Tensor:
        """(P, E): what tells the decoder where the middles of picture tokens are.

        Args:
            at_P2: x and y in percent of the picture.
        """
        return self.places(number_waves(at_P2, self.waves).flatten(-2))

    def forward(self, patches_CSD: Tensor, inside_CS: Tensor, pooled_PW: Tensor) -> Tensor:
        """(P, E): a feature for each picture token.

        Args:
            patches_CSD: of all crops of a batch.
            inside_CS: the part of each patch, 0..1, that lies in its picture.
            pooled_PW: numbers, over all crops, of the patches of each token.
        """
        if hasattr(self, "padding"):
            beside, partly = inside_CS <= 0, (inside_CS > 0) & (inside_CS < 1)
            patches_CSD = patches_CSD + beside[..., None] * self.padding[0] + partly[..., None] * self.padding[1]
        read_PWD = patches_CSD.flatten(0, 1)[pooled_PW]
        q_P1D = self.query(read_PWD.mean(1, keepdim=True))
        heads = [
            x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q_P1D, self.key(read_PWD), self.value(read_PWD))
        ]
        y_PHK = F.scaled_dot_product_attention(*heads)[:, :, 0]
        gate, up = self.gate_up(self.pooled(y_PHK.flatten(1))).chunk(2, -1)
        return self.down(F.silu(gate) * up)
