"""Weights read from disk: a checkpoint, a run folder's newest one, or a folder in the Hugging Face format."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from trainers.core import checkpoint
from trainers.core.checkpoint import Checkpoint
from trainers.core.tensors import COPY_AGAIN, TensorFolder, Tensors
from trainers.models.adapters import merged
from trainers.models.config import DenseConfig
from trainers.models.decoder import decoder
from trainers.models.dense import DenseDecoder
from trainers.models.hugging_face import from_config_json, from_tensors, to_tensors
from trainers.process.errors import TrainerError
from trainers.process.files import read_json_object

CONFIG = "config.json"


def read_hugging_face(folder: Path) -> tuple[DenseConfig, dict[str, Tensor]]:
    """Configuration and weights of a folder, held against each other in name and shape.

    Raises:
        TrainerError: an architecture that is not known here, or a tensor that `checked_weights` refuses.
    """
    if not (folder / CONFIG).is_file():
        raise TrainerError(f"{folder} holds no {CONFIG}", "give a checkpoint, or a folder in the Hugging Face format")
    parsed = read_json_object(folder / CONFIG)
    config = from_config_json(parsed, str(folder / CONFIG))
    with TensorFolder(folder) as tensors:
        return config, checked_weights(config, parsed["model_type"], tensors)


def checked_weights(config: DenseConfig, kind: str, tensors: Tensors) -> dict[str, Tensor]:
    """The weights of a decoder from tensors in the Hugging Face format, whose names, shapes and numbers are checked.

    Args:
        kind: the architecture, such as "llama".

    Raises:
        TrainerError: a tensor is missing, has no place in the model, has another shape, or holds NaN or an infinity.
    """
    with torch.device("meta"):
        parameters = dict(decoder(config).named_parameters())
    expected = {name: tuple(tensor.shape) for name, tensor in to_tensors(config, parameters, kind)}
    found = tensors.shapes()
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected and not _may_be_left_over(name, config.tied)]
    _refuse(tensors.place, missing, "is missing", COPY_AGAIN)
    _refuse(tensors.place, extra, f"has no place in the model of {CONFIG}", f"give a matching {CONFIG}")
    for name, shape in expected.items():
        if found[name] != shape:
            cause = f"{tensors.place}: {name} has shape {found[name]}, not {shape}"
            raise TrainerError(cause, f"give a matching {CONFIG}")
    return from_tensors(config, kind, tensors.read)


def _may_be_left_over(name: str, tied: bool) -> bool:
    """Whether older versions stored this tensor twice or could have computed it."""
    return name.endswith(("rotary_emb.inv_freq", "lm_head.weight") if tied else "rotary_emb.inv_freq")


def _refuse(place: Path, names: list[str], what: str, mend: str) -> None:
    if names:
        others = f" (and {len(names) - 1} others)" if len(names) > 1 else ""
        raise TrainerError(f"{place}: the tensor {names[0]} {what}{others}", mend)


DECODER, ADAPTERS = "decoder", "adapters"
"""Fields of a checkpoint's state: what the names of its decoder's weights begin with, and the shape of its adapters."""


def decoder_of(found: Checkpoint) -> DenseDecoder:
    """The decoder of a checkpoint, in float32 on the CPU; that of a larger model, and adapters merged into it."""
    model = decoder(found.model_config)
    prefix, adapters = found.state.get(DECODER, ""), found.state.get(ADAPTERS)
    weights = {name.removeprefix(prefix): w for name, w in found.weights().items() if name.startswith(prefix)}
    model.load_state_dict(merged(weights, adapters["alpha"] / adapters["rank"]) if adapters else weights)
    return model


def load_decoder(source: Path) -> DenseDecoder:
    """The decoder of a checkpoint, of a run folder's newest one, or of a Hugging Face folder; float32, on the CPU."""
    if not source.is_dir():
        raise TrainerError(f"{source} is not a folder", "give a checkpoint, or a folder in the Hugging Face format")
    if not (source / CONFIG).is_file() or "model_type" not in read_json_object(source / CONFIG):
        return decoder_of(checkpoint.chosen(source))
    config, weights = read_hugging_face(source)
    model = decoder(config)
    model.load_state_dict(weights)
    return model
