"""Weights read from disk: a checkpoint, a run folder's newest one, or a folder in the Hugging Face format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainers.core import checkpoint
from trainers.core.checkpoint import Checkpoint
from trainers.models.config import DenseConfig
from trainers.models.decoder import decoder
from trainers.models.dense import DenseDecoder
from trainers.models.hugging_face import from_config_json, from_tensors
from trainers.process.errors import TrainerError

CONFIG, ONE_FILE, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"


class TensorFolder:
    """The tensors of a folder's safetensors files, read one by one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = _tensor_files(folder)
        self._open: dict[str, Any] = {}
        self.used: set[str] = set()

    def read(self, name: str) -> Tensor:
        """The tensor called `name`; TrainerError when no file has it."""
        mend = "copy the folder again in full"
        if name not in self.files:
            raise TrainerError(f"{self.folder}: the tensor {name} is missing", mend)
        self.used.add(name)
        try:
            return self._file(self.files[name]).get_tensor(name)
        except Exception as error:  # safetensors has one error for all that is wrong with a file
            place = self.folder / self.files[name]
            raise TrainerError(f"{place}: {name} cannot be read: {' '.join(str(error).split())}", mend) from None

    def _file(self, name: str) -> Any:
        from safetensors import safe_open

        if name not in self._open:
            self._open[name] = safe_open(self.folder / name, framework="pt")
        return self._open[name]

    def left_over(self, tied: bool) -> list[str]:
        """Names that nobody read, but for what older versions stored twice or could have computed."""
        known = ("rotary_emb.inv_freq", "lm_head.weight") if tied else ("rotary_emb.inv_freq",)
        return sorted(name for name in self.files.keys() - self.used if not name.endswith(known))


def _tensor_files(folder: Path) -> dict[str, str]:
    """The file of each tensor."""
    from safetensors import SafetensorError, safe_open

    if (folder / INDEX).is_file():
        return dict(read_json(folder / INDEX)["weight_map"])
    if not (folder / ONE_FILE).is_file():
        raise TrainerError(f"{folder} holds neither {ONE_FILE} nor {INDEX}", "give a folder with safetensors files")
    try:
        with safe_open(folder / ONE_FILE, framework="pt") as file:
            return dict.fromkeys(file.keys(), ONE_FILE)
    except SafetensorError as error:
        raise TrainerError(f"{folder / ONE_FILE} is not a safetensors file: {error}", "copy it again in full") from None


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; TrainerError when the file cannot be read or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainerError(f"{path} cannot be read: {' '.join(str(error).split())}", "give a whole folder") from None


def read_hugging_face(folder: Path) -> tuple[DenseConfig, dict[str, Tensor]]:
    """Configuration and weights of a folder, held against each other in name and shape.

    Raises:
        TrainerError: an architecture that is not known here, or a tensor missing, left over or of another shape.
    """
    if not (folder / CONFIG).is_file():
        raise TrainerError(f"{folder} holds no {CONFIG}", "give a checkpoint, or a folder in the Hugging Face format")
    config = from_config_json(read_json(folder / CONFIG), str(folder / CONFIG))
    tensors = TensorFolder(folder)
    weights = from_tensors(config, tensors.read)
    for name in tensors.left_over(config.tied):
        raise TrainerError(f"{folder}: {name} has no place in the model of {CONFIG}", "give a matching config.json")
    with torch.device("meta"):
        expected = {name: tuple(p.shape) for name, p in decoder(config).named_parameters()}
    for name, shape in expected.items():
        if tuple(weights[name].shape) != shape:
            found = tuple(weights[name].shape)
            raise TrainerError(f"{folder}: {name} has shape {found}, not {shape}", "give a matching config.json")
    return config, weights


def decoder_of(found: Checkpoint) -> DenseDecoder:
    """The decoder of a checkpoint, in float32 on the CPU."""
    model = decoder(found.model_config)
    model.load_state_dict(found.weights())
    return model


def load_decoder(source: Path) -> DenseDecoder:
    """The decoder of a checkpoint, of a run folder's newest one, or of a Hugging Face folder; float32, on the CPU."""
    if not source.is_dir():
        raise TrainerError(f"{source} is not a folder", "give a checkpoint, or a folder in the Hugging Face format")
    if not (source / CONFIG).is_file() or "model_type" not in read_json(source / CONFIG):
        return decoder_of(checkpoint.chosen(source))
    config, weights = read_hugging_face(source)
    model = decoder(config)
    model.load_state_dict(weights)
    return model
