"""Tensors in a folder's safetensors files: by name, with every file whole and every number finite."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from trainers.process.errors import TrainerError
from trainers.process.files import read_json_object

ONE_FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
COPY_AGAIN = "copy the model again in full"


class Tensors(Protocol):
    """Named tensors of a model, in the names of the Hugging Face format."""

    place: Path
    """The file or folder, for errors."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor, by its name."""
        ...

    def read(self, name: str) -> Tensor:
        """A tensor on the CPU.

        Raises:
            TrainerError: it cannot be read, or holds NaN or an infinity.
        """
        ...


def finite(place: Path, name: str, tensor: Tensor) -> Tensor:
    """The tensor, if all of its numbers are finite; TrainerError otherwise."""
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        wrong = "NaN" if bool(torch.isnan(tensor).any()) else "an infinite number"
        raise TrainerError(f"{place}: the tensor {name} holds {wrong}", "give a model whose training did not diverge")
    return tensor


class TensorFolder:
    """The tensors of a folder's safetensors files, read one by one; a context manager, as the files stay open.

    Raises:
        TrainerError: a file is missing, cut off, or no safetensors file.
    """

    def __init__(self, folder: Path) -> None:
        self.place = folder
        self.files = tensor_files(folder)
        self._stack = ExitStack()
        self._open: dict[str, Any] = {}
        try:
            for name in sorted(set(self.files.values())):
                self._open[name] = self._stack.enter_context(_opened(folder / name))
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> TensorFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor, by its name; TrainerError where the index names one that its file has not."""
        inside = {name: set(file.keys()) for name, file in self._open.items()}
        for name, file in self.files.items():
            if name not in inside[file]:
                raise TrainerError(f"{self.place / file}: the tensor {name} is missing", COPY_AGAIN)
        return {name: tuple(self._open[file].get_slice(name).get_shape()) for name, file in self.files.items()}

    def read(self, name: str) -> Tensor:
        """The tensor called `name`; TrainerError when it cannot be read or its numbers are not finite."""
        place = self.place / self.files[name]
        try:
            tensor = self._open[self.files[name]].get_tensor(name)
        except Exception as error:  # safetensors has one error for all that is wrong with a file
            cause = " ".join(str(error).split())
            raise TrainerError(f"{place}: the tensor {name} cannot be read: {cause}", COPY_AGAIN) from None
        return finite(place, name, tensor)


def check_tensors(folder: Path) -> None:
    """Read all of a folder's safetensors files, for a loader that does not check them.

    Raises:
        TrainerError: a file is missing or cut off, or a tensor holds NaN or an infinity.
    """
    with TensorFolder(folder) as tensors:
        for name in tensors.shapes():
            tensors.read(name)


def tensor_files(folder: Path) -> dict[str, str]:
    """The file of each tensor: from the index, or of the single file."""
    if (folder / INDEX).is_file():
        return _from_index(folder / INDEX)
    if not (folder / ONE_FILE).is_file():
        raise TrainerError(f"{folder} holds neither {ONE_FILE} nor {INDEX}", "give a folder with safetensors files")
    with _opened(folder / ONE_FILE) as file:
        return dict.fromkeys(file.keys(), ONE_FILE)


def _from_index(path: Path) -> dict[str, str]:
    places = read_json_object(path).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise TrainerError(f"{path} has no weight_map", COPY_AGAIN)
    for name in places.values():
        if Path(name).name != name:
            raise TrainerError(f"{path} names the file {name!r}, which is not in its folder", COPY_AGAIN)
    return dict(places)


def _opened(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise TrainerError(f"{path} is missing", COPY_AGAIN)
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise TrainerError(f"{path} is not a safetensors file: {error}", COPY_AGAIN) from None
