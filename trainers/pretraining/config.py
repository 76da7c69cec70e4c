"""A training run's configuration: what a config file may say, and the fingerprint of what decides the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from trainers.core.optimiser import Optimiser
from trainers.core.plan import LoopConfig
from trainers.data.batches import SHUFFLED
from trainers.data.mixing import check_alike
from trainers.data.shards import Split
from trainers.models.config import DenseConfig, MoEConfig, flops_per_token, literals, model_config, upcycled
from trainers.pretraining.continuing import Continuing, check_skip, skipped
from trainers.pretraining.presets import Preset, preset
from trainers.process.config_file import check_fields
from trainers.process.errors import TrainerError
from trainers.process.files import canonical_json, sha256_text

CODE_VERSION = "trainers-1"
"""Part of every fingerprint; raised when the same configuration would give other weights."""


PART_FLOPS = 1.5e9
"""Fewest FLOPs of a part: below that its kernels are too short for threads to gain anything."""


@dataclass(frozen=True, kw_only=True)
class RunConfig(LoopConfig):
    """One training run. Only `preset`, `shards` and `out` must be given."""

    preset: str
    """The dial: size and Chinchilla multiple, such as "70k-1xC"."""
    shards: str
    """Folder with train/, heldout/ and dataset.json."""
    seed: int = 0
    """Of the initial weights and the order of sequences."""
    heldout_sequences: int = 0
    """Held-out sequences measured, from the first on; 0: all."""
    verify_digests: bool = True
    """Read every shard through once before the first step and compare its SHA-256."""
    model: Mapping[str, Any] = field(default_factory=dict)
    """Fields of DenseConfig or MoEConfig that replace the preset's; `kind: moe` makes a mixture of a dense preset."""
    optimiser: Mapping[str, Any] = field(default_factory=dict)
    """Fields of Optimiser that replace the preset's."""
    batch: int = 0
    """Sequences an optimiser step; 0: the preset's. Steps follow, so that tokens stay."""
    steps: int = 0
    """Optimiser steps; 0: the preset's."""
    sources: Sequence[Mapping[str, Any]] = ()
    """Trained on instead of train/ of `shards`, which still gives held-out sequences and tokenizer: entries of
    `shards`, a folder with train/, and `weight`, its share of the sequences over the sum of all weights."""
    init: str = ""
    """Begin with the weights of this run, checkpoint or Hugging Face folder. The model is then that one's, at the
    shards' sequence length; `preset` sets batch, rate and tokens, and `model` must be empty. With `model: {kind: moe}`
    a dense model is upcycled: each expert begins as its feed-forward layer (arXiv 2212.05055)."""
    moments: bool = False
    """With `init`: begin with the optimiser's moments of that checkpoint too."""
    branch: str = ""
    """Go on from this run or checkpoint, at its step, with its weights, moments, schedule and place in the data; what
    this configuration changes holds from there on. `steps` counts from the start of that run. Other data are read from
    their start."""
    skip: Sequence[int] = ()
    """Batches left out, numbered from 1 as the steps that would read them; those after them move up."""
    document_masking: bool = False
    """No attention across the end-of-text tokens of the shards."""


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A configuration with its preset worked out against the shards."""

    config: RunConfig
    preset: Preset
    identity: dict[str, Any]
    fingerprint: str


def parts_of(preset: Preset) -> int:
    """Parts of a batch that threads may share on a CPU: 1, 2 or 4, by the FLOPs of a step.

    A mixture that balances its experts keeps its batch whole: in parts, each step would look at its tokens twice.
    """
    model = preset.model
    if balanced(model) is not None:
        return 1
    flops = flops_per_token(model) * preset.batch * model.sequence_length
    return next((parts for parts in (4, 2) if flops >= parts * PART_FLOPS and preset.batch >= parts), 1)


def balanced(model: DenseConfig) -> MoEConfig | None:
    """The mixture whose experts training balances; None of a dense model, or where the loss has no weight."""
    wanted = isinstance(model, MoEConfig) and model.load_balancing_weight and model.choice == "token"
    return model if wanted else None


def check_groups(model: MoEConfig | None, config: RunConfig, batch: int, ranks: int) -> None:
    """Refuse pieces of a batch that cut through the sequences whose balance is seen together.

    Raises:
        TrainerError: batch, ranks, parts or microbatch do not fit `load_balancing_sequences`.
    """
    group = model.load_balancing_sequences if model is not None else 0
    if not group:
        return
    cuts = {
        "batch": batch,
        **{f"share of a rank among {ranks}": batch * rank // ranks for rank in range(1, ranks)},
        **{f"part of {config.parts}": batch * part // config.parts for part in range(1, config.parts)},
        "microbatch": config.microbatch,
    }
    for what, size in cuts.items():
        if size % group:
            raise TrainerError(
                f"the {what} ends at {size} sequences, and load_balancing_sequences is {group}",
                "choose batch, microbatch and ranks so that each piece is a multiple of load_balancing_sequences",
            )


def named_sources(config: RunConfig) -> list[tuple[Path, float]]:
    """Folders to train on and their weights.

    Raises:
        TrainerError: an entry of `sources` is not what it should be.
    """
    if not config.sources:
        return [(Path(config.shards) / "train", 1.0)]
    found = []
    for number, entry in enumerate(config.sources):
        fit = isinstance(entry, Mapping) and entry.keys() == {"shards", "weight"} and isinstance(entry["shards"], str)
        if not fit or isinstance(entry["weight"], bool) or not isinstance(entry["weight"], int | float):
            raise TrainerError(f"sources[{number}] is {entry!r}", "write it as {shards: FOLDER, weight: NUMBER}")
        if not 0 < entry["weight"] < math.inf:
            raise TrainerError(
                f"sources[{number}]: weight is {entry['weight']}", "give a number above 0, or leave it out"
            )
        found.append((Path(entry["shards"]) / "train", float(entry["weight"])))
    return found


def resolve(
    config: RunConfig,
    train: Split,
    heldout: Split,
    sources: Sequence[tuple[Split, float]] = (),
    initial: tuple[DenseConfig, str] | None = None,
    *,
    found: Continuing | None = None,
) -> Resolved:
    """Work out the preset for the shards' vocabulary and length, and the run's fingerprint.

    The fingerprint is of literals only: code version, model, optimiser, batch, steps, seed, precision and the digests
    of the shards. Paths, device, threads and how often something is written are not in it.

    Args:
        train: what is trained on, or the first of `sources`.
        sources: what is trained on by weight, where the configuration names several.
        initial: shape and digest of the weights to begin with, where it names some.
        found: the checkpoint to take moments from or to branch off, where it names one.
    """
    if config.dtype not in ("float32", "bfloat16"):
        raise TrainerError(f"dtype is {config.dtype!r}", 'set dtype to "float32" or "bfloat16"')
    chosen = preset(config.preset, train.vocab_size, train.sequence_length)
    if initial is not None:
        chosen = replace(chosen, model=_begun(config, initial[0], train))
    chosen = _overridden(config, chosen, train.eot, fixed=initial is not None)
    if heldout.sequence_length != chosen.model.sequence_length:
        raise TrainerError(
            f"held-out sequences have {heldout.sequence_length} tokens, the model {chosen.model.sequence_length}",
            "write train and heldout with one sequence length",
        )
    check_alike([train, *(split for split, _ in sources[1:]), heldout])
    identity = {
        "code": CODE_VERSION,
        "model": literals(chosen.model),
        "optimiser": chosen.optimiser.identity,
        "batch": chosen.batch,
        "steps": chosen.steps,
        "seed": config.seed,
        "dtype": config.dtype,
        "dataset": train.dataset_fingerprint,
        "train": train.digest,
        "heldout": heldout.digest,
    }
    if isinstance(chosen.model, MoEConfig) and balanced(chosen.model) is None:
        del identity["model"]["load_balancing_sequences"]
    if chosen.model.initialisation == "normal":
        # The runs from before there was a choice keep their fingerprints.
        del identity["model"]["initialisation"]
    if sources:
        identity["sources"] = [[split.digest, weight] for split, weight in sources]
    if len(sources) > 1:
        identity["shuffled"] = SHUFFLED
    if not chosen.optimiser.clip:
        identity["clipping"] = "none"
    if initial is not None:
        identity["init"] = initial[1]
    skip = check_skip(config)
    identity |= found.identity(identity, skip) if found is not None else skipped(skip)
    return Resolved(config=config, preset=chosen, identity=identity, fingerprint=sha256_text(canonical_json(identity)))


def _begun(config: RunConfig, model: DenseConfig, train: Split) -> DenseConfig:
    """The shape of the weights to begin with, at the length of the shards."""
    if config.model.get("kind") == "moe" and model.kind != "moe":
        check_fields(config.model, MoEConfig, "model", hidden=("vocab_size", "sequence_length"))
        if config.moments:
            raise TrainerError("moments of a dense model do not fit experts", "leave out moments")
        model = upcycled(model, config.model)
    elif config.model:
        raise TrainerError("init and model are both set", "leave out model: the shape is that of the weights")
    if train.vocab_size > model.vocab_size:
        raise TrainerError(
            f"{train.folder} has a vocabulary of {train.vocab_size}, {config.init} one of {model.vocab_size}",
            "write shards with the model's tokenizer",
        )
    return replace(model, sequence_length=train.sequence_length)


def _overridden(config: RunConfig, chosen: Preset, separator: int, *, fixed: bool) -> Preset:
    """The preset with the configuration's own model, optimiser, batch and steps; a fixed model stays."""
    model = chosen.model if fixed else overridden_model(config.model, chosen.model)
    if config.document_masking:
        model = replace(model, separator=separator)
    check_fields(config.optimiser, type(chosen.optimiser), "optimiser")
    optimiser: Optimiser = replace(chosen.optimiser, **config.optimiser)
    batch = config.batch or chosen.batch
    steps = config.steps or max(1, round(chosen.steps * chosen.batch / batch))
    return replace(chosen, model=model, optimiser=optimiser, batch=batch, steps=steps)


def overridden_model(values: Mapping[str, Any], model: DenseConfig) -> DenseConfig:
    """A shape with other values of some fields; `kind: moe` makes a mixture of a dense one.

    Raises:
        TrainerError: a field does not exist or does not fit.
    """
    kind = values.get("kind", model.kind)
    if kind not in ("dense", "moe", model.kind):
        raise TrainerError(f"model kind is {kind!r}", 'set kind to "dense" or "moe"')
    if kind != model.kind:
        shared = {name: value for name, value in asdict(model).items() if name in DenseConfig.__dataclass_fields__}
        model = model_config(shared | {"kind": kind})
    check_fields(values, type(model), "model", hidden=("vocab_size", "sequence_length"))
    return replace(model, **values)
