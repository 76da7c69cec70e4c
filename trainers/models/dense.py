"""A dense decoder.

Choices: norms with a gain, SwiGLU, rotary positions on half-split pairs, no bias anywhere; the rest as its
configuration says. Attention is torch's scaled_dot_product_attention, queries, keys and values come from one matrix,
and so do SwiGLU's gate and value: a tiny model on a CPU is bound by the number of kernels it starts.

Shape suffixes: B batch, T positions, D width, H heads, G heads of keys and values, K width of a head (D = H K, but for
models whose heads say otherwise),
F hidden width, V vocabulary, N = B T positions in a row, P = K / 2 rotary pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.models.config import DenseConfig, LlamaConfig
from trainers.models.loss import TokenScores, cross_entropy, token_nats, token_scores

WRITES_RESIDUAL = (
    "attention.out.weight",
    "feed_forward.down.weight",
    "feed_forward.down",
    "feed_forward.shared.down.weight",
)


def deviation(name: str, shape: tuple[int, ...], config: DenseConfig) -> float:
    """The deviation of the normal that the matrix `name`, (..., outputs, inputs), is drawn from before it is truncated.

    Matrices that write to the residual stream are smaller by sqrt(2 L) when norms come before them and
    `shrink_residual` is set, and in open_lm by sqrt(2 (l + 1)) in block l.
    """
    writes = name.endswith(WRITES_RESIDUAL)
    if config.initialisation == "open_lm":
        # An embedding is (V, D), so its last axis is D as well.
        block = int(name.split(".")[1]) if writes else 0
        return shape[-1] ** -0.5 / (math.sqrt(2 * (block + 1)) if writes else 1.0)
    shrunk = writes and config.norm_placement == "pre" and config.shrink_residual
    return config.init_std * (1 / math.sqrt(2 * config.layers) if shrunk else 1.0)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) over the last axis, times a gain (arXiv 1910.07467)."""

    full_precision = True
    """Whether several ranks keep the weights in float32 where matrices are gathered in bfloat16."""

    def __init__(self, *shape: int, eps: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(*shape))
        self.eps = eps

    def forward(self, x_D: Tensor) -> Tensor:
        return F.rms_norm(x_D, x_D.shape[-1:], None, self.eps) * self.gain


class LayerNorm(RMSNorm):
    """(x - mean) / sqrt(variance + eps) over the last axis, times a gain, without a bias (arXiv 1607.06450)."""

    def forward(self, x_D: Tensor) -> Tensor:
        return F.layer_norm(x_D, x_D.shape[-1:], None, None, self.eps) * self.gain


def norm(config: DenseConfig, *shape: int) -> RMSNorm:
    """The configuration's norm with a gain of `shape`."""
    return (RMSNorm if config.norm == "rms" else LayerNorm)(*shape, eps=config.norm_eps)


def rotary_tables(length: int, head_width: int, theta: float, divisors: Sequence[float] = ()) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (T, 1, 1, P) in float32, of position x theta^(-2p / K) (arXiv 2104.09864).

    Args:
        divisors: P numbers that the frequencies are divided by; (): by 1.
    """
    pairs = torch.arange(0, head_width, 2, dtype=torch.float64) / head_width
    frequency_P = theta**-pairs
    if divisors:
        frequency_P = frequency_P / torch.tensor(divisors, dtype=torch.float64)
    angle_TP = torch.outer(torch.arange(length, dtype=torch.float64), frequency_P)
    return angle_TP.cos().float()[:, None, None, :], angle_TP.sin().float()[:, None, None, :]


def rotate(x_K: Tensor, cos_P: Tensor, sin_P: Tensor) -> Tensor:
    """Turn the pairs (x[p], x[p + K/2]) by their angle; any leading axes."""
    first_P, second_P = x_K.chunk(2, dim=-1)
    return torch.cat((first_P * cos_P - second_P * sin_P, second_P * cos_P + first_P * sin_P), dim=-1)


def same_document(tokens_BT: Tensor, separator: int) -> Tensor:
    """(B, 1, T, T), true where a position may look: not ahead, and not beyond the separator that began its document.

    A separator begins the document after it, as it does for a text that is scored by itself.
    """
    document_BT = (tokens_BT == separator).cumsum(1)
    T = tokens_BT.shape[1]
    causal_TT = torch.ones(T, T, dtype=torch.bool, device=tokens_BT.device).tril()
    return (causal_TT & (document_BT[:, :, None] == document_BT[:, None, :]))[:, None]


@dataclass(frozen=True)
class Documents:
    """Several texts in the rows of a batch: no position attends to another text, and each text begins at position 0."""

    document_BT: Tensor
    """The number of a position's text within its row; padding has a number of its own."""
    position_BT: Tensor
    """The place of a token within its text."""

    def mask(self) -> Tensor:
        """(B, 1, T, T), true where a position may look: at its own text, and not ahead."""
        T = self.document_BT.shape[1]
        causal_TT = torch.ones(T, T, dtype=torch.bool, device=self.document_BT.device).tril()
        return (causal_TT & (self.document_BT[:, :, None] == self.document_BT[:, None, :]))[:, None]


class Attention(nn.Module):
    """Causal attention over (B, T, D), grouped when there are fewer keys and values than queries."""

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        D, K = config.width, config.head_width
        self.heads, self.groups, self.head_width = config.heads, config.groups, K
        self.query_key_value = nn.Linear(D, (config.heads + 2 * config.groups) * K, bias=config.biased)
        self.out = nn.Linear(config.heads * K, D, bias=False)
        self.full_norm = config.qk_norm and config.qk_norm_width == "full"
        self.head_norm = config.qk_norm and config.qk_norm_width == "head"
        if config.qk_norm and self.groups == self.heads:
            # One gain norms queries and keys in one kernel.
            self.norm = norm(config, *((2, config.heads * K) if self.full_norm else (2, 1, K)))
        elif config.qk_norm:
            self.query_norm = norm(config, config.heads * K if self.full_norm else K)
            self.key_norm = norm(config, config.groups * K if self.full_norm else K)

    def forward(self, x_BTD: Tensor, cos_T11P: Tensor, sin_T11P: Tensor, mask_B1TT: Tensor | None = None) -> Tensor:
        split = self._equal if self.groups == self.heads else self._grouped
        q_BTHK, k_BTGK, v_BTGK = split(self.query_key_value(x_BTD), cos_T11P, sin_T11P)
        y_BHTK = F.scaled_dot_product_attention(
            q_BTHK.transpose(1, 2),
            k_BTGK.transpose(1, 2),
            v_BTGK.transpose(1, 2),
            attn_mask=mask_B1TT,
            is_causal=mask_B1TT is None,
            enable_gqa=self.groups != self.heads,
        )
        return self.out(y_BHTK.transpose(1, 2).flatten(2))

    def _equal(self, qkv_BTX: Tensor, cos_T11P: Tensor, sin_T11P: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # split and unbind, not indexing: their backward pass writes a gradient once, without zeros around it.
        qk_BT2D, v_BT1D = qkv_BTX.unflatten(-1, (3, -1)).split((2, 1), dim=2)
        if self.full_norm:
            qk_BT2D = self.norm(qk_BT2D)
        heads = (self.heads, self.head_width)
        qk_BT2HK = qk_BT2D.unflatten(-1, heads)
        if self.head_norm:
            qk_BT2HK = self.norm(qk_BT2HK)
        q_BTHK, k_BTHK = rotate(qk_BT2HK, cos_T11P, sin_T11P).to(v_BT1D.dtype).unbind(2)
        return q_BTHK, k_BTHK, v_BT1D.squeeze(2).unflatten(-1, heads)

    def _grouped(self, qkv_BTX: Tensor, cos_T11P: Tensor, sin_T11P: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        H, G, K = self.heads, self.groups, self.head_width
        q_BTD, k_BTX, v_BTX = qkv_BTX.split((H * K, G * K, G * K), dim=-1)
        if self.full_norm:
            q_BTD, k_BTX = self.query_norm(q_BTD), self.key_norm(k_BTX)
        q_BTHK, k_BTGK, v_BTGK = (x.unflatten(-1, (-1, K)) for x in (q_BTD, k_BTX, v_BTX))
        if self.head_norm:
            q_BTHK, k_BTGK = self.query_norm(q_BTHK), self.key_norm(k_BTGK)
        cos_T1P, sin_T1P, dtype = cos_T11P.squeeze(-3), sin_T11P.squeeze(-3), v_BTGK.dtype
        return rotate(q_BTHK, cos_T1P, sin_T1P).to(dtype), rotate(k_BTGK, cos_T1P, sin_T1P).to(dtype), v_BTGK


class SwiGLU(nn.Module):
    """down(silu(gate x) * (up x)) (arXiv 2002.05202)."""

    def __init__(self, config: DenseConfig, hidden: int = 0) -> None:
        super().__init__()
        hidden = hidden or config.hidden
        self.gate_up = nn.Linear(config.width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, config.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        gate_BTF, up_BTF = self.gate_up(x_BTD).chunk(2, dim=-1)
        return self.down(F.silu(gate_BTF) * up_BTF)


def _unchanged(x_BTD: Tensor) -> Tensor:
    return x_BTD


class Block(nn.Module):
    """Attention, then the feed-forward layer, each added to the residual stream."""

    def __init__(self, config: DenseConfig, feed_forward: nn.Module) -> None:
        super().__init__()
        self.pre = config.norm_placement == "pre"
        self.attention = Attention(config)
        self.attention_norm = norm(config, config.width)
        self.feed_forward = feed_forward
        self.feed_forward_norm = norm(config, config.width)

    def forward(
        self,
        x_BTD: Tensor,
        cos_T11P: Tensor,
        sin_T11P: Tensor,
        mask_B1TT: Tensor | None = None,
        drop: Callable[[Tensor], Tensor] = _unchanged,
    ) -> Tensor:
        return self.around(x_BTD, lambda read_BTD: self.attention(read_BTD, cos_T11P, sin_T11P, mask_B1TT), drop)

    def around(
        self, x_BTD: Tensor, attend: Callable[[Tensor], Tensor], drop: Callable[[Tensor], Tensor] = _unchanged
    ) -> Tensor:
        """The block with another attention, (B, T, D) to (B, T, D), such as one that remembers.

        Args:
            drop: what is done to each half's output before it is added to the stream, such as dropout.
        """
        if self.pre:
            x_BTD = x_BTD + drop(attend(self.attention_norm(x_BTD)))
            return x_BTD + drop(self.feed_forward(self.feed_forward_norm(x_BTD)))
        x_BTD = x_BTD + drop(self.attention_norm(attend(x_BTD)))
        return x_BTD + drop(self.feed_forward_norm(self.feed_forward(x_BTD)))


def _recomputed(block: Block, *given: Tensor | None) -> Tensor:
    from torch.utils.checkpoint import checkpoint

    contexts = partial(_passes, block)
    return checkpoint(block, *given, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


def _passes(block: Block) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """What the first pass over a block and the pass that computes it again run in."""
    return nullcontext(), _routing_kept(block.feed_forward)


@contextmanager
def _routing_kept(feed_forward: nn.Module) -> Generator[None]:
    """Leave a mixture the routing of its first pass: that of the second holds on to all that was computed again."""
    routing = getattr(feed_forward, "routing", None)
    try:
        yield
    finally:
        if routing is not None:
            feed_forward.routing = routing


class DenseDecoder(nn.Module):
    """Tokens in, hidden states, logits or loss out.

    On the meta device it has shapes but no numbers; `initialise` draws them.
    """

    cos_T11P: Tensor
    sin_T11P: Tensor
    nats_BT: Tensor
    """The cross-entropy of each token in the last call of `loss`, without a graph."""

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        self.config = config
        # Not drawn here: on the meta device, the drawing would load torch's compiler.
        self.embedding = nn.Embedding.from_pretrained(torch.empty(config.vocab_size, config.width), freeze=False)
        self.blocks = nn.ModuleList(Block(config, self.feed_forward(config)) for _ in range(config.layers))
        self.recompute = False
        """Whether a block's activations are computed again in the backward pass instead of kept."""
        self.norm = norm(config, config.width)
        if not config.tied:
            self.unembedding = nn.Linear(config.width, config.vocab_size, bias=False)
        cos, sin = self._rotary_tables()
        self.register_buffer("cos_T11P", cos, persistent=False)
        self.register_buffer("sin_T11P", sin, persistent=False)

    def _rotary_tables(self) -> tuple[Tensor, Tensor]:
        config = self.config
        divisors = config.rope_divisors if isinstance(config, LlamaConfig) else ()
        return rotary_tables(config.sequence_length, config.head_width, config.rope_theta, divisors)

    @staticmethod
    def feed_forward(config: DenseConfig) -> nn.Module:
        """A block's second half, (B, T, D) to (B, T, D)."""
        return SwiGLU(config)

    @property
    def output_weight(self) -> Tensor:
        """(V, D)"""
        return self.embedding.weight if self.config.tied else self.unembedding.weight

    def initialise(self, seed: int, put: Callable[[Tensor, Tensor], object] = Tensor.copy_) -> DenseDecoder:
        """Draw every matrix from a normal truncated at three deviations (see `deviation`); gains are one, biases zero.

        The generator is on the CPU: the same seed gives the same weights on every device. `put` stores a whole drawn
        tensor in a parameter, which may hold but a part of it.
        """
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                drawn = torch.ones(parameter.shape, dtype=torch.float32)
                if name.endswith("bias"):
                    drawn.zero_()
                elif not name.endswith("gain"):
                    scale = deviation(name, tuple(parameter.shape), self.config)
                    nn.init.trunc_normal_(drawn, 0.0, scale, -3 * scale, 3 * scale, generator=generator)
                put(parameter, drawn)
            for held, table in zip((self.cos_T11P, self.sin_T11P), self._rotary_tables(), strict=True):
                held.copy_(table)
        return self

    def hidden(self, tokens_BT: Tensor, documents: Documents | None = None) -> Tensor:
        """Normed hidden states (B, T, D) for int64 tokens (B, T), T at most the configured length.

        Args:
            documents: where several texts share a row; the configuration's separator then says nothing.
        """
        T, separator = tokens_BT.shape[1], self.config.separator
        x_BTD = self.embedding(tokens_BT)
        if documents is not None:
            mask_B1TT = documents.mask()
            # (B, T, 1, 1, P)
            cos_T11P, sin_T11P = self.cos_T11P[documents.position_BT], self.sin_T11P[documents.position_BT]
            cos_T11P, sin_T11P = cos_T11P.view(*x_BTD.shape[:2], 1, 1, -1), sin_T11P.view(*x_BTD.shape[:2], 1, 1, -1)
        else:
            mask_B1TT = same_document(tokens_BT, separator) if separator >= 0 else None
            cos_T11P, sin_T11P = self.cos_T11P[:T], self.sin_T11P[:T]
        again = self.recompute and torch.is_grad_enabled()
        for block in self.blocks:
            given = (x_BTD, cos_T11P, sin_T11P, mask_B1TT)
            x_BTD = _recomputed(cast(Block, block), *given) if again else block(*given)
        return self.norm(x_BTD)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits (B, T, V); position t scores the token at t + 1."""
        return F.linear(self.hidden(tokens_BT), self.output_weight)

    def nats(self, tokens_BS: Tensor) -> Tensor:
        """-log probability of tokens 1.. of each row given those before, (B (S - 1),) in nats, without a gradient."""
        with torch.no_grad():
            x_ND = self.hidden(tokens_BS[:, :-1]).flatten(0, 1)
            return token_nats(x_ND, self.output_weight, tokens_BS[:, 1:].flatten())

    def score(
        self,
        tokens_BT: Tensor,
        target_BT: Tensor,
        chosen_BT: Tensor,
        documents: Documents | None = None,
        temperature: float = 1.0,
    ) -> TokenScores:
        """Log-probabilities of targets, with a gradient, at the positions where `chosen_BT` is true, row by row.

        Args:
            target_BT: the token that follows each position.
            documents: where several texts share a row.
            temperature: what the logits are divided by.
        """
        x_ND = self.hidden(tokens_BT, documents)[chosen_BT]
        return token_scores(x_ND, self.output_weight, target_BT[chosen_BT], temperature)

    def loss(self, tokens_BS: Tensor, z_loss: float = 0.0) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy in nats of tokens 1.. of each row given those before (S = T + 1).

        Returns (to descend, to report): they differ by the terms that only guide training, here the z-loss.
        """
        x_ND = self.hidden(tokens_BS[:, :-1]).flatten(0, 1)
        descend, nats_N = cross_entropy(x_ND, self.output_weight, tokens_BS[:, 1:].flatten(), z_loss)
        self.nats_BT = nats_N.view(len(tokens_BS), -1)
        return descend, nats_N.mean()
