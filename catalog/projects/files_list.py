"""The list of files that a project's own table is made of, with their digests: a line of JSON each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from catalog.errors import WatershedError
from catalog.files import write_whole

FORMATS = ("parquet", "jsonl", "csv", "arrow", "delta")


@dataclass(frozen=True, kw_only=True)
class ListedFile:
    """A file, or a Delta table, that rows of a table come from.

    `path` is relative to the project if it is inside. `name` is what the column `source_file` says, and `digest` the
    SHA-256 of the bytes; of a Delta table, of its id, version and files.
    """

    path: str
    name: str
    format: str
    bytes: int
    digest: str
    version: int | None = None
    """The version of a Delta table."""
    split: str | None = None
    """The split of a data set that the file is of, by its name: train, validation, test."""

    def place(self, project: Path) -> Path:
        """Where the file is."""
        return project / self.path


def read_list(path: Path) -> tuple[ListedFile, ...]:
    """The files in a list; none if there is no list.

    Raises:
        WatershedError: a line is not what `write_list` wrote.
    """
    if not path.exists():
        return ()
    try:
        found = tuple(ListedFile(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line)
        if any(each.format not in FORMATS for each in found):
            raise ValueError("unknown format")
    except (OSError, ValueError, TypeError) as error:
        raise WatershedError(
            f"{path}: {error}", "restore the file, or remove it and add the files again with `watershed add`"
        ) from error
    return found


def write_list(path: Path, files: Sequence[ListedFile]) -> None:
    """Replace the list."""
    write_whole(path, "".join(f"{json.dumps(asdict(each), ensure_ascii=False)}\n" for each in files).encode())
