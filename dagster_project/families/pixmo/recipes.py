"""What decides the tables: the files of each dataset, the round of downloads, and how samples become shards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from catalog.settings import Settings

if TYPE_CHECKING:
    from spark_jobs.pictures.rules import FetchRules
    from spark_jobs.pixmo.loading import PixmoFile
    from spark_jobs.pixmo.shards import PictureShardRecipe


@dataclass(frozen=True)
class Files:
    """The files of a dataset; `digests` identify them by name and contents, wherever they lie."""

    files: tuple[PixmoFile, ...]
    digests: tuple[str, ...]


def folders(settings: Settings) -> tuple[Path, Path]:
    """Return the folder of published files, and that of what was annotated here."""
    published, annotated = (Path(name).expanduser() for name in (settings.pixmo.data, settings.pixmo.annotations))
    return settings.project / published, settings.project / annotated


def files_of(dataset: str) -> Callable[[Settings, Any], Files]:
    """Return a recipe: the files of one dataset."""

    def recipe(settings: Settings, _: Any) -> Files:
        from spark_jobs.pixmo.loading import pixmo_files

        found = tuple(file for file in pixmo_files(*folders(settings)) if file.dataset == dataset)
        return Files(found, tuple(f"{file.name} {_digest(file.path)}" for file in found))

    return recipe


def literals(files: Files) -> Any:
    """Return what identifies files."""
    return files.digests


def _digest(path: Path) -> str:
    stat = path.stat()
    return _digest_of(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _digest_of(path: Path, size: int, changed: int) -> str:
    del size, changed
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Round:
    """A round of downloads. Its name alone is hashed: limits do not change what hosts give."""

    name: str
    rules: FetchRules


def round_recipe(settings: Settings, _: Any) -> Round:
    """Return the round of downloads and its limits.

    Raises:
        WatershedError: a limit of `[pixmo]` is out of range.
    """
    from spark_jobs.pictures.rules import FetchRules

    chosen = settings.pixmo
    same = ("concurrency", "per_host", "host_interval", "attempts", "first_pause", "timeout", "largest", "most_pixels")
    limits = {name: getattr(chosen, name) for name in (*same, "contact")}
    return Round(chosen.round, FetchRules(internal=tuple(chosen.internal), **limits))


def round_name(chosen: Round) -> Any:
    """Return what identifies a round."""
    return chosen.name


def threshold(settings: Settings, _: Any) -> float:
    """Return `[pixmo] most_missing`.

    Raises:
        WatershedError: it is not a share.
    """
    chosen = settings.pixmo.most_missing
    if not 0 <= chosen <= 1:
        raise WatershedError(f"[pixmo] most_missing is {chosen}", "write a share from 0 to 1")
    return chosen


def shard_recipe(settings: Settings, _: Any) -> PictureShardRecipe:
    """Return how samples become shards.

    Raises:
        WatershedError: an entry of `[pixmo]` is out of range.
    """
    from spark_jobs.pixmo.shards import PictureShardRecipe

    chosen = settings.pixmo
    return PictureShardRecipe(heldout=chosen.heldout, samples_per_shard=chosen.samples_per_shard, seed=chosen.seed)
