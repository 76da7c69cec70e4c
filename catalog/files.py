"""Files that tables name: written whole or not at all, and read only if their digest is the one in the table."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.errors import WatershedError

if TYPE_CHECKING:
    from catalog.lake import Lake

PARTIAL = ".partial"
"""Suffix of a file or folder that is being written. One that stays behind belongs to a process that was killed."""
TICK_NS = 50_000_000
"""The clock of a file system may stand still this long."""


def settled(changed_ns: int) -> bool:
    """Whether a folder that changed at this time has another time after its next change."""
    return time.time_ns() - changed_ns > TICK_NS


@contextmanager
def alone(path: Path) -> Generator[None]:
    """Let one thread of one process at a time into the block, among all that name the file `path`.

    The file is made, and stays empty. The system ends the lock of a process that is killed.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def whole_path(path: Path) -> Generator[Path]:
    """A path to write a file or a folder to, which becomes `path` when the block ends and is removed when it raises.

    A reader of `path`, or a machine that restarts, sees what was there before or all that is new. Errors of the block
    pass unchanged. A folder that is already at `path` is replaced, which takes two renames: a process that is killed
    between them leaves no folder at `path`, but never a part of one.
    """
    partial = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if partial.is_dir():
            _flush_folder(partial)
            _rename_folder(partial, path)
        else:
            flush(partial)
            partial.replace(path)
        # The new name has reached the disk only when the folder around it has.
        flush(path.parent)
    finally:
        # Its name is taken by `path`, or its folder does not even exist.
        with suppress(OSError):
            if partial.is_dir():
                shutil.rmtree(partial)
            else:
                partial.unlink()


@contextmanager
def whole_file(path: Path) -> Generator[Path]:
    """`whole_path` of a file, for a block that does nothing but write it.

    Raises:
        WatershedError: the disk is full, the folder cannot be written, or the block wrote no file.
    """
    try:
        with whole_path(path) as partial:
            yield partial
    except OSError as error:
        raise _unwritten(path, error) from error


@contextmanager
def whole_folder(path: Path) -> Generator[Path]:
    """`whole_path` of a folder, which is empty when the block begins.

    Raises:
        WatershedError: the disk is full, or the folder around `path` cannot be written.
    """
    try:
        with whole_path(path) as partial:
            partial.mkdir()
            yield partial
    except OSError as error:
        raise _unwritten(path, error) from error


def _unwritten(path: Path, error: OSError) -> WatershedError:
    return WatershedError(
        f"{path} was not written: {error.strerror or error}",
        "free some space, or make its folder writable, and run it again",
    )


def _flush_folder(folder: Path) -> None:
    for inner, _, names in os.walk(folder):
        for place in (Path(inner, name) for name in names):
            if not place.is_symlink():
                flush(place)
        flush(Path(inner))


def _rename_folder(partial: Path, path: Path) -> None:
    if not path.exists():
        partial.rename(path)
        return
    before = _beside(path)
    path.rename(before)
    try:
        partial.rename(path)
    except OSError:
        before.rename(path)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _beside(path: Path) -> Path:
    """A name beside `path` that no other process uses, even on another machine that shares the folder."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}")


def flush(path: Path) -> None:
    """Wait until the file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, data: bytes) -> None:
    """Replace the contents of the file `path` by `data`, as `whole_file` does."""
    with whole_file(path) as partial:
        partial.write_bytes(data)


def sha256_of(path: Path) -> str:
    """SHA-256 of the file, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stored_file(lake: Lake, name: str) -> tuple[Path, dict[str, object]]:
    """The file that the only row of the table `name` names in `path` and `sha256`, and that row.

    Raises:
        WatershedError: the table does not exist or has not one row, or the file is missing or has another digest.
    """
    rows = lake.read(name).to_pylist()
    if len(rows) != 1:
        raise WatershedError(f"{name} has {len(rows)} rows where one is expected", f"materialise {name} again")
    row = rows[0]
    path = lake.files / str(row["path"])
    if not path.is_file() or sha256_of(path) != row["sha256"]:
        raise WatershedError(
            f"{path} is not the file that {name} names"
            if path.is_file()
            else f"{path}, which {name} names, is missing",
            f"materialise {name} again",
        )
    return path, row
