"""Pictures on the disk, each once, by the SHA-256 of its bytes: `ab/abcd....jpg`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from catalog.errors import WatershedError
from catalog.files import flush, sha256_of, write_whole
from spark_jobs.pictures.look import FORMATS, Looked


@dataclass(frozen=True)
class Stored:
    """A stored picture."""

    digest: str
    path: Path


@dataclass(frozen=True)
class PictureStore:
    """A folder of pictures.

    Example:
        >>> store = PictureStore(Path("pictures"))
        >>> store.put(png, look(png)).path.name[-4:]
        '.png'
    """

    folder: Path

    def path(self, digest: str, ending: str) -> Path:
        """Where the picture of a digest is, or would be."""
        return self.folder / digest[:2] / f"{digest}.{ending}"

    def find(self, digest: str) -> Path | None:
        """The file of a digest; None if it is not stored."""
        return next((path for ending in FORMATS.values() if (path := self.path(digest, ending)).is_file()), None)

    def put(self, data: bytes, looked: Looked) -> Stored:
        """Store the bytes of a picture, unless they are there.

        Raises:
            WatershedError: the disk is full.
        """
        digest = hashlib.sha256(data).hexdigest()
        path = self.path(digest, looked.format)
        if not path.is_file():
            write_whole(path, data)
        return Stored(digest, path)

    def take(self, partial: Path, digest: str, looked: Looked) -> Stored:
        """Move a whole file into the store; `partial` is gone afterwards."""
        path = self.path(digest, looked.format)
        if path.is_file():
            partial.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            flush(partial)
            partial.replace(path)
        return Stored(digest, path)

    def read(self, digest: str) -> tuple[bytes, str]:
        """The bytes and the ending of a stored picture.

        Raises:
            WatershedError: it is not stored, or its file has changed.
        """
        path = self.find(digest)
        if path is None or sha256_of(path) != digest:
            raise WatershedError(
                f"the picture {digest[:12]} is {'changed' if path else 'missing'} in {self.folder}",
                "delete its file and materialise pixmo.pictures again",
            )
        return path.read_bytes(), path.suffix[1:]
