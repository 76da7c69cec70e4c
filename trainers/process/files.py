"""Files and folders that are whole or absent, and their digests.

Everything that a trainer writes for others to read goes through `whole_file` or `whole_folder`: written beside its
place, flushed to disk, and renamed. A reader, or a crash, sees the old one or the new one and never a part.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from trainers.process.errors import TrainerError


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text, so it can be digested."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256_text(text: str) -> str:
    """Hex SHA-256 of the UTF-8 text."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def whole_file(path: Path) -> Generator[BinaryIO]:
    """A file to write, open for bytes; it replaces `path` when the block ends, and is removed when the block fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path)
    try:
        with partial.open("wb") as file:
            yield file
            flush_to_disk(file)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(place: Path) -> Generator[Path]:
    """An empty folder to write into; it replaces `place` when the block ends, and is removed when the block fails.

    Files in it are flushed to disk by whoever writes them: see `flush_to_disk`.
    """
    partial, replaced = _beside(place), _beside(place, "replaced")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        _flush_folder(partial)
        if place.exists():
            place.rename(replaced)
        partial.rename(place)
        _flush_folder(place.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def _beside(place: Path, kind: str = "partial") -> Path:
    return place.with_name(f".{place.name}.{os.getpid()}.{kind}")


def remove_partial(folder: Path) -> None:
    """Remove what processes that were killed had half written in `folder`; no other process may write there."""
    for left in [*folder.glob(".*.partial"), *folder.glob(".*.replaced")]:
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_to_disk(file: BinaryIO) -> None:
    """Wait until what was written to `file` is on disk."""
    file.flush()
    os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in UTF-8, whole."""
    with whole_file(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Replace `path`, whole, by indented JSON with keys in the order given."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Replace `path`, whole, by one compact JSON object a line."""
    write_text(path, "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; TrainerError when the file cannot be read or holds something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TrainerError(f"{path} cannot be read: {' '.join(str(error).split())}", "give a whole folder") from None
    if not isinstance(found, dict):
        raise TrainerError(f"{path} holds no JSON object", "give a whole folder")
    return found


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file; a last line cut off by a crash is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
