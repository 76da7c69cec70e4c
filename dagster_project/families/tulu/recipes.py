"""Partitions and recipes of the family: mixtures, their sources, and the files and choices that decide rows."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from catalog.settings import Settings
from dagster_project.engine.partitions import Partition, cut_by

if TYPE_CHECKING:
    from spark_jobs.tulu.sources import Mixture, Source


SOURCES = cut_by("tulu_sources", "source")
"""The sources of all mixtures of `[tulu] mixtures`."""
MIXTURES = cut_by("tulu_mixtures", "mixture")
"""`[tulu] mixtures`."""
COLLECTIONS = cut_by("tulu_collections", "collection")
"""`[tulu] collection`, if prompts are given or written."""
MODELS = cut_by("tulu_models", "model")
"""The models with recorded replies in `[tulu] results`."""
RUNS = cut_by("tulu_runs", "run")
"""The runs that `watershed tulu record` has named."""


def folder(settings: Settings, place: str) -> Path:
    """A folder or file that `[tulu]` names, relative to the project."""
    return settings.project / Path(place).expanduser()


def workers_of(settings: Settings) -> int:
    """Threads that filter and search; the result does not depend on them."""
    return settings.tulu.workers or os.cpu_count() or 1


def mixtures_of(settings: Settings) -> dict[str, Mixture]:
    """The mixtures of the project, by name.

    Raises:
        WatershedError: one cannot be read, or two declare a source of the same name differently.
    """
    from spark_jobs.tulu.sources import load_mixture

    own = settings.project / "mixtures"
    found = {name: load_mixture(name, own) for name in dict.fromkeys(settings.tulu.mixtures)}
    first: dict[str, tuple[str, Any]] = {}
    for name, mixture in found.items():
        for source in mixture.sources:
            other, literal = first.setdefault(source.name, (name, source.rows_literal()))
            if literal != source.rows_literal():
                raise WatershedError(
                    f"the mixtures {other} and {name} declare the source {source.name} differently",
                    "give one of the sources another name",
                )
    return found


def mixture_keys(settings: Settings) -> Iterable[str]:
    """The keys of MIXTURES."""
    return mixtures_of(settings)


def sources_of(settings: Settings) -> dict[str, Source]:
    """The sources of all mixtures, by name."""
    return {source.name: source for mixture in mixtures_of(settings).values() for source in mixture.sources}


def source_keys(settings: Settings) -> Iterable[str]:
    """The keys of SOURCES."""
    return sources_of(settings)


def collection_keys(settings: Settings) -> Iterable[str]:
    """The keys of COLLECTIONS."""
    chosen = settings.tulu
    return (chosen.collection,) if chosen.prompts or chosen.persona_prompts else ()


def model_keys(settings: Settings) -> Iterable[str]:
    """The keys of MODELS."""
    if not settings.tulu.results:
        return ()
    root = folder(settings, settings.tulu.results)
    return sorted(each.name for each in root.iterdir() if each.is_dir()) if root.is_dir() else ()


@dataclass(frozen=True)
class SourceRecipe:
    """A source with its files."""

    source: Source
    files: tuple[Path, ...]
    revision: str
    fault: WatershedError | None = None
    """Why the files cannot be read. It is raised when the rows are made, so that what else is due can be listed."""


def source_recipe(settings: Settings, partition: Partition | None) -> SourceRecipe:
    """The recipe of the rows of a source. Files that are missing, or of another revision, are a fault of it."""
    from spark_jobs.tulu.reading import files_of, revision_of

    assert partition
    source = sources_of(settings)[str(partition["source"])]
    if source.table:
        return SourceRecipe(source, (), source.revision)
    data = folder(settings, settings.tulu.data)
    try:
        files = files_of(source, data)
        return SourceRecipe(source, tuple(files), revision_of(source, files, data))
    except WatershedError as error:
        return SourceRecipe(source, (), source.revision, error)


def source_identity(recipe: SourceRecipe) -> Any:
    """What decides the rows: the declaration, the revision and the content of the files."""
    return [recipe.source.rows_literal(), recipe.revision, {path.name: digest_of(path) for path in recipe.files}]


def digest_of(path: Path) -> str:
    """SHA-256 of a file. It is computed once for each size and time of the file, as it is asked for often."""
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=10_000)
def _digest(path: Path, _size: int, _time: int) -> str:
    from catalog.files import sha256_of

    return sha256_of(path)


def rows_needed(settings: Settings, partition: Partition, table: str) -> Iterable[Partition] | None:
    """The partitions that a source reads of a table of the lake: none, unless it is the table that it names."""
    source = sources_of(settings)[str(partition["source"])]
    return None if source.table == table else ()


def mixture_needed(settings: Settings, partition: Partition, table: str) -> Iterable[Partition] | None:
    """The partitions that a mixture reads: those of its sources."""
    if table in ("tulu.mixture", "tulu.sources"):
        return ({"mixture": partition["mixture"]},)
    mixture = mixtures_of(settings)[str(partition["mixture"])]
    return [{"source": source.name} for source in mixture.sources]


def mixture_recipe(settings: Settings, partition: Partition | None) -> tuple[Mixture, str]:
    """A mixture, and the rule of decontamination that decides."""
    assert partition
    return mixtures_of(settings)[str(partition["mixture"])], settings.tulu.rule


def token_recipe(settings: Settings, _: Partition | None) -> tuple[dict[str, Path], tuple[str, ...]]:
    """The tokenizer with its markers and the chat template that count tokens, and what ends replies; all may be empty.

    Raises:
        WatershedError: one is set and the other is not, or a file is missing.
    """
    named = {"tokenizer": settings.tulu.tokenizer, "chat_template": settings.tulu.chat_template}
    found = {name: folder(settings, place) for name, place in named.items() if place}
    if len(found) == 1:
        (given,) = found
        (lacking,) = named.keys() - found.keys()
        raise WatershedError(f"[tulu] has {given} and no {lacking}", f"set {lacking}, or neither, for no counts")
    for name, path in found.items():
        if not path.is_file():
            raise WatershedError(f"[tulu] {name}: {path} is not a file", "correct the entry")
    if found and (markers := found["tokenizer"].with_name("tokenizer_config.json")).is_file():
        found["markers"] = markers
    return found, tuple(settings.tulu.stop)


def token_identity(recipe: tuple[dict[str, Path], tuple[str, ...]]) -> Any:
    """Contents of the files, and what ends replies."""
    files, stop = recipe
    return [digests(files), list(stop)]


def digests(files: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of files by name."""
    return {name: digest_of(path) for name, path in sorted(files.items())}


def evaluation_files(settings: Settings, _: Partition | None) -> tuple[dict[str, Path], str]:
    """The files of `[tulu] evaluations` by name of the evaluation, and the rule that decides.

    Raises:
        WatershedError: the folder has no file, or the rule is unknown.
    """
    if settings.tulu.rule not in ("published", "strict"):
        raise WatershedError(f"[tulu] rule is {settings.tulu.rule[:40]!r}", "write published or strict")
    if not settings.tulu.evaluations:
        return {}, settings.tulu.rule
    root = folder(settings, settings.tulu.evaluations)
    found = {path.stem: path for path in sorted(root.glob("*.jsonl"))}
    if not found:
        raise WatershedError(f"[tulu] evaluations: {root} has no JSON-lines file", "correct the entry, or leave it out")
    return found, settings.tulu.rule


def evaluation_identity(recipe: tuple[dict[str, Path], str]) -> Any:
    """Contents of the evaluations, the rule, and the tasks' fields and suites."""
    from spark_jobs.tulu.suites import TASKS_FILE

    return [digests(recipe[0]), recipe[1], hashlib.sha256(TASKS_FILE.read_bytes()).hexdigest()]
