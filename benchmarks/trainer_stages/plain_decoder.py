"""A decoder as one writes it in plain torch, with the tensor names of the Hugging Face format.

The same function as `trainers.models`, without any of its care: queries, keys and values apart, a loop over experts,
all logits at once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.models.config import DenseConfig, MoEConfig


class Attention(nn.Module):
    """Causal, with QK-norm over the full width and rotary positions."""

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        D = config.width
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(D, D, bias=False) for _ in range(4))
        self.q_norm, self.k_norm = (nn.RMSNorm(D, eps=config.norm_eps) for _ in range(2))
        self.heads = config.heads

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        q, k, v = self.q_norm(self.q_proj(x)), self.k_norm(self.k_proj(x)), self.v_proj(x)
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (q, k, v))
        y = F.scaled_dot_product_attention(_turn(q, cos, sin), _turn(k, cos, sin), v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).flatten(2))


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.up_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.down_proj = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Experts(nn.Module):
    """A loop over experts, each given its tokens."""

    def __init__(self, config: MoEConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(config.width, config.experts, bias=False)
        self.experts = nn.ModuleList(FeedForward(config) for _ in range(config.experts))
        self.k = config.experts_per_token

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(0, 1)
        weight, chosen = self.gate(tokens).float().softmax(-1).topk(self.k, dim=-1)
        out = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            token, rank = torch.where(chosen == number)
            out.index_add_(0, token, (expert(tokens[token]) * weight[token, rank, None]).to(out.dtype))
        return out.view_as(x)


class Layer(nn.Module):
    """Norms before (Olmoe) or after (Olmo2) attention and feed-forward."""

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        self.before = config.norm_placement == "pre"
        self.self_attn = Attention(config)
        self.mlp = Experts(config) if isinstance(config, MoEConfig) else FeedForward(config)
        self.post_attention_layernorm = nn.RMSNorm(config.width, eps=config.norm_eps)
        if self.before:
            self.input_layernorm = nn.RMSNorm(config.width, eps=config.norm_eps)
        else:
            self.post_feedforward_layernorm = nn.RMSNorm(config.width, eps=config.norm_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        if self.before:
            x = x + self.self_attn(self.input_layernorm(x), cos, sin)
            return x + self.mlp(self.post_attention_layernorm(x))
        x = x + self.post_attention_layernorm(self.self_attn(x, cos, sin))
        return x + self.post_feedforward_layernorm(self.mlp(x))


class PlainDecoder(nn.Module):
    """Tokens (B, T) to logits (B, T, V)."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, eps=config.norm_eps)
        self.lm_head = nn.Linear(config.width, config.vocab_size, bias=False)
        pairs = torch.arange(0, config.head_width, 2).float() / config.head_width
        angle = torch.outer(torch.arange(config.sequence_length).float(), config.rope_theta**-pairs).repeat(1, 2)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x, self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]])
        return self.lm_head(self.norm(x))
