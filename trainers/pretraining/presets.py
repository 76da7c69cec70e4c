"""One dial: a name like "70k-2xC" sets width, depth, heads, batch, learning rate, warm-up and tokens.

The size is a row of SCALES; the Chinchilla multiple C sets tokens = C x 20 x N, where N counts every parameter but
the input embedding. Nothing here imports torch, so a plan costs nothing.

Five families:
    tiny      for one CPU core and a vocabulary near 2048; names are nominal, N comes from the vocabulary
    tiny-moe  the same with a mixture of experts; as many parameters a token, but for the router's
    ladder    the OLMo model ladder (arXiv 2412.04403), vocabulary 100,352, sequences of 4096
    dclm      DCLM's scales (arXiv 2406.11794, table 1), vocabulary 50,432, sequences of 2048
    olmoe     OLMoE-1B-7B-0924 (arXiv 2409.02060), vocabulary 50,304, sequences of 4096
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from trainers.core.optimiser import Optimiser
from trainers.core.schedule import Schedule
from trainers.models.config import (
    DenseConfig,
    MoEConfig,
    active_parameter_count,
    flops_per_token,
    parameter_count,
    swiglu_width,
    total_parameter_count,
)
from trainers.names import close, find
from trainers.process.errors import TrainerError

CHINCHILLA_TOKENS_PER_PARAMETER = 20
"""Tokens a parameter at the compute optimum (Hoffmann et al., arXiv 2203.15556), as the ladder rounds it."""

Family = Literal["tiny", "tiny-moe", "ladder", "dclm", "olmoe"]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """One size of model."""

    name: str
    family: Family
    width: int
    layers: int
    heads: int
    hidden: int
    vocab_size: int
    """The vocabulary the size is published with; a run takes its shards' vocabulary."""
    sequence_length: int
    published: int | None = None
    """The published parameter count: N for the ladder, both embeddings and no QK-norm for DCLM, all for OLMoE."""
    experts: int = 0
    """A layer; 0 is a dense model."""
    experts_per_token: int = 0


@dataclass(frozen=True, kw_only=True)
class Preset:
    """All that a name decides."""

    name: str
    scale: Scale
    multiple: float
    model: DenseConfig
    optimiser: Optimiser
    batch: int
    """Sequences an optimiser step."""
    steps: int

    @property
    def tokens(self) -> int:
        """Tokens trained on: whole batches, so within one batch of multiple x 20 x N."""
        return self.steps * self.batch * self.model.sequence_length

    @property
    def schedule(self) -> Schedule:
        """The learning rate over this run's steps."""
        return self.optimiser.over(self.steps)


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Sizes x multiples to fit on, and runs well above them to forecast."""

    sizes: tuple[str, ...]
    multiples: tuple[float, ...]
    targets: tuple[str, ...]

    @property
    def runs(self) -> tuple[str, ...]:
        """Names of the runs to fit on, small to large; no target is among them."""
        return tuple(run_name(size, multiple) for size in self.sizes for multiple in self.multiples)


def run_name(size: str, multiple: float) -> str:
    """`run_name("70k", 0.5)` is "70k-0.5xC"."""
    return f"{size}-{multiple:g}xC"


def _tiny(name: str, width: int, layers: int, heads: int) -> Scale:
    return Scale(
        name=name,
        family="tiny",
        width=width,
        layers=layers,
        heads=heads,
        hidden=4 * width,
        vocab_size=2048,
        sequence_length=128,
    )


def _tiny_moe(name: str, width: int, layers: int, heads: int) -> Scale:
    """The dense size of that shape with its 4 D of inner width cut into 4 of 16 experts, each D."""
    dense = _tiny(f"{name}-moe", width, layers, heads)
    return replace(dense, family="tiny-moe", hidden=width, experts=16, experts_per_token=4)


def _ladder(name: str, shape: tuple[int, int, int, int], published: int | None = None) -> Scale:
    width, layers, heads, hidden = shape
    return Scale(
        name=name,
        family="ladder",
        width=width,
        layers=layers,
        heads=heads,
        hidden=hidden,
        vocab_size=100_352,
        sequence_length=4096,
        published=published,
    )


def _dclm(name: str, width: int, layers: int, heads: int, published: int) -> Scale:
    return Scale(
        name=name,
        family="dclm",
        width=width,
        layers=layers,
        heads=heads,
        hidden=swiglu_width(width),
        vocab_size=50_432,
        sequence_length=2048,
        published=published,
    )


_OLMOE = Scale(
    name="olmoe-1B-7B",
    family="olmoe",
    width=2048,
    layers=16,
    heads=16,
    hidden=1024,
    vocab_size=50_304,
    sequence_length=4096,
    published=6_919_161_856,
    experts=64,
    experts_per_token=8,
)

SCALES: dict[str, Scale] = {
    scale.name: scale
    for scale in (
        _tiny("30k", 12, 2, 1),
        _tiny("70k", 24, 2, 2),
        _tiny("130k", 40, 2, 2),
        _tiny("270k", 56, 3, 2),
        _tiny("500k", 72, 4, 3),
        _tiny("1M", 100, 5, 5),
        _tiny_moe("70k", 24, 2, 2),
        _tiny_moe("130k", 40, 2, 2),
        _tiny_moe("270k", 56, 3, 2),
        _tiny_moe("500k", 72, 4, 3),
        _ladder("190M", (768, 12, 12, 3072), 190_354_176),
        _ladder("370M", (1024, 16, 16, 4096), 371_262_464),
        _ladder("600M", (1344, 16, 16, 5376)),
        _ladder("760M", (1536, 16, 16, 6144), 758_220_288),
        _ladder("1B", (2048, 16, 16, 8192), 1_279_395_840),
        _ladder("3B", (3328, 16, 16, 13_312)),
        _ladder("7B", (4096, 32, 32, 11_008)),
        _ladder("13B", (5120, 40, 40, 13_824)),
        _dclm("dclm-400M", 1024, 24, 8, 411_616_256),
        _dclm("dclm-1B", 2048, 24, 16, 1_439_795_200),
        _dclm("dclm-3B", 2560, 32, 32, 2_795_932_160),
        _dclm("dclm-7B", 4096, 32, 32, 6_889_410_560),
        _OLMOE,
    )
}

TINY_BATCH_SHARE = 1 / 3
TINY_RATE_SHARE = 1 / 2
LONGEST_WARMUP = 0.05
"""Of the steps."""
LADDER_RATE_SHARE = 1 / 4
"""At its sequence length of 4096."""


@dataclass(frozen=True)
class _DclmRecipe:
    """What DCLM publishes for a scale (its training/configs/*.json). open_lm's main.py decays every parameter."""

    batch: int
    warmup_steps: int
    rate: float
    decay: float
    z_loss: float

    def optimiser(self, steps: int) -> Optimiser:
        return Optimiser(
            learning_rate=self.rate,
            warmup_steps=min(self.warmup_steps, max(1, steps // 2)),
            schedule="cosine",
            final_fraction=3e-5 / self.rate,
            weight_decay=self.decay,
            decay_embedding=True,
            z_loss=self.z_loss,
        )


_DCLM_RECIPES: dict[str, _DclmRecipe] = {
    "dclm-400M": _DclmRecipe(512, 2000, 3e-3, 0.033, 1e-4),
    "dclm-1B": _DclmRecipe(256, 5000, 3e-3, 0.033, 1e-4),
    "dclm-3B": _DclmRecipe(256, 5000, 3e-3, 0.033, 1e-4),
    "dclm-7B": _DclmRecipe(2048, 5000, 2e-3, 0.05, 5e-6),
}

OLMOE_BATCH = 1024
OLMOE_WARMUP_TOKENS = 10_485_760_000
OLMOE_OPTIMISER = Optimiser(
    learning_rate=4e-4, warmup_steps=2500, schedule="cosine", final_fraction=0.1, decay_embedding=True
)
"""Of configs/OLMoE-1B-7B-0924.yml, whose cosine is 5e12 tokens long: 212 Chinchilla multiples of its active size."""


def parse(name: str) -> tuple[Scale, float]:
    """ "70k-2xC" is the scale 70k and the multiple 2. Raises TrainerError for a name that is not one."""
    size, multiple = _split(name)
    return SCALES[size], float(multiple)


def canonical(name: str) -> str:
    """A run's name in the case of letters that folders and tables have: "190m-1xc" is "190M-1xC".

    Raises:
        TrainerError: a name that is not one.
    """
    size, multiple = _split(name)
    return f"{size}-{multiple}xC"


def _split(name: str) -> tuple[str, str]:
    match = re.fullmatch(r"(?P<size>.+)-(?P<multiple>\d+(\.\d+)?)xC", name, re.IGNORECASE)
    wanted = match["size"] if match else name
    size = find(wanted, SCALES)
    if size is None:
        raise TrainerError(f"no model size is called {wanted!r}{close(wanted, SCALES)}", f"sizes: {', '.join(SCALES)}")
    if match is None or float(match["multiple"]) <= 0:
        raise TrainerError(f"{name!r} names no Chinchilla multiple", f'write "{size}-1xC" for 20 tokens a parameter')
    return size, match["multiple"]


def preset(name: str, vocab_size: int | None = None, sequence_length: int | None = None) -> Preset:
    """All hyper-parameters of a run; vocabulary and length are the published ones where not given."""
    scale, multiple = parse(name)
    model = _model(scale, vocab_size or scale.vocab_size, sequence_length or scale.sequence_length)
    n = _counted(scale, model)
    tokens = multiple * CHINCHILLA_TOKENS_PER_PARAMETER * n
    batch = _batch(scale, n, model.sequence_length)
    steps = max(1, round(tokens / (batch * model.sequence_length)))
    optimiser = _optimiser(scale, n, steps, batch * model.sequence_length)
    return Preset(
        name=canonical(name), scale=scale, multiple=multiple, model=model, optimiser=optimiser, batch=batch, steps=steps
    )


def _counted(scale: Scale, model: DenseConfig) -> int:
    """The parameters that a family's rules count: DCLM's both embeddings and no QK-norm, else N."""
    if scale.family == "dclm":
        return total_parameter_count(replace(model, qk_norm=False))
    return parameter_count(model)


def _model(scale: Scale, vocab_size: int, sequence_length: int) -> DenseConfig:
    shape: dict[str, Any] = {
        "vocab_size": vocab_size,
        "sequence_length": sequence_length,
        "width": scale.width,
        "layers": scale.layers,
        "heads": scale.heads,
        "hidden": scale.hidden,
    }
    if scale.family == "dclm":
        shape |= {"rope_theta": 10_000.0, "norm_placement": "pre", "norm_eps": 1e-5, "norm": "layer"}
        shape |= {"initialisation": "open_lm"}
    if scale.family == "olmoe":
        shape |= {"rope_theta": 10_000.0, "norm_placement": "pre", "norm_eps": 1e-5, "shrink_residual": False}
    if scale.family in ("tiny", "tiny-moe"):
        # A deviation of .02 is that of a width of 2500; a width of 24 would spend its run growing.
        shape |= {"rope_theta": 10_000.0, "norm_placement": "pre", "init_std": scale.width**-0.5}
    if scale.experts:
        return MoEConfig(**shape, experts=scale.experts, experts_per_token=scale.experts_per_token)
    return DenseConfig(**shape)


def _batch(scale: Scale, n: int, sequence_length: int) -> int:
    """Sequences an optimiser step.

    The ladder's rule is 160 (N / 108e6)^(2/3) sequences of 2048 tokens, half as many of 4096. A tiny model that sees
    a Chinchilla multiple or less takes a third of that: with more, too few steps are left (measured at 70k and 270k
    parameters: at half a multiple, half the batch lowers held-out loss by 3 %).
    """
    if scale.family == "dclm":
        return _DCLM_RECIPES[scale.name].batch
    if scale.family == "olmoe":
        return OLMOE_BATCH
    share = TINY_BATCH_SHARE if scale.family.startswith("tiny") else 1
    return max(1, round(share * 160 * (n / 108e6) ** (2 / 3) * 2048 / sequence_length))


def _optimiser(scale: Scale, n: int, steps: int, tokens_per_step: int) -> Optimiser:
    """AdamW's settings.

    The ladder's peak rate is .0047 (N / 108e6)^(-1/3), a quarter of it at 4096 tokens, warmed up over N tokens, which
    is a twentieth of a run of one Chinchilla multiple and never more here. Tiny models take half of the rate: with
    their small batches the whole is as good in the mean but varies more with the seed. Rates fall on a line to zero:
    runs of different length then compare as finished runs.
    """
    if scale.family == "dclm":
        return _DCLM_RECIPES[scale.name].optimiser(steps)
    if scale.family == "olmoe":
        warmup = max(1, min(OLMOE_WARMUP_TOKENS // tokens_per_step, steps // 2))
        return replace(OLMOE_OPTIMISER, warmup_steps=warmup)
    share = TINY_RATE_SHARE if scale.family.startswith("tiny") else LADDER_RATE_SHARE
    rate = share * 0.0047 * (n / 108e6) ** (-1 / 3)
    warmup = max(1, round(min(n / tokens_per_step, LONGEST_WARMUP * steps)))
    return Optimiser(learning_rate=rate, warmup_steps=warmup)


def plan(name: str, vocab_size: int | None = None, sequence_length: int | None = None) -> dict[str, Any]:
    """What a run would cost, and nothing is run: the numbers a forecast or `--plan` needs."""
    p = preset(name, vocab_size, sequence_length)
    per_token = flops_per_token(p.model)
    return {
        "run": p.name,
        "size": p.scale.name,
        "multiple": p.multiple,
        "parameters": parameter_count(p.model),
        "total_parameters": total_parameter_count(p.model),
        "active_parameters": active_parameter_count(p.model),
        "vocab_size": p.model.vocab_size,
        "sequence_length": p.model.sequence_length,
        "width": p.model.width,
        "layers": p.model.layers,
        "heads": p.model.heads,
        "tokens": p.tokens,
        "steps": p.steps,
        "batch": p.batch,
        "learning_rate": p.optimiser.learning_rate,
        "warmup_steps": p.optimiser.warmup_steps,
        "flops_per_token": per_token,
        "flops": per_token * p.tokens,
    }
