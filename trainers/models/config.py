"""The shape of a dense decoder, its parameter count and its cost, as arithmetic (no torch)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainers.errors import TrainerError

NormPlacement = Literal["pre", "reordered"]


@dataclass(frozen=True, kw_only=True)
class DenseConfig:
    """Everything that decides a dense decoder's weights and function."""

    vocab_size: int
    """V: rows of the input embedding and of the output matrix (not tied)."""
    sequence_length: int
    """T: the longest input, in tokens."""
    width: int
    """D: the residual stream."""
    layers: int
    heads: int
    """H: must divide the width into an even head width, because rotary embedding turns pairs."""
    hidden: int
    """F: the inner width of SwiGLU; its input matrix is (2F, D), gate first."""
    rope_theta: float = 500_000.0
    """Base of the rotary frequencies; 500,000 in OLMo 2, 10,000 in DCLM."""
    norm_eps: float = 1e-6
    norm_placement: NormPlacement = "reordered"
    """"pre": x + f(norm(x)). "reordered": x + norm(f(x)), as OLMo 2 (arXiv 2501.00656, section 3.2)."""
    qk_norm: bool = True
    """RMSNorm of queries and keys over the full width D, not per head."""
    init_std: float = 0.02
    """Weights are drawn from a normal with this deviation, truncated at three of them."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "sequence_length", "width", "layers", "heads", "hidden"):
            if getattr(self, name) < 1:
                raise TrainerError(f"model {name} is {getattr(self, name)}", f"set {name} to 1 or more")
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise TrainerError(
                f"width {self.width} cannot be cut into {self.heads} heads of an even width",
                "choose heads so that width / heads is an even whole number",
            )
        if self.norm_placement not in ("pre", "reordered"):
            raise TrainerError(
                f"norm_placement is {self.norm_placement!r}", 'set norm_placement to "pre" or "reordered"'
            )


def parameter_count(config: DenseConfig) -> int:
    """N: every parameter but the input embedding, L (4 D^2 + 3 D F + 2 D [+ 2 D]) + D + V D.

    The bracket is QK-norm. This is the N of the model ladder (facts of the OLMo ladder: 190,354,176 and so on).
    """
    d, norms = config.width, 4 if config.qk_norm else 2
    layer = 4 * d * d + 3 * d * config.hidden + norms * d
    return config.layers * layer + d + config.vocab_size * d


def total_parameter_count(config: DenseConfig) -> int:
    """Every parameter, the input embedding with them."""
    return parameter_count(config) + config.vocab_size * config.width


def flops_per_token(config: DenseConfig, sequence_length: int | None = None) -> int:
    """FLOPs of forward and backward for a token: 6 N + 12 L D S.

    N leaves the input embedding out (it is a look-up). S is the sequence length; attention is counted in full,
    without the saving that causality allows, as the ladder does.
    """
    length = config.sequence_length if sequence_length is None else sequence_length
    return 6 * parameter_count(config) + 12 * config.layers * config.width * length
