"""The shape of a decoder, its parameter count and its cost, as arithmetic (no torch)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from trainers.process.config_file import from_checkpoint
from trainers.process.errors import TrainerError

NormPlacement = Literal["pre", "reordered"]
NormKind = Literal["rms", "layer"]
QKNormWidth = Literal["full", "head"]
Initialisation = Literal["normal", "open_lm"]
Choice = Literal["token", "expert"]
CHOICES: dict[str, tuple[str, ...]] = {
    "norm_placement": ("pre", "reordered"),
    "norm": ("rms", "layer"),
    "qk_norm_width": ("full", "head"),
    "initialisation": ("normal", "open_lm"),
}

GPU_LOGITS = 128 * 1024 * 1024
"""Logits that the cross-entropy holds at a time on a GPU (models/loss.py): 512 MiB in float32."""


def swiglu_width(width: int, *, ratio: float = 8 / 3, multiple_of: int = 256) -> int:
    """F = ratio x D, rounded up to a multiple: 8/3 and 256 in DCLM (open_lm) and Llama, 4 and 1 in the ladder."""
    return -(-int(ratio * width) // multiple_of) * multiple_of


@dataclass(frozen=True, kw_only=True)
class DenseConfig:
    """Everything that decides a dense decoder's weights and function."""

    kind: Literal["dense", "llama", "qwen2", "moe"] = "dense"
    vocab_size: int
    """V: rows of the input embedding and of the output matrix."""
    sequence_length: int
    """T: the longest input, in tokens."""
    width: int
    """D: the residual stream."""
    layers: int
    heads: int
    """H: must divide the width into an even head width, because rotary embedding turns pairs."""
    key_value_heads: int = 0
    """G: grouped-query attention (arXiv 2305.13245), each key and value shared by H / G queries; 0: as many as H."""
    hidden: int
    """F: the inner width of SwiGLU (of one expert, in a mixture); its input matrix is (2F, D), gate first."""
    rope_theta: float = 500_000.0
    """Base of the rotary frequencies; 500,000 in OLMo 2, 10,000 in DCLM and OLMoE."""
    norm: NormKind = "rms"
    """"rms": RMSNorm. "layer": LayerNorm with a gain and no bias, as DCLM (open_lm's gain_only_lp_layer_norm)."""
    norm_eps: float = 1e-6
    norm_placement: NormPlacement = "reordered"
    """"pre": x + f(norm(x)). "reordered": x + norm(f(x)), as OLMo 2 (arXiv 2501.00656, section 3.2)."""
    qk_norm: bool = True
    """Whether queries and keys are normed."""
    qk_norm_width: QKNormWidth = "full"
    """"full": over all heads at once, D wide, as DCLM, OLMo 2 and OLMoE. "head": each by itself, one gain for all."""
    tied: bool = False
    """The output matrix is the input embedding."""
    init_std: float = 0.02
    """Weights are drawn from a normal with this deviation, truncated at three of them."""
    initialisation: Initialisation = "normal"
    """"normal": every matrix has the deviation `init_std`. "open_lm": 1 / sqrt(inputs of the matrix), 1 / sqrt(D) for
    both embeddings, and what writes to the residual stream in block l (from 0) over sqrt(2 (l + 1)), as open_lm's
    model.py (`reset_parameters`) after arXiv 1908.11365; `init_std` and `shrink_residual` then say nothing."""
    shrink_residual: bool = True
    """With norms before: draw the matrices that write to the residual stream smaller by sqrt(2 L), so that its variance
    does not grow with depth. OLMoE does not."""
    separator: int = -1
    """Token that ends a document and begins the next: no position attends to one before the last separator at or
    before it. -1: attention crosses documents."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "sequence_length", "width", "layers", "heads", "hidden"):
            if getattr(self, name) < 1:
                raise TrainerError(f"model {name} is {getattr(self, name)}", f"set {name} to 1 or more")
        self._check_heads()
        if self.key_value_heads < 0 or self.heads % self.groups:
            raise TrainerError(
                f"{self.heads} heads cannot share {self.key_value_heads} keys and values evenly",
                "choose key_value_heads that divides heads, or 0",
            )
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                known = " or ".join(f'"{choice}"' for choice in allowed)
                raise TrainerError(f"{name} is {getattr(self, name)!r}", f"set {name} to {known}")

    def _check_heads(self) -> None:
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise TrainerError(
                f"width {self.width} cannot be cut into {self.heads} heads of an even width",
                "choose heads so that width / heads is an even whole number",
            )

    @property
    def head_width(self) -> int:
        """K."""
        return self.width // self.heads

    @property
    def groups(self) -> int:
        """G: heads of keys and values."""
        return self.key_value_heads or self.heads

    @property
    def biased(self) -> bool:
        """Whether queries, keys and values have a bias."""
        return False


@dataclass(frozen=True, kw_only=True)
class LlamaConfig(DenseConfig):
    """A dense decoder whose heads need not add up to its width, and whose rotary frequencies may be scaled.

    Models that others trained have these two; those that are trained here do not need them.
    """

    kind: Literal["dense", "llama", "qwen2", "moe"] = "llama"
    head_size: int = 0
    """K, an even number; 0: D / H. Qwen 3 has heads that together are wider than the residual stream."""
    rope_divisors: tuple[float, ...] = ()
    """The number that each of the K / 2 rotary frequencies is divided by, the highest frequency first; (): by 1."""

    def __post_init__(self) -> None:
        # JSON has lists.
        object.__setattr__(self, "rope_divisors", tuple(float(divisor) for divisor in self.rope_divisors))
        super().__post_init__()
        if self.rope_divisors and len(self.rope_divisors) != self.head_width // 2:
            raise TrainerError(
                f"{len(self.rope_divisors)} divisors of rotary frequencies for heads {self.head_width} wide",
                f"give {self.head_width // 2} rope_divisors, or none",
            )
        if not all(0 < divisor < math.inf for divisor in self.rope_divisors):
            raise TrainerError("a divisor of a rotary frequency is not a positive number", "correct rope_divisors")

    def _check_heads(self) -> None:
        if self.head_size == 0:
            super()._check_heads()
        elif self.head_size < 0 or self.head_size % 2:
            raise TrainerError(f"head_size is {self.head_size}", "set head_size to an even number, or to 0")

    @property
    def head_width(self) -> int:
        """K."""
        return self.head_size or super().head_width


@dataclass(frozen=True, kw_only=True)
class Qwen2Config(LlamaConfig):
    """A decoder of the Qwen 2 family, in Molmo-7B-D for one: as Llama, with a bias of queries, keys and values."""

    kind: Literal["dense", "llama", "qwen2", "moe"] = "qwen2"

    @property
    def biased(self) -> bool:
        """Whether queries, keys and values have a bias."""
        return True


@dataclass(frozen=True, kw_only=True)
class MoEConfig(DenseConfig):
    """A decoder whose feed-forward layers are mixtures of SwiGLU experts, as OLMoE (arXiv 2409.02060)."""

    kind: Literal["dense", "llama", "qwen2", "moe"] = "moe"
    experts: int = 64
    """E a layer."""
    experts_per_token: int = 8
    """k: the experts of the largest router probabilities; every token reaches all of its k (dropless)."""
    renormalise: bool = False
    """Whether the k probabilities are divided by their sum. OLMoE takes them as the softmax over all E gives them."""
    load_balancing_weight: float = 0.01
    """Of the load-balancing loss (arXiv 2101.03961, equations 4 to 6) in MegaBlocks' scale: 1 at perfect balance."""
    load_balancing_sequences: int = 0
    """Consecutive sequences of a batch whose balance is seen together; the loss is the mean over such groups. 0: the
    whole batch of a step, over all ranks and microbatches (arXiv 2501.11873). MegaBlocks sees a GPU's microbatch:
    OLMoE was trained so, with `device_train_microbatch_size` of its configuration, such as 8."""
    router_z_weight: float = 0.001
    """Of the router z-loss, mean(logsumexp(router logits)^2) (arXiv 2202.08906, equation 5)."""
    shared_experts: int = 0
    """Experts that every token passes besides its k, with weight one, as one SwiGLU of `shared_experts` x F (arXiv
    2401.06066, section 3.2). They are not among `experts`."""
    choice: Choice = "token"
    """"token": a token takes its k most probable experts. "expert": an expert takes the round(T k / E) tokens of each
    sequence whose probability of it is largest (arXiv 2202.09368), so its load is fixed and there is no load-balancing
    loss. Which tokens it takes depends on later tokens of the sequence: such a model is not causal."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shared_experts < 0:
            raise TrainerError(f"shared_experts is {self.shared_experts}", "set shared_experts to 0 or more")
        if self.choice not in ("token", "expert"):
            raise TrainerError(f"choice is {self.choice!r}", 'set choice to "token" or "expert"')
        if self.choice == "expert" and self.renormalise:
            raise TrainerError(
                "renormalise divides the probabilities of a token's k experts, and experts choose their tokens",
                "leave out renormalise or choice",
            )
        if self.load_balancing_sequences < 0:
            raise TrainerError(
                f"load_balancing_sequences is {self.load_balancing_sequences}",
                "set it to a number of sequences, or to 0 for the whole batch",
            )
        if not 1 <= self.experts_per_token <= self.experts:
            raise TrainerError(
                f"{self.experts_per_token} experts a token of {self.experts} in a layer",
                "set experts_per_token to 1 or more and at most experts",
            )


KINDS: dict[str, type[DenseConfig]] = {
    "dense": DenseConfig,
    "llama": LlamaConfig,
    "qwen2": Qwen2Config,
    "moe": MoEConfig,
}


def model_config(values: Mapping[str, Any]) -> DenseConfig:
    """The configuration that `asdict` made `values` of; a mapping without `kind` is a dense one.

    Raises:
        TrainerError: another version of Watershed wrote it, with other fields or of another kind.
    """
    kind = values.get("kind", "dense")
    if kind not in KINDS:
        raise TrainerError(f"the model is of the kind {kind!r}", f"kinds that are known: {', '.join(KINDS)}")
    return from_checkpoint(values, KINDS[kind])


LATER: dict[str, Any] = {"shared_experts": 0, "choice": "token"}
"""Fields that are younger than runs which are to keep their fingerprints, with what those runs did."""


def literals(config: DenseConfig) -> dict[str, Any]:
    """The fields of a configuration for a fingerprint: a younger field is left out while it changes nothing."""
    return {name: value for name, value in asdict(config).items() if name not in LATER or value != LATER[name]}


def upcycled(dense: DenseConfig, mixture: Mapping[str, Any]) -> MoEConfig:
    """The shape of a mixture whose experts all begin as the feed-forward layer of a dense model (arXiv 2212.05055).

    Args:
        dense: the shape of the dense model.
        mixture: fields of MoEConfig.

    Raises:
        TrainerError: the model is none of this trainer's dense ones, or a field contradicts its shape.
    """
    if dense.kind != "dense":
        raise TrainerError(f"a model of kind {dense.kind} cannot be upcycled", "begin with a dense model")
    given = {name: value for name, value in mixture.items() if name != "kind"}
    fields = asdict(dense) | {"kind": "moe"}
    changed = [name for name, value in given.items() if name in fields and fields[name] != value]
    if changed:
        name = changed[0]
        raise TrainerError(
            f"{name} is {given[name]!r}, and {fields[name]!r} in the dense model",
            f"leave out {name} or choose that value",
        )
    if given.get("shared_experts"):
        raise TrainerError(
            "a shared expert beside copies of the dense layer would count that layer twice", "leave out shared_experts"
        )
    return cast(MoEConfig, model_config(fields | given))


def parameter_count(config: DenseConfig) -> int:
    """N: the parameters that a token is multiplied with, so all but the input embedding and the experts it passes by.

    L (2 D H K + 2 D G K + 3 D F + 2 D + QK-norm) + D + V D, where H K = D in most models; in a mixture k experts, the
    shared ones and E D of the router count. Where experts choose their tokens, a token meets k on average. This is the
    N of the model ladder (190,354,176 and so on).
    """
    return _count(config, getattr(config, "experts_per_token", 1))


def total_parameter_count(config: DenseConfig) -> int:
    """Every parameter: all experts, and the input embedding where it is not the output matrix too."""
    return _count(config, getattr(config, "experts", 1)) + _input_embedding(config)


def active_parameter_count(config: DenseConfig) -> int:
    """Parameters of the k experts and of all else, both embeddings with them: OLMoE's "1.3B active"."""
    return parameter_count(config) + _input_embedding(config)


def _input_embedding(config: DenseConfig) -> int:
    return 0 if config.tied else config.vocab_size * config.width


def _count(config: DenseConfig, experts: int) -> int:
    d, queries, keys = config.width, config.heads * config.head_width, config.groups * config.head_width
    attention = 2 * d * queries + 2 * d * keys
    if config.biased:
        attention += queries + 2 * keys
    if config.qk_norm:
        attention += queries + keys if config.qk_norm_width == "full" else 2 * config.head_width
    feed_forward = experts * 3 * d * config.hidden
    if isinstance(config, MoEConfig):
        feed_forward += config.experts * d + config.shared_experts * 3 * d * config.hidden
    return config.layers * (attention + feed_forward + 2 * d) + d + config.vocab_size * d


def flops_per_token(config: DenseConfig, sequence_length: int | None = None) -> int:
    """FLOPs of forward and backward for a token: 6 N + 12 L D S.

    N leaves the input embedding out (it is a look-up) and counts the experts a token reaches. S is the sequence length,
    D the width of all heads; attention is counted in full, without the saving that causality allows, as in the ladder.
    """
    length = config.sequence_length if sequence_length is None else sequence_length
    return 6 * parameter_count(config) + 12 * config.layers * config.heads * config.head_width * length
