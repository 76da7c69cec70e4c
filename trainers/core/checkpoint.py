"""Checkpoints that are whole or refused.

A checkpoint is a folder step_00000100 with model.pt, optimizer.pt and state.json; state.json holds the step, the
loader's state and the SHA-256 of the other two. It is written beside its place and renamed into it, and the newest
whose digests hold is the one to go on from. Tensors in it are whole, however many ranks made them, so that any other
number of ranks can go on.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainers.core.adamw import AdamW
from trainers.core.ranks import Ranks, gathered, local, put
from trainers.models.config import DenseConfig, model_config
from trainers.process.errors import TrainerError
from trainers.process.files import flush_to_disk, sha256_file, whole_folder, write_json

MODEL, OPTIMISER, STATE = "model.pt", "optimizer.pt", "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder whose digests were found right."""

    folder: Path
    state: dict[str, Any]

    @property
    def step(self) -> int:
        """Optimiser steps that were taken before it was written."""
        return int(self.state["step"])

    @property
    def model_sha256(self) -> str:
        """SHA-256 of model.pt: the name of these weights."""
        return str(self.state["digests"][MODEL])

    @property
    def model_config(self) -> DenseConfig:
        """The shape of the decoder whose weights these are, or which the trained model contains."""
        return model_config(self.state["config"]["model"])

    def weights(self) -> dict[str, Tensor]:
        """Whole parameters by name, on the CPU, mapped from the file."""
        return torch.load(self.folder / MODEL, map_location="cpu", weights_only=True, mmap=True)

    def load_model(self, model: nn.Module) -> None:
        """Put the weights, or this rank's part of them, into `model`."""
        weights = self.weights()
        for name, parameter in model.named_parameters():
            put(parameter, weights[name])

    def load_optimiser(self, optimiser: AdamW) -> None:
        """Put the moments, or this rank's part of them, into `optimiser`."""
        path = self.folder / OPTIMISER
        optimiser.load_state_dict(torch.load(path, map_location="cpu", weights_only=True, mmap=True))


def digest_of(model: nn.Module) -> str:
    """Hex SHA-256 of a model's parameters on the CPU, by name: the same from whatever format they were read."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(name.encode())
        digest.update(parameter.detach().float().contiguous().numpy())
    return digest.hexdigest()


def folder_name(step: int) -> str:
    """The name of the folder of the checkpoint after `step` optimiser steps."""
    return f"step_{step:08d}"


def save(
    run_folder: Path, state: dict[str, Any], model: nn.Module, optimiser: AdamW, ranks: Ranks | None = None
) -> Checkpoint:
    """Write the checkpoint of state["step"], replacing one of that step. Every rank calls this; the first writes."""
    ranks = ranks or Ranks()
    parameters = dict(model.named_parameters())
    parts = {name: local(parameter) for name, parameter in parameters.items()}
    weights, moments = gathered(parts, parameters, ranks), optimiser.gather(ranks)
    place = run_folder / folder_name(state["step"])
    whole = write(place, state, {MODEL: weights, OPTIMISER: moments}) if ranks.first else None
    return Checkpoint(place, ranks.from_first(whole))


def write(place: Path, state: dict[str, Any], contents: dict[str, Any], beside: Sequence[Path] = ()) -> dict[str, Any]:
    """Write a checkpoint folder whole: `contents` by torch, by file name, and copies of the files `beside`.

    Returns the state with the digests of `contents`.
    """
    with whole_folder(place) as folder:
        for name, content in contents.items():
            with (folder / name).open("wb") as file:
                torch.save(content, file)
                flush_to_disk(file)
        for source in beside:
            shutil.copyfile(source, folder / source.name)
        whole = state | {"digests": {name: sha256_file(folder / name) for name in contents}}
        write_json(folder / STATE, whole)
    return whole


def open_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in `folder`; TrainerError when a file is missing or differs from its digest."""
    mend = "use an earlier checkpoint of the run, or train again"
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        digests = state["digests"]
    except (OSError, json.JSONDecodeError, KeyError) as error:
        raise TrainerError(f"{folder} is not a checkpoint: {type(error).__name__}", mend) from None
    for name, digest in digests.items():
        if not (folder / name).is_file() or sha256_file(folder / name) != digest:
            raise TrainerError(f"{folder / name} is missing or differs from its digest", mend)
    return Checkpoint(folder, state)


def checkpoint_folders(run_folder: Path) -> list[Path]:
    """Checkpoint folders of a run, oldest first, whole or not."""
    return sorted(p for p in run_folder.glob("step_*") if re.fullmatch(r"step_\d{8,}", p.name) and p.is_dir())


def latest(run_folder: Path) -> Checkpoint | None:
    """The newest checkpoint whose digests hold."""
    for folder in reversed(checkpoint_folders(run_folder)):
        try:
            return open_checkpoint(folder)
        except TrainerError:
            continue
    return None


def prune(run_folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints; 0 keeps all."""
    if keep:
        for folder in checkpoint_folders(run_folder)[:-keep]:
            shutil.rmtree(folder)


def chosen(folder: Path) -> Checkpoint:
    """The checkpoint in `folder`, or the newest whole one of the run in it.

    Raises:
        TrainerError: no checkpoint in it is whole.
    """
    found = open_checkpoint(folder) if (folder / STATE).is_file() else latest(folder)
    if found is None:
        raise TrainerError(f"{folder} holds no whole checkpoint", "give a run folder or a step_... folder")
    return found
