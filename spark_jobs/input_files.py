"""The input files that a user names by paths, folders and patterns, and what kind of file each is by its ending."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from catalog.errors import WatershedError

JSONL = {f"{ending}{coding}": "jsonl" for ending in (".jsonl", ".json", ".ndjson") for coding in ("", ".gz", ".zst")}
"""The endings of JSON-lines files, as `input_files` takes kinds."""


class InputFile(NamedTuple):
    """A file that was found."""

    path: Path
    """Its absolute path, without symbolic links."""
    kind: str
    bytes: int


def input_files(inputs: Iterable[str], kinds: Mapping[str, str]) -> list[InputFile]:
    """The files that paths, folders and patterns name, each once, in the given order.

    Args:
        inputs: Paths of files and folders, and glob patterns.
        kinds: The kind of a file by the ending of its name, in lower case.

    Raises:
        WatershedError: an input matches nothing, or a file of an unknown kind.

    Example:
        >>> [(file.path.name, file.kind) for file in input_files(["README.md"], {".md": "text"})]
        [('README.md', 'text')]
    """
    sources: dict[Path, InputFile] = {}
    for place in inputs:
        path = Path(place)
        if path.is_dir():
            # A .json file in a folder is more often a description than documents.
            files = (file for file in sorted(path.rglob("*")) if file.is_file() and file.suffix != ".json")
            found = [file for file in files if _kind(file, kinds)]
        else:
            found = [path] if path.is_file() else [Path(match) for match in sorted(glob.glob(place, recursive=True))]
        if not found:
            raise WatershedError(
                f"{place}: no such file, and no folder of documents",
                f"give files, folders or patterns of {', '.join(kinds)}",
            )
        for file in found:
            kind = _kind(file, kinds)
            if kind is None:
                raise WatershedError(f"{file}: a file of this kind cannot be read", f"known: {', '.join(kinds)}")
            resolved = file.resolve()
            sources.setdefault(resolved, InputFile(resolved, kind, resolved.stat().st_size))
    return list(sources.values())


def _kind(path: Path, kinds: Mapping[str, str]) -> str | None:
    name = path.name.lower()
    return next((kind for ending, kind in kinds.items() if name.endswith(ending)), None)
