"""A model that reads pictures and text: a vision transformer, a connector and one of our decoders.

A row of a batch is a beginning that all share, usually a picture, and branches after it: annotations of the picture.
A branch sees the beginning and itself, and its positions go on from the beginning, so that a picture is read once for
all of its annotations (Molmo 2, arXiv 2601.10611, section 3).

Shape suffixes: B rows, T positions, D width of the decoder, N scored positions, V vocabulary; C, S, P, W as in
transformer.py; L labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trainers.models.decoder import decoder
from trainers.models.dense import Block
from trainers.models.loss import rows_of_chunk
from trainers.serving.steps import queries_keys_values
from trainers.vision.shape import VisionLanguageConfig
from trainers.vision.transformer import Connector, VisionTransformer, number_waves

PADDING = -1
BEGINNING = 0


@dataclass(frozen=True)
class Pictures:
    """The crops of a batch, and the tokens that they become."""

    pixels_CHW3: Tensor
    """uint8."""
    inside_CS: Tensor
    pooled_PW: Tensor
    """Numbers of patches over all crops."""
    row_P: Tensor
    """The row of the batch that a token is in."""
    place_P: Tensor
    """And its position there."""
    at_P2: Tensor
    """x and y of the middle of each token in percent of its picture."""
    extent_P2: Tensor
    """Width and height of each token in percent of its picture."""
    used: bool = True
    """False for an empty picture, whose feature counts nothing."""


@dataclass(frozen=True)
class Inputs:
    """A batch as the model reads it."""

    tokens_BT: Tensor
    position_BT: Tensor
    branch_BT: Tensor
    """0 in the beginning of a row, 1 and up in its branches, -1 in padding."""
    pictures: Pictures | None = None
    """None for a batch without pictures, and for a model that is not to see them."""

    def mask(self, *, both_ways: bool) -> Tensor:
        """(B, 1, T, T): true where a position may look."""
        T, branch_BT = self.branch_BT.shape[1], self.branch_BT
        causal_TT = torch.ones(T, T, dtype=torch.bool, device=branch_BT.device).tril()
        own_BTT = branch_BT[:, :, None] == branch_BT[:, None, :]
        begun_B1T = (branch_BT == BEGINNING)[:, None, :]
        look_BTT = causal_TT & (own_BTT | begun_B1T)
        if both_ways:
            look_BTT |= begun_B1T & begun_B1T.transpose(1, 2)
        return look_BTT[:, None]


@dataclass(frozen=True)
class Grounding:
    """Which labels of a batch its picture tokens show."""

    label_LS: Tensor
    """The tokens of each label, filled up with others."""
    used_LS: Tensor
    """1.0 for the label's own tokens, else 0.0."""
    shown_PL: Tensor
    """1.0 where a picture token shows a point of a label, else 0.0."""
    point_N: Tensor
    """The picture token of each of N points, once a view."""
    offset_N2: Tensor
    """Where in its token a point is: x and y from the middle, in widths of the token."""


@dataclass(frozen=True)
class Aims:
    """Where some positions of a batch, N of them, are to look: at the token of the picture that they write of next."""

    row_N: Tensor
    place_N: Tensor
    target_NW: Tensor
    """Places in the row that show the next point, in each view of the picture; the token that begins the picture where
    no point is left."""
    used_NW: Tensor
    """False where there is no such view."""


AIMED_HEAD = 0
"""The head of attention that aims are for."""
SHARPNESS, THRESHOLD = 20.0, 0.7
"""Of the grounding loss: what the cosine of a token and a label is multiplied by, once this is taken off. Labels that
share one of two words have a cosine of about a half, which has to lie well below the threshold."""


class VisionLanguageModel(nn.Module):
    """Pictures and tokens in, hidden states, scores or weighted losses out."""

    def __init__(self, config: VisionLanguageConfig) -> None:
        super().__init__()
        self.config = config
        self.vision = VisionTransformer(config.vision, config.crops.crop, config.crops.patch)
        hidden = config.connector.hidden or config.decoder.hidden
        self.connector = Connector(config.connector, config.vision, hidden, config.decoder.width)
        self.decoder = decoder(config.decoder)

    def initialise(
        self,
        seed: int,
        put: Callable[[Tensor, Tensor], object] = Tensor.copy_,
        numbers: Mapping[int, int] = MappingProxyType({}),
    ) -> VisionLanguageModel:
        """Draw every weight: the decoder's as its own `initialise`, others from a normal of deviation 1 / sqrt(inputs),
        truncated at three. Gains are one and biases zero; the positions of patches begin as sines and cosines of their
        rows and columns. The same seed gives the same weights on every device.

        Args:
            seed: decides the weights.
            put: stores a whole drawn tensor in a parameter, which may hold but a part of it.
            numbers: tokens that stand for whole numbers, with their values: to their embeddings sines and cosines of
                the values are added, so that near numbers begin alike, as near patches do.
        """
        if numbers:
            self.decoder.initialise(seed, lambda parameter, drawn: put(parameter, self._numbered(drawn, numbers)))
        else:
            self.decoder.initialise(seed, put)
        generator = torch.Generator().manual_seed(seed + 1)
        with torch.no_grad():
            for part, module in (("vision", self.vision), ("connector", self.connector)):
                for name, parameter in module.named_parameters():
                    put(parameter, self._drawn(f"{part}.{name}", tuple(parameter.shape), generator))
        return self

    def _numbered(self, drawn: Tensor, numbers: Mapping[int, int]) -> Tensor:
        config = self.config.decoder
        if tuple(drawn.shape) != (config.vocab_size, config.width):
            return drawn
        waves = config.width // 8
        code = number_waves(torch.tensor(list(numbers.values())), waves)
        drawn[list(numbers), : 2 * waves] += config.init_std * code
        return drawn

    def _drawn(self, name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        drawn = torch.zeros(shape)
        if name.endswith("bias"):
            return drawn
        if name.endswith("positions"):
            return _sine_positions(shape, first=self.config.vision.class_token)
        if name.endswith("weight") and len(shape) == 1:
            return drawn + 1
        scale = float(np.prod(shape[1:])) ** -0.5 if len(shape) > 1 else 0.02
        if name.endswith("places.weight"):
            # About as large as the features that they are added to.
            scale = 0.04
        if "convolutions" in name:
            scale *= 2**0.5
        if name.endswith((".out.weight", ".down.weight")) and ".blocks." in name:
            scale *= (2 * self.config.vision.layers) ** -0.5
        return nn.init.trunc_normal_(drawn, 0.0, scale, -3 * scale, 3 * scale, generator=generator)

    def features(self, pictures: Pictures) -> Tensor:
        """(P, D): the feature of each picture token."""
        patches_CSD = self.vision(pictures.pixels_CHW3, tuple(self.config.connector.layers))
        return self.connector(patches_CSD, pictures.inside_CS, pictures.pooled_PW)

    def embedded(self, inputs: Inputs, feature_PD: Tensor | None) -> Tensor:
        """(B, T, D): embeddings of tokens, with the features of pictures added to their tokens."""
        x_BTD, found = self.decoder.embedding(inputs.tokens_BT), inputs.pictures
        if found is None or feature_PD is None:
            return x_BTD
        if self.config.connector.places:
            at_P2 = found.at_P2
            if self.config.connector.refined:
                # Scores of what the decoder writes do not train what is read here; the grounding loss does.
                offset_P2 = self.connector.offsets(feature_PD.detach()).detach().float()
                at_P2 = at_P2 + offset_P2.clamp(-0.5, 0.5) * found.extent_P2
            feature_PD = feature_PD + self.connector.placed(at_P2)
        if not found.used:
            return x_BTD + 0.0 * feature_PD.sum()
        return x_BTD.index_put((found.row_P, found.place_P), feature_PD.to(x_BTD.dtype), accumulate=True)

    def hidden(
        self,
        inputs: Inputs,
        feature_PD: Tensor | None,
        drop: Callable[[Tensor], Tensor] | None = None,
        watch: Callable[[Block, Tensor, Tensor, Tensor, Tensor], None] | None = None,
    ) -> Tensor:
        """Normed hidden states (B, T, D).

        Args:
            inputs: the batch.
            feature_PD: of its picture tokens; None leaves them out.
            drop: applied to what each half of a block adds.
            watch: called with the block in the middle and what it is given: stream, cosines, sines and mask.
        """
        x_BTD, core = self.embedded(inputs, feature_PD), self.decoder
        mask_B1TT = inputs.mask(both_ways=self.config.both_ways)
        cos, sin = (
            table[inputs.position_BT].view(*x_BTD.shape[:2], 1, 1, -1) for table in (core.cos_T11P, core.sin_T11P)
        )
        more = (drop,) if drop is not None else ()
        for number, each in enumerate(core.blocks):
            block = cast(Block, each)
            if watch is not None and number == len(core.blocks) // 2:
                watch(block, x_BTD, cos, sin, mask_B1TT)
            if core.recompute and torch.is_grad_enabled() and drop is None:
                x_BTD = checkpoint(block, x_BTD, cos, sin, mask_B1TT, use_reentrant=False, preserve_rng_state=False)
            else:
                x_BTD = block(x_BTD, cos, sin, mask_B1TT, *more)
        return core.norm(x_BTD)

    def losses(
        self,
        inputs: Inputs,
        target_BT: Tensor,
        weight_BT: Tensor,
        *,
        z_loss: float = 0.0,
        drop: Callable[[Tensor], Tensor] | None = None,
        grounding: Grounding | None = None,
        aims: Aims | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Weighted sums over the positions whose weight is above 0, the grounding loss, and that of aims.

        Returns (to descend, cross-entropy in nats, right, grounding, aiming): the first is the cross-entropy plus
        z_loss x logsumexp(logits)^2, each times the weight; `right` counts, with weights, the targets that are
        likeliest.
        """
        aiming: list[Tensor] = []

        def watch(block: Block, *given: Tensor) -> None:
            if aims is not None:
                aiming.append(aiming_loss(block, *given, aims))

        chosen_BT = weight_BT > 0
        feature_PD = self.features(inputs.pictures) if inputs.pictures is not None else None
        x_ND = self.hidden(inputs, feature_PD, drop, watch)[chosen_BT]
        sums = weighted_cross_entropy(
            x_ND, self.decoder.output_weight, target_BT[chosen_BT], weight_BT[chosen_BT], z_loss
        )
        none = sums[0].new_zeros(())
        grounded = none if grounding is None or feature_PD is None else self.grounding_loss(feature_PD, grounding)[0]
        return (*sums, grounded, aiming[0] if aiming else none)

    def dense_loss(self, pictures: Pictures, grounding: Grounding | None) -> tuple[Tensor, Tensor, Tensor]:
        """What `grounding_loss` returns, of pictures that the decoder does not read."""
        feature_PD = self.features(pictures)
        if grounding is None or not pictures.used:
            none = feature_PD.new_zeros(())
            return feature_PD.sum() * 0, none, none
        return self.grounding_loss(feature_PD, grounding)

    def grounding_loss(self, feature_PD: Tensor, grounding: Grounding) -> tuple[Tensor, Tensor, Tensor]:
        """How well picture tokens match the labels that are pointed at in them, and no others.

        A sigmoid loss over all pairs of a picture token and a label, as SigLIP's over pictures and texts (arXiv
        2303.15343), and the distance |x| + |y| from the offsets of the points to those that are read from their tokens,
        where the connector has `offsets`; both divided by the pairs that belong together. A label is the mean of its
        tokens' embeddings.

        Returns:
            The loss; the tokens at points that match a label at them best; the tokens at points.
        """
        embedded_LSD = self.decoder.embedding(grounding.label_LS) * grounding.used_LS[..., None]
        label_LD = F.normalize(embedded_LSD.sum(1).float(), dim=-1)
        cosine_PL = F.normalize(feature_PD.float(), dim=-1) @ label_LD.T
        logit_PL = SHARPNESS * (cosine_PL - THRESHOLD)
        shown_PL = grounding.shown_PL
        pairs = shown_PL.sum().clamp(min=1.0)
        total = F.binary_cross_entropy_with_logits(logit_PL, shown_PL, reduction="sum")
        if self.config.connector.offsets:
            found_N2 = self.connector.offsets(feature_PD[grounding.point_N])
            total = total + F.l1_loss(found_N2.float(), grounding.offset_N2, reduction="sum")
        right = (shown_PL.gather(1, cosine_PL.argmax(1, keepdim=True)) > 0).sum()
        return total / pairs, right.detach(), (shown_PL.amax(1) > 0).sum()

    def forward(self, inputs: Inputs) -> Tensor:
        """Logits (B, T, V); position t scores the token at t + 1."""
        feature_PD = self.features(inputs.pictures) if inputs.pictures is not None else None
        return F.linear(self.hidden(inputs, feature_PD), self.decoder.output_weight)


def aiming_loss(  # noqa: PLR0917
    block: Block, x_BTD: Tensor, cos_BT11P: Tensor, sin_BT11P: Tensor, mask_B1TT: Tensor, aims: Aims
) -> Tensor:
    """Mean of -log of the attention that a head of `block` pays to the places that it is to look at (as arXiv
    1609.04186, which trains the attention of translation on aligned words)."""
    read_BTD = block.attention_norm(x_BTD) if block.pre else x_BTD
    q_BTHK, k_BTGK, _ = queries_keys_values(block.attention, read_BTD, cos_BT11P, sin_BT11P)
    q_BTK, k_BTK = q_BTHK[:, :, AIMED_HEAD].float(), k_BTGK[:, :, AIMED_HEAD].float()
    score_BTT = q_BTK @ k_BTK.transpose(1, 2) * q_BTK.shape[-1] ** -0.5
    score_NT = score_BTT[aims.row_N, aims.place_N]
    share_NT = score_NT.masked_fill(~mask_B1TT[aims.row_N, 0, aims.place_N], -torch.inf).log_softmax(-1)
    return -share_NT.gather(1, aims.target_NW).masked_fill(~aims.used_NW, -torch.inf).logsumexp(-1).mean()


def _sine_positions(shape: tuple[int, ...], *, first: bool) -> Tensor:
    """(S, D): a quarter of D each for sines and cosines of rows and of columns; zeros for a class token."""
    tokens, D = shape
    side = round((tokens - first) ** 0.5)
    quarter = max(1, D // 4)
    frequency = 1.0 / 100.0 ** (torch.arange(quarter, dtype=torch.float64) / quarter)
    angle = torch.outer(torch.arange(side, dtype=torch.float64), frequency)
    waves = torch.cat((angle.sin(), angle.cos()), 1).float()
    both = torch.cat((waves[:, None].expand(-1, side, -1), waves[None].expand(side, -1, -1)), -1).reshape(
        side * side, -1
    )
    found = torch.zeros(tokens, D)
    found[int(first) :, : min(D, both.shape[1])] = both[:, :D]
    return found


def weighted_cross_entropy(
    x_ND: Tensor, weight_VD: Tensor, target_N: Tensor, weight_N: Tensor, z_loss: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over N of weight x (cross-entropy + z_loss x logsumexp^2), of weight x cross-entropy, and of weight x right.

    The logits of a chunk of rows are computed again in the backward pass, so that never more than a chunk is held.
    """
    rows = rows_of_chunk(len(weight_VD), x_ND.device.type)
    several = len(x_ND) > rows and torch.is_grad_enabled()
    sums: list[Tensor] = []
    for part in zip(x_ND.split(rows), target_N.split(rows), weight_N.split(rows), strict=True):
        given: Any = (*part, weight_VD, z_loss)
        found = checkpoint(_chunk, *given, use_reentrant=False, preserve_rng_state=False) if several else _chunk(*given)
        sums.append(found)
    if not sums:
        # A batch without a target still needs a gradient, of zero.
        return (x_ND.sum() * 0, *x_ND.new_zeros(2, dtype=torch.float32))
    total_3 = torch.stack(sums).sum(0)
    return total_3[0], total_3[1].detach(), total_3[2].detach()


def _chunk(x_CD: Tensor, target_C: Tensor, weight_C: Tensor, weight_VD: Tensor, z_loss: float) -> Tensor:
    logits_CV = F.linear(x_CD, weight_VD).float()
    nats_C = F.cross_entropy(logits_CV, target_C, reduction="none")
    descend_C = nats_C + z_loss * logits_CV.logsumexp(-1).square() if z_loss else nats_C
    right_C = (logits_CV.argmax(-1) == target_C).float()
    return torch.stack([(each * weight_C).sum() for each in (descend_C, nats_C, right_C)])
