"""Checkpoints that are whole or refused.

A checkpoint is a folder step_00000100 with model.pt, optimizer.pt and state.json; state.json holds the step, the
loader's state, and the size and SHA-256 of the other two and of itself. It is written beside its place and renamed into
it, and the newest whose digests hold is the one to go on from. Tensors in it are whole, however many ranks made them,
so that any other number of ranks can go on.

A passing checkpoint is one that the clock or a signal asked for. The next checkpoint replaces it, so a run that was
stopped ends with the same checkpoints as one that was not.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor, nn

from trainers.core.adamw import AdamW
from trainers.core.ranks import Ranks, gathered, local, put
from trainers.models.config import DenseConfig, model_config
from trainers.process.errors import TrainerError, no_room
from trainers.process.files import flush_to_disk, sha256_file, whole_folder
from trainers.process.sealed import DIGEST, read_sealed, write_sealed

RESERVED = (
    *("step", "tokens", "fingerprint", "config", "loader", "position"),
    *("digests", "sizes", "metrics", "passing", "lineage", DIGEST),
)
"""Fields of state.json that an objective's own state may not have."""
MEND = "use an earlier checkpoint of the run, or train again"
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
    """Write the checkpoint of state["step"], replacing one of that step. Every rank calls this; the first writes.

    Raises:
        TrainerError: the disk has no room for it; nothing is left of it then.
    """
    ranks = ranks or Ranks()
    parameters = dict(model.named_parameters())
    parts = {name: local(parameter) for name, parameter in parameters.items()}
    weights, moments = gathered(parts, parameters, ranks), optimiser.gather(ranks)
    place = run_folder / folder_name(state["step"])
    whole = write(place, state, {MODEL: weights, OPTIMISER: moments}) if ranks.first else None
    return Checkpoint(place, ranks.from_first(whole))


def write(place: Path, state: dict[str, Any], contents: dict[str, Any], beside: Sequence[Path] = ()) -> dict[str, Any]:
    """Write a checkpoint folder whole: `contents` by torch, by file name, and copies of the files `beside`.

    Returns the state with the sizes and digests of `contents`.

    Raises:
        TrainerError: the disk has no room for it; nothing is left of it then.
    """
    _check_room(place, contents)
    with whole_folder(place) as folder:
        for name, content in contents.items():
            _save_tensors(folder / name, content, place)
        for source in beside:
            shutil.copyfile(source, folder / source.name)
        whole = state | {
            "digests": {name: sha256_file(folder / name) for name in contents},
            "sizes": {name: (folder / name).stat().st_size for name in contents},
        }
        write_sealed(folder / STATE, whole)
    return whole


def _check_room(place: Path, contents: dict[str, Any]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    needed, free = tensor_bytes(contents), shutil.disk_usage(place.parent).free
    if needed > free:
        raise no_room(OSError(errno.ENOSPC, f"it needs {needed:,} bytes, and {free:,} are free", str(place)))


def tensor_bytes(value: Any) -> int:
    """Bytes of all tensors in nested mappings."""
    if isinstance(value, Tensor):
        return value.nbytes
    return sum(map(tensor_bytes, value.values())) if isinstance(value, Mapping) else 0


def _save_tensors(path: Path, content: Any, place: Path) -> None:
    """Write one file, flushed; an error of a full disk names `place`, the checkpoint."""
    with path.open("wb") as file:
        target = _Remembering(file)
        try:
            torch.save(content, cast("BinaryIO", target))
            flush_to_disk(file)
        except (OSError, RuntimeError) as error:
            cause = error if isinstance(error, OSError) else target.error
            if cause is None:
                raise
            raise no_room(OSError(cause.errno, cause.strerror, str(place))) from None


class _Remembering:
    """A file for torch.save, which replaces an error of `write` by one of its own that does not say what it was."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def open_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in `folder`; TrainerError when a file is missing or differs from its digest."""
    state = _read_state(folder)
    for name, digest in state["digests"].items():
        if not (folder / name).is_file() or sha256_file(folder / name) != digest:
            raise TrainerError(f"{folder / name} is missing or differs from its digest", MEND)
    return Checkpoint(folder, state)


def _read_state(folder: Path) -> dict[str, Any]:
    """state.json; TrainerError when it is damaged, or a file of the checkpoint is missing or of another size."""
    state = read_sealed(folder / STATE, {"step": int, "fingerprint": str, "config": dict, "digests": dict}, MEND)
    for name, size in state.get("sizes", {}).items():
        if not (folder / name).is_file() or (folder / name).stat().st_size != size:
            raise TrainerError(f"{folder / name} is missing or has another size than {size} bytes", MEND)
    return state


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


def prune(run_folder: Path, keep: int, written: Checkpoint) -> None:
    """Remove the checkpoints that one just written makes needless; never that one.

    Passing checkpoints before it go, whatever `keep` is. Of the others the newest `keep` that are whole are kept; 0
    keeps all. Where `keep` is set, those after it go too: the run did not go on from them because they are damaged.
    """
    kept = 1
    for folder in reversed(checkpoint_folders(run_folder)):
        if folder.name == written.folder.name:
            continue
        state = _glanced(folder)
        after = folder.name > written.folder.name
        passing = state is not None and state.get("passing", False) and not after
        needless = bool(keep) and (after or state is None or kept >= keep)
        if passing or needless:
            shutil.rmtree(folder, ignore_errors=True)
        elif state is not None and not after:
            kept += 1


def _glanced(folder: Path) -> dict[str, Any] | None:
    """The state of a checkpoint whose files are there in full size, without reading them; None of any other."""
    try:
        return _read_state(folder)
    except TrainerError:
        return None


def chosen(folder: Path) -> Checkpoint:
    """The checkpoint in `folder`, or the newest whole one of the run in it.

    Raises:
        TrainerError: no checkpoint in it is whole.
    """
    found = open_checkpoint(folder) if (folder / STATE).is_file() else latest(folder)
    if found is None:
        raise TrainerError(f"{folder} holds no whole checkpoint", "give a run folder or a step_... folder")
    return found
