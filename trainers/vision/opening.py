"""What a run of `python -m trainers.caption` begins with, and models that such runs left, read from disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from trainers.core import checkpoint
from trainers.core.checkpoint import Checkpoint
from trainers.models.config import DenseConfig, model_config
from trainers.process.config_file import check_fields
from trainers.process.errors import TrainerError
from trainers.process.run_folder import TOKENIZER
from trainers.serving.served import open_served
from trainers.serving.tokenizers import TextTokenizer
from trainers.vision.config import CaptionConfig
from trainers.vision.crops import CropConfig
from trainers.vision.hugging_face import is_molmo, read_molmo, read_vision
from trainers.vision.model import VisionLanguageModel
from trainers.vision.objective import END_TOKEN, SHAPE, Beginning
from trainers.vision.shape import ConnectorConfig, TransformerConfig, VisionLanguageConfig, from_mapping
from trainers.vision.tokens import END, MARKERS, make_tokenizer, with_markers

SMALL: dict[str, dict[str, Any]] = {
    "vision": {
        "width": 128,
        "layers": 2,
        "heads": 4,
        "hidden": 384,
        "stem": (16, 32, 64, 128, 128),
        # With positions, a thing is hardly known in a half of the picture where training never had it.
        "positions": False,
    },
    "connector": {"layers": (-1, -2), "heads": 4, "places": True, "offsets": True, "refined": True},
    "decoder": {
        "width": 128,
        "layers": 3,
        # One head has to know a label, a place and the order of places by heart: 64 numbers, of which the slow half
        # of the rotary frequencies leave most unturned between any two positions.
        "heads": 2,
        "rope_theta": 1e8,
        "hidden": 352,
        "sequence_length": 512,
        "tied": True,
        # The head that aims at a picture token among hundreds has to be sharp from early on.
        "qk_norm": False,
    },
    "crops": {"crop": 192, "patch": 16, "pool": 1, "mode": "global", "margins": (0, 0)},
}
"""The shape of a model that is trained from nothing on a laptop, where the configuration leaves it open."""


def begin(config: CaptionConfig, texts: Iterable[str]) -> Beginning:
    """The model that a run begins with.

    Args:
        config: of the run.
        texts: of its data, for a tokenizer that is made.

    Raises:
        TrainerError: a folder cannot be read, or a field of the shape is wrong.
    """
    if config.model:
        return opened(Path(config.model))
    parts = _shape_parts(config.shape)
    weights: dict[str, Tensor] = {}
    if config.vision:
        vision, crops, weights = read_vision(Path(config.vision))
        parts["vision"] = vision
        # The size of a crop is that of the transformer; how pictures are cut is free.
        given: dict[str, Any] = {
            "margins": (4, 4) if crops.side > 8 else (0, 0),
            "mode": "overlap",
            **config.shape.get("crops", {}),
        }
        parts["crops"] = CropConfig(**given, crop=crops.crop, patch=crops.patch)
        if "connector" not in config.shape:
            parts["connector"] = ConnectorConfig(layers=(-2, -min(9, vision.layers)), heads=max(1, vision.width // 64))
    if config.language:
        served = open_served(config.language)
        if not served.ends:
            raise TrainerError(
                f"{config.language} names no token that ends a text", "set eos_token_id in its config.json"
            )
        rows = served.decoder.config.vocab_size
        tokenizer, markers, rows = with_markers(served.tokenizer, rows)
        weights |= {f"decoder.{name}": weight.detach() for name, weight in served.decoder.named_parameters()}
        parts["decoder"] = replace(served.decoder.config, vocab_size=rows, separator=-1)
        end = min(served.ends)
    else:
        tokenizer = (
            TextTokenizer.from_file(Path(config.tokenizer))
            if config.tokenizer
            else make_tokenizer(texts, config.vocabulary)
        )
        found = tokenizer.number(END)
        if found is None:
            raise TrainerError(f"{config.tokenizer} has no token {END}", "give a tokenizer that has it")
        tokenizer, markers, rows = with_markers(tokenizer, tokenizer.size)
        parts["decoder"] = model_config({**_decoder_fields(config.shape), "vocab_size": rows})
        end = found
    shape = VisionLanguageConfig(
        vision=parts["vision"],
        connector=parts["connector"],
        decoder=parts["decoder"],
        crops=parts["crops"],
        markers=markers,
        both_ways=bool(config.shape.get("both_ways", False)),
    )
    return Beginning(shape=shape, tokenizer=tokenizer, end=end, weights=weights)


def _shape_parts(shape: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {"vision": TransformerConfig, "connector": ConnectorConfig, "crops": CropConfig, "decoder": DenseConfig}
    for name, fields in shape.items():
        if name == "both_ways":
            continue
        if name not in kinds:
            raise TrainerError(f"shape has no part {name!r}", f"its parts are {', '.join(kinds)} and both_ways")
        check_fields(fields, kinds[name], f"shape.{name}", hidden=("vocab_size",))
    made: dict[str, Any] = {
        name: kind(**{**SMALL[name], **shape.get(name, {})}) for name, kind in kinds.items() if name != "decoder"
    }
    return made


def _decoder_fields(shape: Mapping[str, Any]) -> dict[str, Any]:
    return {"norm_placement": "pre", "init_std": 0.05, **SMALL["decoder"], **shape.get("decoder", {})}


def opened(place: Path) -> Beginning:
    """The model in a run, a checkpoint, or a folder of a published Molmo.

    Raises:
        TrainerError: it holds none, or has no tokenizer.
    """
    if is_molmo(place):
        tokenizer = _tokenizer(place)
        numbers = tuple(tokenizer.number(marker) for marker in MARKERS)
        if None in numbers:
            raise TrainerError(f"{place / TOKENIZER} lacks one of {', '.join(MARKERS)}", "copy the model again in full")
        shape, weights = read_molmo(place, numbers)  # ty: ignore[invalid-argument-type]
        end = tokenizer.number(END)
        if end is None:
            raise TrainerError(f"{place / TOKENIZER} has no token {END}", "copy the model again in full")
        return Beginning(shape=shape, tokenizer=tokenizer, end=end, weights=weights)
    found = checkpoint.chosen(place)
    return Beginning(
        shape=shape_of(found),
        tokenizer=_tokenizer(found.folder, found.folder.parent),
        end=int(found.state[END_TOKEN]),
        weights=found.weights(),
    )


def shape_of(found: Checkpoint) -> VisionLanguageConfig:
    """The shape of the model of pictures that a checkpoint holds.

    Raises:
        TrainerError: it holds another kind of model.
    """
    if SHAPE not in found.state:
        raise TrainerError(f"{found.folder} holds no model of pictures", "give a run of `python -m trainers.caption`")
    return from_mapping(found.state[SHAPE])


def reads_pictures(place: Path) -> bool:
    """Whether a folder holds a model of pictures that `opened` reads."""
    if not place.is_dir():
        return False
    if is_molmo(place):
        return True
    try:
        return SHAPE in checkpoint.chosen(place).state
    except TrainerError:
        return False


def model_of(beginning: Beginning) -> VisionLanguageModel:
    """The whole model in float32 on the CPU, ready to answer.

    Raises:
        TrainerError: a tensor is missing or has another shape.
    """
    model = VisionLanguageModel(beginning.shape)
    for name, parameter in model.named_parameters():
        found = beginning.weights.get(name)
        if found is None or found.shape != parameter.shape:
            shape = "missing" if found is None else f"of shape {tuple(found.shape)}, not {tuple(parameter.shape)}"
            raise TrainerError(f"the tensor {name} is {shape}", "copy the model again in full")
        parameter.data.copy_(found)
    return model.eval()


def _tokenizer(*places: Path) -> TextTokenizer:
    for place in places:
        if (place / TOKENIZER).is_file():
            return TextTokenizer.from_file(place / TOKENIZER)
    raise TrainerError(f"{places[0]} has no {TOKENIZER}", "put the tokenizer of the model beside it")
