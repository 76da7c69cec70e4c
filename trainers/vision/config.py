"""The configuration of `python -m trainers.caption`. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from trainers.core.optimiser import Optimiser
from trainers.core.plan import LoopConfig
from trainers.process.config_file import check_fields
from trainers.process.errors import TrainerError

CODE_VERSION = "vision-1"
NEW = "new"
Stage = Literal["dense", "captions", "mixture"]
PARTS = ("vision", "connector", "decoder")
STAGES: dict[str, dict[str, Any]] = {
    "dense": {
        "rates": {"connector": 1e-3, "vision": 1e-3, "decoder": 1e-3},
        "warmups": {"connector": 200, "vision": 200, "decoder": 200},
        "weighting": "tokens",
        "dropout": 0.0,
    },
    "captions": {
        "rates": {"connector": 2e-4, "vision": 6e-6, "decoder": 2e-5},
        "warmups": {"connector": 200, "vision": 2000, "decoder": 2000},
        "weighting": "tokens",
        "dropout": 0.1,
    },
    "mixture": {
        "rates": {"connector": 5e-6, "vision": 5e-6, "decoder": 1e-5},
        "warmups": {"connector": 200, "vision": 200, "decoder": 200},
        "weighting": "annotations",
        "dropout": 0.1,
    },
}
"""What a stage sets where the configuration leaves it open. Those of captions and mixture are Molmo's rates and steps
of warm-up (launch_scripts/train_captioner.py and train_multitask_model.py); dense is for parts that are new."""


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """A data set of a mixture."""

    group: str
    shards: Sequence[str] = ()
    """Tars of pictures with annotations, or patterns of them."""
    chats: Sequence[str] = ()
    """Instead of shards, files of JSON lines {"messages": [...]}: text without pictures."""
    styles: Sequence[str] = ()
    """Annotations of these styles alone."""
    datasets: Sequence[str] = ()
    """Samples of these data sets alone, where shards hold several."""
    joined: bool = False
    """Whether the samples of one picture become one sample with all of their annotations, so that the picture is read
    once for the annotations of all data sets, as in Molmo 2 (arXiv 2601.10611, section 3)."""
    most: int = 0
    """The size that counts in the square root, at most; 0: all samples."""
    factor: float = 1.0
    """The square root is multiplied by it."""

    def __post_init__(self) -> None:
        if bool(self.shards) == bool(self.chats):
            raise TrainerError("a source has either shards or chats", "give one of them")
        if self.chats and self.joined:
            raise TrainerError("joined is set for a source of chats", "leave it out: a chat has no picture to share")


@dataclass(frozen=True, kw_only=True)
class CaptionConfig(LoopConfig):
    """A run of `python -m trainers.caption`."""

    sources: Mapping[str, Any]
    """Data sets by name, each with the fields of SourceConfig."""
    groups: Mapping[str, float]
    """The share of each group of sources; within a group, sources are drawn by the square roots of their sizes."""
    stage: Stage = "captions"
    """"captions": captions with pointing. "mixture": everything, with losses weighted by annotations. They set rates,
    warm-up, weighting and dropout as published, unless they are given. "dense": the transformer, the connector and the
    embeddings of labels alone, by the grounding loss; the decoder is not computed, so that a step takes a fraction of
    the time. It comes before captions where the transformer is new, and stands in for its pretraining."""
    model: str = ""
    """A run or checkpoint of this command, or a folder of a published Molmo, to go on from."""
    vision: str = ""
    """Without `model`: a folder of CLIP or SigLIP in the Hugging Face format; "" for a new transformer of `shape`."""
    language: str = ""
    """Without `model`: a folder of a language model in the Hugging Face format with its tokenizer.json, or a run; ""
    for a new decoder of `shape`."""
    shape: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the parts that are new: {"vision": {...}, "connector": {...}, "decoder": {...}, "crops": {...}}."""
    tokenizer: str = ""
    """A tokenizer.json for a new decoder; "": one that is made from the texts of the sources."""
    vocabulary: int = 1024
    """Tokens of a tokenizer that is made, at most."""
    blind: bool = False
    """Leave out what the pictures show: a baseline that learns from the texts alone."""
    heldout: Mapping[str, Any] = field(default_factory=dict)
    """Sources whose loss and accuracy a token are measured."""
    length: int = 0
    """Positions of a row; 0: what the decoder reads."""
    batch: int = 32
    """Samples a step."""
    steps: int = 1000
    seed: int = 0
    weighting: Literal["", "tokens", "annotations", "molmo2"] = ""
    """The weight of a token of an answer; "": the stage's. See examples.py."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """Peak learning rates of "vision", "connector" and "decoder"."""
    warmups: Mapping[str, int] = field(default_factory=dict)
    """Their steps of warm-up."""
    dropout: float = -1.0
    """Of what the decoder's layers add to the residual stream, at the answers alone; -1: the stage's."""
    grounding: float = 0.0
    """The weight of a loss that Molmo does not have: the picture tokens at the points of an annotation are to match its
    label, and other tokens of the batch are not. It stands in for what a pretrained vision transformer knows, where all
    is trained from nothing. Labels that a picture shows and no annotation points at count as wrong. The stage "dense"
    has no other loss."""
    aiming: float = 0.0
    """The weight of another loss that Molmo does not have: while a point is written, one head of attention in the block
    in the middle is to look at the picture token that shows it, and at the start of the picture once no point is left.
    For models that are trained from nothing, in one process."""
    optimiser: Mapping[str, Any] = field(default_factory=dict)
    """Fields of Optimiser in place of the command's own; the rates of parts are above."""

    def __post_init__(self) -> None:
        limits = {
            "sources": (len(self.sources) > 0, "at least one"),
            "batch": (self.batch >= 1, "1 or more"),
            "steps": (self.steps >= 1, "1 or more"),
            "vocabulary": (self.vocabulary >= 300, "300 or more"),
            "dropout": (self.dropout < 1, "a number from 0 to below 1"),
        }
        for name, (fits, wanted) in limits.items():
            if not fits:
                raise TrainerError(f"{name} is {getattr(self, name)}", f"give {wanted}")
        for name in ("rates", "warmups"):
            unknown = [part for part in getattr(self, name) if part not in PARTS]
            if unknown:
                raise TrainerError(f"{name} names {unknown[0]!r}", f"its parts are {', '.join(PARTS)}")
        if self.stage == "dense" and (self.blind or self.aiming or not self.grounding > 0):
            raise TrainerError(
                "the stage dense is given without grounding, or with blind or aiming",
                "give grounding a weight above 0, and leave blind and aiming out: that stage trains what sees",
            )
        if self.model and (self.vision or self.language or self.shape):
            raise TrainerError("model is given beside vision, language or shape", "give model alone, or leave it out")

    def sources_of(self, named: Mapping[str, Any], place: str) -> dict[str, SourceConfig]:
        """Sources by name.

        Raises:
            TrainerError: a field is unknown or missing, or of another type.
        """
        found = {}
        for name, fields in named.items():
            check_fields(fields, SourceConfig, f"{place}.{name}")
            if "group" not in fields:
                raise TrainerError(f"{place}.{name} has no group", "name the group whose share it takes part in")
            found[name] = SourceConfig(**fields)
        return found

    def of_stage(self, name: str) -> Any:
        """A setting of the stage, or the one that is given in its place."""
        own, usual = getattr(self, name), STAGES[self.stage][name]
        if isinstance(usual, Mapping):
            return {**usual, **own}
        return usual if own in ("", -1.0) else own


def optimiser_of(config: CaptionConfig) -> Optimiser:
    """AdamW without decay, a cosine to a tenth, z-loss 1e-4, as Molmo; the rate is that of the fastest part."""
    check_fields(config.optimiser, Optimiser, "optimiser", hidden=("learning_rate", "warmup_steps"))
    rates, warmups = config.of_stage("rates"), config.of_stage("warmups")
    fastest = max(PARTS, key=lambda part: rates[part])
    usual: dict[str, Any] = {
        "schedule": "cosine",
        "final_fraction": 0.1,
        "weight_decay": 0.0,
        "beta2": 0.95,
        "epsilon": 1e-6,
        "z_loss": 1e-4,
    }
    return Optimiser(learning_rate=rates[fastest], warmup_steps=warmups[fastest], **{**usual, **config.optimiser})
