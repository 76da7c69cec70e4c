"""The files of one table, in a folder or in an object store: listed, read, hashed, written whole and set aside."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from catalog.files import flush, write_whole
from catalog.object_store import is_object_store

DAMAGED = "_damaged"
"""Folder of damaged files that a repair has set aside. Readers of Delta tables ignore names with an underscore."""

CHUNK = 1 << 20


class Stat(NamedTuple):
    """The size of a file in bytes, and when it was last changed, in nanoseconds since 1970."""

    size: int
    changed: int


@dataclass(frozen=True)
class Store:
    """The files under `root`, a folder or a URL. Paths are relative to it, with `/` between their parts."""

    root: str
    # They may hold keys, so they are not printed.
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def local(self) -> bool:
        """Whether `root` is a folder."""
        return not is_object_store(self.root)

    def name(self, path: str) -> str:
        """The whole path or URL of a file, to show to a user."""
        return f"{self.root}/{path}"

    def listed(self, folder: str, *, recursive: bool = False) -> dict[str, Stat]:
        """The files in `folder` by path; empty if there is no such folder."""
        if self.local:
            return self._listed_on_disk(folder, recursive)
        from pyarrow.fs import FileSelector, FileType

        selector = FileSelector(folder, allow_not_found=True, recursive=recursive)
        found = self._handler.get_file_info_selector(selector)
        return {info.path: Stat(info.size, info.mtime_ns or 0) for info in found if info.type == FileType.File}

    def _listed_on_disk(self, folder: str, recursive: bool) -> dict[str, Stat]:
        found: dict[str, Stat] = {}
        try:
            entries = list(os.scandir(Path(self.root, folder)))
        except (FileNotFoundError, NotADirectoryError):
            return found
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir():
                found |= self._listed_on_disk(path, recursive) if recursive else {}
            else:
                # A file that is being written has another name a moment later.
                with suppress(FileNotFoundError):
                    stat = entry.stat()
                    found[path] = Stat(stat.st_size, stat.st_mtime_ns)
        return found

    def size(self, path: str) -> int | None:
        """The size of a file in bytes; None if it does not exist."""
        if self.local:
            try:
                return Path(self.root, path).stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                return None
        from pyarrow.fs import FileType

        (info,) = self._handler.get_file_info([path])
        return info.size if info.type == FileType.File else None

    def open(self, path: str) -> IO[bytes]:
        """The file, open for reading."""
        if self.local:
            return Path(self.root, path).open("rb")
        return cast(IO[bytes], self._handler.open_input_file(path))

    def read(self, path: str) -> bytes:
        """The contents of a file."""
        with self.open(path) as file:
            return bytes(file.read())

    def digest(self, path: str) -> str:
        """The SHA-256 of a file, as 64 hex digits."""
        digest = hashlib.sha256()
        with self.open(path) as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def write(self, path: str, data: bytes) -> None:
        """Write a file whole."""
        if self.local:
            write_whole(Path(self.root, path), data)
            return
        # pyarrow's wrapper would pass the data on as a Buffer, which delta-rs does not take.
        file = self._handler._handler.open_output_stream(path, None)
        file.write(data)
        file.close()

    def remove(self, path: str) -> None:
        """Delete a file; nothing happens if it does not exist."""
        if self.local:
            with suppress(FileNotFoundError):
                Path(self.root, path).unlink()
        elif self.size(path) is not None:
            self._handler.delete_file(path)

    def flush(self, path: str) -> None:
        """Wait until the file or folder is on the disk. An object store has stored what it has accepted."""
        if self.local:
            flush(Path(self.root, path))

    def set_aside(self, path: str) -> str:
        """Move a file into the folder `DAMAGED`, and return its new path. A file of that name there stays."""
        place, number = f"{DAMAGED}/{path}", 1
        while self.size(place) is not None:
            place, number = f"{DAMAGED}/{path}.{number}", number + 1
        if self.local:
            target = Path(self.root, place)
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(self.root, path).rename(target)
        else:
            self._handler.move(path, place)
        return place

    @cached_property
    def _handler(self) -> Any:
        from deltalake.fs import DeltaStorageHandler

        return DeltaStorageHandler(self.root, dict(self.options) or None)
