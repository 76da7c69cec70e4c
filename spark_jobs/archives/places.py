"""Opens web archives: local files, http(s) URLs, and objects of a bucket.

A remote archive is read as one stream. If the connection breaks or a reader seeks, it is requested again from that
byte. From a server that does not support ranges, the bytes before it are read and discarded.
"""

from __future__ import annotations

import io
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO

from catalog.errors import WatershedError
from spark_jobs.archives.buckets import SCHEME, describe, in_bucket, open_object

TIMEOUT_S = 60
TRIES = 5
BUFFER_BYTES = 1 << 20
AGENT = "Watershed (web archive reader)"


@dataclass(frozen=True)
class Remote:
    """What a server reports about a file before it is read."""

    bytes: int
    tag: str
    """Its ETag without quotes, else its Last-Modified; empty if the server sends neither."""


def is_remote(uri: str) -> bool:
    """Whether the archive is read over the network."""
    return uri.startswith(("http://", "https://", SCHEME))


def open_archive(uri: str, size: int | None = None) -> BinaryIO:
    """The archive's bytes as a binary file that can seek.

    Args:
        uri: a path, an http(s) URL, or s3://BUCKET/KEY.
        size: the size at which it was registered, which it must still have; None for any.

    Raises:
        WatershedError: it is missing, cannot be read, or has another size.
    """
    if in_bucket(uri):
        return _open_object(uri, size)
    if is_remote(uri):
        # A smaller buffer would send the server more requests.
        return io.BufferedReader(_RemoteFile(uri, size), BUFFER_BYTES)
    try:
        path = Path(uri)
        if size is not None and path.stat().st_size != size:
            raise changed(uri, size, path.stat().st_size)
        return path.open("rb")
    except OSError as error:
        raise WatershedError(
            f"{uri}: {error.strerror}", "bring the archive back, or register the crawl again"
        ) from error


def ask(uri: str) -> Remote:
    """Size and version of a remote archive.

    Raises:
        OSError: the server does not have it or does not answer.
    """
    if in_bucket(uri):
        return Remote(*describe(uri))
    with _request(uri, {"Range": "bytes=0-0"}) as answer:
        total = answer.headers.get("Content-Range", "").rpartition("/")[2] or answer.headers.get("Content-Length", "")
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        return Remote(int(total) if total.isdecimal() else 0, tag.removeprefix("W/").strip('"'))


def _open_object(uri: str, size: int | None) -> BinaryIO:
    try:
        file = open_object(uri)
        found = file.seek(0, io.SEEK_END)
        file.seek(0)
    except OSError as error:
        raise WatershedError(f"{uri}: {error}", "check the bucket, the key and the AWS_ variables") from error
    if size is not None and found != size:
        raise changed(uri, size, found)
    return file


def changed(uri: str, before: int, now: int) -> WatershedError:
    """The error for an archive whose size changed after it was registered."""
    return WatershedError(
        f"{uri} had {before:,} bytes when it was registered and has {now:,} now", "register the crawl again (dclm.pool)"
    )


def _request(uri: str, headers: dict[str, str]) -> Any:
    request = urllib.request.Request(uri, headers={"User-Agent": AGENT, **headers})
    return urllib.request.urlopen(request, timeout=TIMEOUT_S)


class _RemoteFile(io.RawIOBase):
    """A URL as a raw file; after a broken connection, reading continues where it stopped."""

    def __init__(self, uri: str, size: int | None) -> None:
        self._uri = uri
        self._size = size
        self._position = 0
        self._answer: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("a remote archive is sought from its beginning only")
        if offset != self._position:
            self._hang_up()
            self._position = offset
        return offset

    def readinto(self, buffer: Any) -> int:
        for again in range(TRIES):
            try:
                if self._answer is None and not self._connect():
                    return 0
                data = self._answer.read(len(buffer))
                if not data and self._size is not None and self._position < self._size:
                    raise ConnectionError(f"closed at byte {self._position:,} of {self._size:,}")
                buffer[: len(data)] = data
                self._position += len(data)
                return len(data)
            except (OSError, HTTPException) as error:
                self._hang_up()
                final = isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code != 429
                if final or again == TRIES - 1:
                    raise WatershedError(
                        f"{self._uri}: {error}", "check the URL and the network, run it again"
                    ) from error
                time.sleep(2**again - 1)
        raise AssertionError("unreachable")

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _connect(self) -> bool:
        """Request the file from the position on; False if there is nothing more."""
        try:
            self._answer = _request(self._uri, {"Range": f"bytes={self._position}-"} if self._position else {})
        except urllib.error.HTTPError as error:
            if error.code == 416:
                return False
            raise
        partial = self._answer.status == 206
        total = self._answer.headers.get("Content-Range", "").rpartition("/")[2] if partial else ""
        total = total or ("" if partial else self._answer.headers.get("Content-Length", ""))
        if total.isdecimal():
            if self._size is not None and int(total) != self._size:
                raise changed(self._uri, self._size, int(total))
            self._size = int(total)
        skip = 0 if partial else self._position
        while skip and (data := self._answer.read(min(skip, BUFFER_BYTES))):
            skip -= len(data)
        return True

    def _hang_up(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None
