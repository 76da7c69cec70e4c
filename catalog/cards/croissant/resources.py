"""The files that a Croissant file names: found beside it, inside archives, and compared with their digests.

A Croissant file is written by others. Only files in its own folder are read, never an address on the web or a path that
leaves the folder; archives are read in memory, without unpacking, and up to MEMBER_BYTES a member.
"""

from __future__ import annotations

import fnmatch
import hashlib
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from catalog.errors import WatershedError

MEMBER_BYTES = 2_000_000_000
"""Most bytes of a file or of a member of an archive."""
MOST_FILES = 1_000_000
ZIP, TAR = "application/zip", "application/x-tar"
ARCHIVES = {ZIP: ZIP, TAR: TAR, "application/x-gtar": TAR, "application/gzip": TAR, "application/x-gziptar": TAR}


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file: its path in the data set, and a function that reads it."""

    fullpath: str
    read: Callable[[], bytes]

    @property
    def filename(self) -> str:
        """The name without folders."""
        return PurePosixPath(self.fullpath).name


class Resources:
    """The resources of a Croissant file, by `@id`.

    Args:
        folder: the folder of the file.
        distribution: its `distribution`, with keys without prefixes (`catalog.cards.croissant.document`).
    """

    def __init__(self, folder: Path, distribution: Sequence[Mapping[str, Any]]) -> None:
        self._folder = folder.resolve()
        self._known = {str(each.get("@id") or each.get("name")): each for each in distribution}

    def format(self, identifier: str) -> str:
        """The media type of a resource."""
        declared = self._one(identifier).get("encodingFormat")
        return str(declared[0] if isinstance(declared, list) and declared else declared or "")

    def members(self, identifier: str) -> list[Member]:
        """The files of a resource, in the order of their paths.

        Raises:
            WatershedError: a file is missing, lies elsewhere, is too large, or is not what its digest says.
        """
        resource = self._one(identifier)
        containers = [_id(each) for each in _many(resource.get("containedIn"))]
        if str(resource.get("@type", "")).endswith("FileSet"):
            found = [member for each in containers for member in self._inside(each)] if containers else self._beside()
            includes, excludes = _many(resource.get("includes")), _many(resource.get("excludes"))
            kept = [member for member in found if _matches(member, includes) and not _matches(member, excludes)]
            return sorted(kept, key=lambda member: member.fullpath)
        address = str(resource.get("contentUrl") or "")
        if containers:
            inside = [member for each in containers for member in self._inside(each) if member.fullpath == address]
            if not inside:
                raise WatershedError(f"{identifier}: {address} is not in {', '.join(containers)}", "correct contentUrl")
            return inside[:1]
        return [self._file(identifier, address, resource)]

    def _one(self, identifier: str) -> Mapping[str, Any]:
        if identifier not in self._known:
            raise WatershedError(f"no resource has the @id {identifier!r}", f"use one of {', '.join(self._known)}")
        return self._known[identifier]

    def _file(self, identifier: str, address: str, resource: Mapping[str, Any]) -> Member:
        if "://" in address:
            raise WatershedError(
                f"{identifier}: {address} is not a file beside the Croissant file",
                "download it, and write its path as contentUrl",
            )
        path = self._path(identifier, address)
        if not path.is_file():
            raise WatershedError(f"{identifier}: {path} does not exist", "put it beside the Croissant file")
        for name in ("sha256", "md5"):
            if declared := resource.get(name):
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, name).hexdigest()
                if digest != str(declared).lower():
                    raise WatershedError(
                        f"{identifier}: {path} has the {name} {digest}, not {declared}", "fetch the file again"
                    )
        return Member(fullpath=address.removeprefix("./"), read=lambda: _bounded(path))

    def _path(self, identifier: str, address: str) -> Path:
        path = (self._folder / address).resolve()
        if not path.is_relative_to(self._folder):
            raise WatershedError(f"{identifier}: {address} leaves the folder of the file", "name a file inside it")
        return path

    def _beside(self) -> list[Member]:
        found: list[Member] = []
        for path in sorted(self._folder.rglob("*")):
            if path.is_file() and path.resolve().is_relative_to(self._folder):
                name = path.relative_to(self._folder).as_posix()
                found.append(Member(fullpath=name, read=lambda path=path: _bounded(path)))
            if len(found) > MOST_FILES:
                raise WatershedError(f"{self._folder} holds more than {MOST_FILES:,} files", "use an archive")
        return found

    def _inside(self, container: str) -> Iterator[Member]:
        kind = ARCHIVES.get(self.format(container))
        outer = self.members(container)
        if kind is None:
            yield from outer
            return
        for archive in outer:
            yield from _unpacked(archive, kind)


def _unpacked(archive: Member, kind: str) -> Iterator[Member]:
    import io

    content = archive.read()
    try:
        if kind == ZIP:
            packed = zipfile.ZipFile(io.BytesIO(content))
            for entry in packed.infolist():
                if not entry.is_dir():
                    yield Member(fullpath=entry.filename, read=lambda e=entry: _limited(packed.open(e), e.filename))
        else:
            # It stays open for as long as its members may be read.
            unpacked = tarfile.open(fileobj=io.BytesIO(content), mode="r:*")  # noqa: SIM115
            for item in unpacked:
                if item.isfile():
                    yield Member(fullpath=item.name.removeprefix("./"), read=lambda i=item: _tar_member(unpacked, i))
    except (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError) as error:
        raise WatershedError(f"{archive.fullpath} is not an archive: {error}", "fetch the file again") from error


def _tar_member(unpacked: tarfile.TarFile, item: tarfile.TarInfo) -> bytes:
    file = unpacked.extractfile(item)
    assert file is not None
    return _limited(file, item.name)


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        return _limited(file, path.name)


def _limited(file: Any, name: str) -> bytes:
    with file:
        content = file.read(MEMBER_BYTES + 1)
    if len(content) > MEMBER_BYTES:
        raise WatershedError(f"{name} is larger than {MEMBER_BYTES:,} bytes", "import it in parts")
    return content


def _matches(member: Member, patterns: Sequence[Any]) -> bool:
    return any(fnmatch.fnmatchcase(member.fullpath, str(pattern)) for pattern in patterns)


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _id(value: Any) -> str:
    return str(value.get("@id") if isinstance(value, Mapping) else value)
