"""Streams of bytes, from a file or from a gzip member in it, that can be rewound.

A damaged gzip member yields all bytes before the damage and then raises an error that says what is wrong.
"""

from __future__ import annotations

import gzip
import importlib
import re
import zlib
from typing import Any, BinaryIO, Protocol

CHUNK_BYTES = 1 << 16
"""Bytes read from the file, and passed to zlib, at a time."""
FINE_BYTES = 16
"""Bytes passed to zlib at a time in a damaged member, to get all bytes before the damage."""
INFLATED_BYTES = 1 << 20
"""Most bytes inflated at a time: what a small file may grow to in memory."""

_GZIP_ERROR = re.compile(r"Error -?\d+ while decompressing data: ")


def _fastest() -> Any:
    """isal's zlib, which inflates twice as fast, if it is installed."""
    try:
        return importlib.import_module("isal.isal_zlib")
    except ImportError:
        return zlib


inflater = _fastest()
"""Inflates members. Where it fails, zlib repeats the work, because its messages say what is wrong."""


def gunzip(file: BinaryIO) -> gzip.GzipFile:
    """The contents of a gzip file, all its members; raises EOFError, OSError or `inflater.error`."""
    library = gzip if inflater is zlib else importlib.import_module("isal.igzip")
    return library.GzipFile(fileobj=file)


class Broken(Exception):
    """A stream that cannot be read further; the message says why."""


class ByteStream(Protocol):
    """Bytes in order, from a plain file or a gzip member."""

    def read(self) -> bytes:
        """The next bytes; empty at the end. Raises Broken."""
        ...

    def rewind(self, position: int) -> None:
        """Continue at `position`, counted from the stream's first byte."""
        ...


class Cursor:
    """A position in a file that is read in chunks; unused bytes can be given back."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.offset = 0
        self._held = b""
        file.seek(0)

    def chunk(self) -> bytes:
        """The next bytes of the file; empty at its end."""
        data, self._held = self._held or self.file.read(CHUNK_BYTES), b""
        self.offset += len(data)
        return data

    def give_back(self, data: bytes) -> None:
        """Give back the last bytes that `chunk` returned."""
        self._held = data + self._held
        self.offset -= len(data)

    def ahead(self, count: int) -> bytes:
        """The next `count` bytes or more, fewer at the end, without consuming them."""
        data = self.chunk()
        while 0 < len(data) < count and (more := self.chunk()):
            data += more
        self.give_back(data)
        return data

    def at_end(self) -> bool:
        """Whether the file has ended."""
        return not self.ahead(1)

    def seek(self, offset: int) -> None:
        """Continue at `offset`."""
        self.file.seek(offset)
        self.offset = offset
        self._held = b""


class PlainFile:
    """A file as a stream that begins at `start`."""

    def __init__(self, cursor: Cursor, start: int) -> None:
        self.cursor = cursor
        self.start = start

    def read(self) -> bytes:
        return self.cursor.chunk()

    def rewind(self, position: int) -> None:
        self.cursor.seek(self.start + position)


class GzipMember:
    """A gzip member as a stream; at its end the cursor is after the member."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.start = cursor.offset
        self.broken = False
        self._step = CHUNK_BYTES
        self._library: Any = inflater
        self._begin()

    def _begin(self) -> None:
        self._inflate = self._library.decompressobj(31)
        self._chunk, self._at = b"", 0
        self._position = 0
        self._ended = False

    def read(self) -> bytes:
        while not self._inflate.eof:
            data = self._inflate.unconsumed_tail or self._next()
            try:
                inflated = self._inflate.decompress(data, INFLATED_BYTES)
            except (inflater.error, zlib.error) as error:
                if self._step > FINE_BYTES:
                    # zlib does not return what it inflated of a chunk that is damaged further on.
                    self._step = FINE_BYTES
                    self._library = zlib
                    self.rewind(self._position)
                    continue
                self.broken = True
                message = _GZIP_ERROR.sub("", str(error))
                raise Broken(
                    f"gzip data is damaged after {self._position:,} bytes of the record ({message})"
                ) from error
            if inflated:
                self._position += len(inflated)
                return inflated
            if not data:
                self.broken = True
                raise Broken(f"the file ends in the middle of a gzip member, {self._position:,} bytes into the record")
        if not self._ended:
            self._ended = True
            self.cursor.give_back(self._inflate.unused_data + self._chunk[self._at :])
        return b""

    def rewind(self, position: int) -> None:
        self.cursor.seek(self.start)
        self._begin()
        while self._position < position:
            data = self._inflate.unconsumed_tail or self._next()
            self._position += len(self._inflate.decompress(data, min(INFLATED_BYTES, position - self._position)))

    def _next(self) -> bytes:
        if self._at >= len(self._chunk):
            self._chunk, self._at = self.cursor.chunk(), 0
        self._at += self._step
        return self._chunk[self._at - self._step : self._at]
