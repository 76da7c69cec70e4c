"""A dense decoder.

Choices: RMSNorm with a gain, SwiGLU, rotary positions on half-split pairs, QK-norm over the full width, no bias
anywhere, output matrix not tied to the input embedding. Attention is torch's scaled_dot_product_attention, queries,
keys and values come from one matrix, and so do SwiGLU's gate and value: a tiny model on a CPU is bound by the number
of kernels it starts.

Shape suffixes: B batch, T positions, D width, H heads, K width of a head (D = H K), F hidden width, V vocabulary,
N = B T positions in a row, P = K / 2 rotary pairs.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.models.config import DenseConfig
from trainers.models.loss import cross_entropy


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) over the last axis, times a gain (arXiv 1910.07467)."""

    def __init__(self, *shape: int, eps: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(*shape))
        self.eps = eps

    def forward(self, x_D: Tensor) -> Tensor:
        return F.rms_norm(x_D, x_D.shape[-1:], None, self.eps) * self.gain


def rotary_tables(length: int, head_width: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (T, 1, 1, P) in float32, of position x theta^(-2p / K) (arXiv 2104.09864)."""
    pairs = torch.arange(0, head_width, 2, dtype=torch.float64) / head_width
    angle_TP = torch.outer(torch.arange(length, dtype=torch.float64), theta**-pairs)
    return angle_TP.cos().float()[:, None, None, :], angle_TP.sin().float()[:, None, None, :]


def rotate(x_K: Tensor, cos_P: Tensor, sin_P: Tensor) -> Tensor:
    """Turn the pairs (x[p], x[p + K/2]) by their angle; any leading axes."""
    first_P, second_P = x_K.chunk(2, dim=-1)
    return torch.cat((first_P * cos_P - second_P * sin_P, second_P * cos_P + first_P * sin_P), dim=-1)


class Attention(nn.Module):
    """Causal multi-head attention over (B, T, D)."""

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        self.heads, self.qk_norm = config.heads, config.qk_norm
        self.query_key_value = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)
        if config.qk_norm:
            # One gain of shape (2, D) norms queries and keys in one kernel.
            self.norm = RMSNorm(2, config.width, eps=config.norm_eps)

    def forward(self, x_BTD: Tensor, cos_T11P: Tensor, sin_T11P: Tensor) -> Tensor:
        B, T, D = x_BTD.shape
        H, K = self.heads, D // self.heads
        qkv_BT3D = self.query_key_value(x_BTD).view(B, T, 3, D)
        qk_BT2D, v_BTD = qkv_BT3D[:, :, :2], qkv_BT3D[:, :, 2]
        if self.qk_norm:
            qk_BT2D = self.norm(qk_BT2D)
        qk_BT2HK = rotate(qk_BT2D.unflatten(-1, (H, K)), cos_T11P, sin_T11P).to(v_BTD.dtype)
        q_BHTK, k_BHTK = qk_BT2HK[:, :, 0].transpose(1, 2), qk_BT2HK[:, :, 1].transpose(1, 2)
        v_BHTK = v_BTD.unflatten(-1, (H, K)).transpose(1, 2)
        y_BHTK = F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, is_causal=True)
        return self.out(y_BHTK.transpose(1, 2).reshape(B, T, D))


class SwiGLU(nn.Module):
    """down(silu(gate x) * (up x)) (arXiv 2002.05202)."""

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        self.gate_up = nn.Linear(config.width, 2 * config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        gate_BTF, up_BTF = self.gate_up(x_BTD).chunk(2, dim=-1)
        return self.down(F.silu(gate_BTF) * up_BTF)


class Block(nn.Module):
    """Attention, then SwiGLU, each added to the residual stream."""

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        self.pre = config.norm_placement == "pre"
        self.attention = Attention(config)
        self.attention_norm = RMSNorm(config.width, eps=config.norm_eps)
        self.feed_forward = SwiGLU(config)
        self.feed_forward_norm = RMSNorm(config.width, eps=config.norm_eps)

    def forward(self, x_BTD: Tensor, cos_T11P: Tensor, sin_T11P: Tensor) -> Tensor:
        if self.pre:
            x_BTD = x_BTD + self.attention(self.attention_norm(x_BTD), cos_T11P, sin_T11P)
            return x_BTD + self.feed_forward(self.feed_forward_norm(x_BTD))
        x_BTD = x_BTD + self.attention_norm(self.attention(x_BTD, cos_T11P, sin_T11P))
        return x_BTD + self.feed_forward_norm(self.feed_forward(x_BTD))


class DenseDecoder(nn.Module):
    """Tokens in, hidden states, logits or loss out.

    On the meta device it has shapes but no numbers; `initialise` draws them.
    """

    cos_T11P: Tensor
    sin_T11P: Tensor

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, eps=config.norm_eps)
        self.unembedding = nn.Linear(config.width, config.vocab_size, bias=False)
        cos, sin = rotary_tables(config.sequence_length, config.width // config.heads, config.rope_theta)
        self.register_buffer("cos_T11P", cos, persistent=False)
        self.register_buffer("sin_T11P", sin, persistent=False)

    def initialise(self, seed: int) -> DenseDecoder:
        """Draw every matrix from a truncated normal (init_std, three deviations) and set gains to one.

        The two matrices that write to the residual stream are scaled by 1 / sqrt(2 L) when norms come before them,
        so that the stream's variance does not grow with depth. The generator is on the CPU: the same seed gives the
        same weights on every device.
        """
        generator = torch.Generator().manual_seed(seed)
        std = self.config.init_std
        shrink = 1 / math.sqrt(2 * self.config.layers) if self.config.norm_placement == "pre" else 1.0
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith("gain"):
                    parameter.fill_(1.0)
                    continue
                writes_residual = name.endswith(("attention.out.weight", "feed_forward.down.weight"))
                scale = std * (shrink if writes_residual else 1.0)
                drawn = torch.empty(parameter.shape, dtype=torch.float32)
                nn.init.trunc_normal_(drawn, 0.0, scale, -3 * scale, 3 * scale, generator=generator)
                parameter.copy_(drawn)
        return self

    def hidden(self, tokens_BT: Tensor) -> Tensor:
        """Normed hidden states (B, T, D) for int64 tokens (B, T), T at most the configured length."""
        T = tokens_BT.shape[1]
        x_BTD = self.embedding(tokens_BT)
        cos_T11P, sin_T11P = self.cos_T11P[:T], self.sin_T11P[:T]
        for block in self.blocks:
            x_BTD = block(x_BTD, cos_T11P, sin_T11P)
        return self.norm(x_BTD)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits (B, T, V); position t scores the token at t + 1."""
        return self.unembedding(self.hidden(tokens_BT))

    def loss(self, tokens_BS: Tensor, z_loss: float = 0.0) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy in nats of tokens 1.. of each row given those before (S = T + 1).

        Returns (to descend, to report): they differ by the z-loss term.
        """
        x_ND = self.hidden(tokens_BS[:, :-1]).flatten(0, 1)
        return cross_entropy(x_ND, self.unembedding.weight, tokens_BS[:, 1:].flatten(), z_loss)
