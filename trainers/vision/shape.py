"""The shape of a model that reads pictures and text, as numbers (no torch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from trainers.models.config import DenseConfig, literals, model_config
from trainers.process.config_file import from_checkpoint
from trainers.process.errors import TrainerError
from trainers.vision.crops import CropConfig

Activation = Literal["gelu", "gelu_tanh", "quick_gelu"]
CLIP_MEAN, CLIP_DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """A vision transformer (arXiv 2010.11929), as in CLIP and SigLIP."""

    width: int
    """D: of the residual stream."""
    layers: int
    """Blocks that are computed. What follows the last layer that the connector reads need not be here."""
    heads: int
    hidden: int
    """Inner width of the feed-forward layers."""
    activation: Activation = "gelu_tanh"
    class_token: bool = False
    """Whether a token that belongs to no patch comes first, as in CLIP."""
    norm_first: bool = False
    """Whether patches are normed before the first block, as in CLIP."""
    patch_bias: bool = True
    """Whether the embedding of patches has a bias, as in SigLIP."""
    stem: Sequence[int] = ()
    """Channels of convolutions of 3 x 3 with stride 2 that embed patches in place of one matrix (arXiv 2106.14881); a
    transformer learns faster with them from few pictures. As many as halve a patch down to one position; any further
    ones have stride 1, so that a patch depends on its neighbours before the first block."""
    positions: bool = True
    """Whether a learned vector is added to each place of a crop, as in CLIP and SigLIP. Without it, convolutions of a
    `stem` alone tell a patch where its neighbours are (arXiv 2102.10882), and what is learned of a thing in one place
    holds in every other."""
    norm_eps: float = 1e-6
    mean: Sequence[float] = HALF
    """Of red, green and blue, in 0..1: subtracted from pixels."""
    deviation: Sequence[float] = HALF
    """What pixels are divided by after that."""

    def __post_init__(self) -> None:
        for name in ("stem", "mean", "deviation"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("width", "layers", "heads", "hidden"):
            if getattr(self, name) < 1:
                raise TrainerError(f"vision.{name} is {getattr(self, name)}", "give 1 or more")
        if not self.positions and not self.stem:
            raise TrainerError(
                "vision.positions is false, and there is no stem", "give a stem, or set positions to true"
            )
        if self.width % self.heads:
            raise TrainerError(
                f"vision.width {self.width} and {self.heads} heads", "choose heads that divide the width"
            )
        if len(self.mean) != 3 or len(self.deviation) != 3 or not all(each > 0 for each in self.deviation):
            raise TrainerError("vision.mean and vision.deviation are not three numbers each", "give one a colour")


@dataclass(frozen=True, kw_only=True)
class ConnectorConfig:
    """What turns patches into picture tokens of the decoder (arXiv 2409.17146, section 2)."""

    layers: Sequence[int] = (-2, -9)
    """Blocks of the transformer whose outputs are read side by side, counted from the end; Molmo's on CLIP. Molmo 2
    reads -3 and -9 of SigLIP 2."""
    width: int = 0
    """Of the pooled patches and of the heads together; 0: the transformer's."""
    heads: int = 16
    """Of the attention that pools the patches of a token, whose query is their mean."""
    hidden: int = 0
    """Inner width of the SwiGLU after the pooling; 0: that of the decoder."""
    mark_padding: bool = True
    """Whether learned vectors are added to patches that lie beside the picture, wholly or in part."""
    places: bool = False
    """Whether the decoder is told where in the picture a token is: a matrix of sines and cosines of the percentages
    that a point there is written with. Molmo has none; a model that is trained from nothing learns to point with it."""
    offsets: bool = False
    """Whether a matrix reads from a picture token where in it a point lies, which the grounding loss then trains with
    an L1 loss (arXiv 1904.07850, section 3). Molmo has none."""
    refined: bool = False
    """Whether the place that the decoder is given for a token is that of the point in it, by `offsets`, and not that of
    its middle. Two things in one column of tokens have nearly the same middles, which do not show their order."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if self.refined and not (self.places and self.offsets):
            raise TrainerError(
                "connector.refined is true without places and offsets", "set both to true, or refined to false"
            )
        if not self.layers or not all(layer < 0 for layer in self.layers):
            raise TrainerError(f"connector.layers is {list(self.layers)}", "give numbers below 0, such as [-2, -9]")


@dataclass(frozen=True, kw_only=True)
class VisionLanguageConfig:
    """A whole model."""

    vision: TransformerConfig
    connector: ConnectorConfig
    decoder: DenseConfig
    crops: CropConfig = field(default_factory=CropConfig)
    markers: Sequence[int]
    """Four token ids of the decoder's vocabulary: of the start and end of a view, of a column, and of a patch. The
    feature of a patch token is added to that token's embedding."""
    both_ways: bool = False
    """Whether picture tokens see each other in both directions, as in Molmo 2; in Molmo they are causal."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "markers", tuple(self.markers))
        halvings = self.crops.patch.bit_length() - 1
        if self.vision.stem and (2**halvings != self.crops.patch or len(self.vision.stem) < halvings):
            raise TrainerError(
                f"vision.stem has {len(self.vision.stem)} convolutions, and a patch {self.crops.patch} pixels a side",
                "choose a patch of a power of two, and at least as many convolutions as halve it to one pixel",
            )
        deepest = -min(self.connector.layers)
        if deepest > self.vision.layers:
            raise TrainerError(
                f"connector.layers has -{deepest}, and the transformer {self.vision.layers} blocks",
                "name blocks that exist",
            )
        if len(self.markers) != 4 or not all(0 <= each < self.decoder.vocab_size for each in self.markers):
            raise TrainerError("markers are not four tokens of the vocabulary", "give four token ids")
        width = self.connector.width or self.vision.width
        if width % self.connector.heads:
            raise TrainerError(
                f"connector.heads is {self.connector.heads} for a width of {width}", "choose a divisor of the width"
            )


def as_mapping(config: VisionLanguageConfig) -> dict[str, Any]:
    """The configuration as JSON values, tuples as lists."""
    import json

    return json.loads(json.dumps(asdict(config) | {"decoder": literals(config.decoder)}))


def from_mapping(values: Mapping[str, Any]) -> VisionLanguageConfig:
    """The configuration that `as_mapping` wrote.

    Raises:
        TrainerError: another version of Watershed wrote it, with other fields.
    """
    return VisionLanguageConfig(
        vision=from_checkpoint(values["vision"], TransformerConfig),
        connector=from_checkpoint(values["connector"], ConnectorConfig),
        decoder=model_config(values["decoder"]),
        crops=from_checkpoint(values["crops"], CropConfig),
        markers=values["markers"],
        both_ways=values.get("both_ways", False),
    )
