"""Files that a row of a table names: written whole or not at all, and trusted only with the digest that it tells."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from catalog.errors import WatershedError
from catalog.lake import Lake

PARTIAL = ".partial"
"""Suffix of a file that is still being written; one that is left behind belongs to a writer that was killed."""


@contextmanager
def whole_path(path: Path) -> Generator[Path]:
    """A path beside `path` to write a file or a folder to. It becomes `path` when the block ends without an error.

    Files are synced to disk before they get their name. After an error nothing is left of them, and the error passes
    through unchanged. An existing file is replaced; an existing folder must be empty.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if fresh.is_dir():  # A killed process of the same id left it.
            shutil.rmtree(fresh)
        yield fresh
        for written in (file for file in fresh.rglob("*") if file.is_file()) if fresh.is_dir() else (fresh,):
            with written.open("rb+") as file:
                os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        if fresh.is_dir():
            shutil.rmtree(fresh, ignore_errors=True)
        else:
            with suppress(OSError):  # An error of the block says more than one of this.
                fresh.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path) -> Generator[Path]:
    """`whole_path` of a file, for code that writes it and does nothing else in the block.

    Raises:
        WatershedError: the disk is full or the folder cannot be written.
    """
    try:
        with whole_path(path) as fresh:
            yield fresh
    except OSError as error:
        raise WatershedError(
            f"{path} was not written: {error.strerror or error}", "free some space or mend its folder, and run it again"
        ) from error


def write_whole(path: Path, data: bytes) -> None:
    """`path` becomes `data`: a reader, or a crash, sees the old file or the new one."""
    with whole_file(path) as fresh:
        fresh.write_bytes(data)


def sha256_of(path: Path) -> str:
    """SHA-256 of the file, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stored_file(lake: Lake, name: str) -> tuple[Path, dict[str, object]]:
    """The file that the only row of the table `name` tells by `path` and `sha256`, and the row.

    Raises:
        WatershedError: no such table or row, or the file is gone or is no longer what was written.
    """
    rows = lake.read(name).to_pylist()
    if len(rows) != 1:
        raise WatershedError(f"{name} has {len(rows)} rows where one is expected", f"materialise {name} again")
    row = rows[0]
    path = lake.files / str(row["path"])
    if not path.is_file() or sha256_of(path) != row["sha256"]:
        raise WatershedError(
            f"{path} is not the file that {name} names" if path.is_file() else f"{path}, which {name} names, is gone",
            f"materialise {name} again",
        )
    return path, row
