"""Checkpoints that are whole or refused.

A checkpoint is a folder step_00000100 with model.pt, optimizer.pt and state.json; state.json holds the step, the
loader's state and the SHA-256 of the other two. It is written beside its place and renamed into it, and the newest
whose digests hold is the one to go on from.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainers.adamw import AdamW
from trainers.errors import TrainerError
from trainers.files import sha256_file, write_json

MODEL, OPTIMISER, STATE = "model.pt", "optimizer.pt", "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder whose digests were found right."""

    folder: Path
    state: dict[str, Any]

    @property
    def step(self) -> int:
        return int(self.state["step"])

    @property
    def model_sha256(self) -> str:
        """SHA-256 of model.pt: the name of these weights."""
        return str(self.state["digests"][MODEL])

    def load_model(self, model: nn.Module) -> None:
        """Put the weights into `model`, on its device."""
        model.load_state_dict(torch.load(self.folder / MODEL, map_location="cpu", weights_only=True))

    def load_optimiser(self, optimiser: AdamW) -> None:
        """Put the moments into `optimiser`, on its parameters' devices."""
        optimiser.load_state_dict(torch.load(self.folder / OPTIMISER, map_location="cpu", weights_only=True))


def folder_name(step: int) -> str:
    return f"step_{step:08d}"


def save(run_folder: Path, state: dict[str, Any], model: nn.Module, optimiser: AdamW) -> Checkpoint:
    """Write the checkpoint of state["step"], replacing one of that step."""
    place = run_folder / folder_name(state["step"])
    partial = run_folder / f".{place.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, holder in ((MODEL, model), (OPTIMISER, optimiser)):
        with (partial / name).open("wb") as file:
            torch.save(holder.state_dict(), file)
            file.flush()
            os.fsync(file.fileno())
    whole = state | {"digests": {name: sha256_file(partial / name) for name in (MODEL, OPTIMISER)}}
    write_json(partial / STATE, whole)
    shutil.rmtree(place, ignore_errors=True)
    partial.rename(place)
    return Checkpoint(place, whole)


def open_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in `folder`; TrainerError when a file is missing or differs from its digest."""
    mend = "use an earlier checkpoint of the run, or train again"
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        digests = state["digests"]
    except (OSError, json.JSONDecodeError, KeyError) as error:
        raise TrainerError(f"{folder} is no checkpoint: {type(error).__name__}", mend) from None
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
