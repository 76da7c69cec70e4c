"""Streams of bytes, from a file or from a compressed member in it, that can be rewound.

A damaged member yields all bytes before the damage and then raises an error that says what is wrong.
"""

from __future__ import annotations

from typing import BinaryIO, Protocol

from spark_jobs.archives.codings import DAMAGE, Coding, message_of

CHUNK_BYTES = 1 << 16
"""Bytes read from the file, and passed to a decoder, at a time."""
FINE_BYTES = 16
"""Bytes passed to a decoder at a time in a damaged member, to get all bytes before the damage."""
INFLATED_BYTES = 1 << 20
"""Most bytes decompressed at a time: what a small file may grow to in memory."""


class Broken(Exception):
    """A stream that cannot be read further; the message says why."""


class ByteStream(Protocol):
    """Bytes in order, from a plain file or a compressed member."""

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

    def skip(self, byte: bytes) -> None:
        """Skip a byte however often it is repeated."""
        while data := self.chunk():
            if left := data.lstrip(byte):
                self.give_back(left)
                return

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


class Member:
    """A compressed member as a stream; at its end the cursor is after the member."""

    def __init__(self, cursor: Cursor, coding: Coding) -> None:
        self.cursor = cursor
        self.coding = coding
        self.start = cursor.offset
        self.broken = False
        self._step = CHUNK_BYTES
        self._begin()

    def _begin(self) -> None:
        self._decoder = self.coding.decoder(self._step == FINE_BYTES)
        self._chunk, self._at = b"", 0
        self._position = 0
        self._ended = False

    def read(self) -> bytes:
        while not self._decoder.ended:
            pending = self._decoder.pending
            data = b"" if pending else self._next()
            try:
                decoded = self._decoder.decode(data, INFLATED_BYTES)
            except DAMAGE as error:
                if self._step > FINE_BYTES:
                    # A decoder does not return what it decoded of a chunk that is damaged further on.
                    self._step = FINE_BYTES
                    self.rewind(self._position)
                    continue
                self.broken = True
                raise Broken(
                    f"{self.coding.name} data is damaged after {self._position:,} bytes of the record "
                    f"({message_of(error)})"
                ) from error
            if decoded:
                self._position += len(decoded)
                return decoded
            if not data and not pending:
                self.broken = True
                raise Broken(
                    f"the file ends in the middle of a {self.coding.member}, {self._position:,} bytes into the record"
                )
        if not self._ended:
            self._ended = True
            self.cursor.give_back(self._decoder.unused + self._chunk[self._at :])
        return b""

    def rewind(self, position: int) -> None:
        self.cursor.seek(self.start)
        self._begin()
        while self._position < position:
            data = b"" if self._decoder.pending else self._next()
            self._position += len(self._decoder.decode(data, min(INFLATED_BYTES, position - self._position)))

    def _next(self) -> bytes:
        if self._at >= len(self._chunk):
            self._chunk, self._at = self.cursor.chunk(), 0
        self._at += self._step
        return self._chunk[self._at - self._step : self._at]
