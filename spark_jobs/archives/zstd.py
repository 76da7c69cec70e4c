"""Zstandard frames (RFC 8878), and the dictionary that a .warc.zst file may begin with.

The dictionary is the content of a skippable frame at the beginning of the file, as it is or compressed itself (IIPC,
Zstandard Compression for WARC Files 1.0). Every frame of the file is decompressed with it.

The library decompresses all of the input that it is given, and a block of four bytes can stand for 128 KB. Therefore
the headers of blocks are read here, and the library receives one block at a time.
"""

from __future__ import annotations

import re
from typing import Any

MAGIC = b"\x28\xb5\x2f\xfd"
DICTIONARY_MAGIC = b"\x5d\x2a\x4d\x18"
"""The first bytes of the skippable frame that holds the dictionary."""
HEADER_BYTES = 8
"""Size of the header of a skippable frame: a magic number, and the size of its content."""
BLOCK_BYTES = 1 << 17
"""Greatest size of a block, compressed or not."""
MAX_DICTIONARY_BYTES = 1 << 25
"""A larger dictionary is refused; dictionaries are usually some hundred kilobytes."""

_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18.{4}", re.DOTALL)
_REPEATED, _COMPRESSED = 1, 2
"""Kinds of blocks: a byte that is repeated, and compressed data. Kind 0 is not compressed, and 3 is not defined."""
_CHECKSUM_BYTES = 4
_MOST_HEADER_BYTES = 18


class ZstdError(Exception):
    """A frame or dictionary that cannot be read; the message says why."""


def dictionary_bytes(data: bytes) -> int:
    """Size of the dictionary frame that begins with `data`, its header included; 0 if none does."""
    return skipped_bytes(data) if data.startswith(DICTIONARY_MAGIC) else 0


def skipped_bytes(data: bytes) -> int:
    """Size of the skippable frame that begins with `data`, its header included; 0 if none does."""
    if not _SKIPPABLE.match(data):
        return 0
    return HEADER_BYTES + int.from_bytes(data[4:HEADER_BYTES], "little")


class Zstd:
    """Decompresses the frames of one archive."""

    def __init__(self, window: int, dictionary: bytes | None = None) -> None:
        """Prepare to decompress.

        Args:
            window: greatest size in bytes of the window of a frame.
            dictionary: the content of the dictionary frame.

        Raises:
            ZstdError: the dictionary is damaged or too large.
        """
        import zstandard

        self._library = zstandard
        trained = None
        if dictionary is not None:
            if dictionary.startswith(MAGIC):
                dictionary = _decompressed(Zstd(window).frame(), dictionary)
            trained = zstandard.ZstdCompressionDict(dictionary)
        self._decompressor = zstandard.ZstdDecompressor(dict_data=trained, max_window_size=window)

    def frame(self) -> FrameDecoder:
        """A decoder of the next frame. Only one may be in use at a time."""
        return FrameDecoder(self._decompressor, self._library.ZstdError)


def _decompressed(decoder: FrameDecoder, data: bytes) -> bytes:
    parts: list[bytes] = []
    size = 0
    while not decoder.ended:
        part = decoder.decode(data, BLOCK_BYTES)
        data = b""
        if not part and not decoder.pending and not decoder.ended:
            raise ZstdError("the dictionary is cut short")
        parts.append(part)
        size += len(part)
        if size > MAX_DICTIONARY_BYTES:
            raise ZstdError(f"the dictionary has more than {MAX_DICTIONARY_BYTES:,} bytes")
    return b"".join(parts)


class FrameDecoder:
    """Decompresses one frame, a block at a time (see `codings.Decoder`)."""

    def __init__(self, decompressor: Any, error: type[Exception]) -> None:
        self._stream = decompressor.decompressobj(write_size=BLOCK_BYTES)
        self._error = error
        self._input = b""
        self._at = 0
        self._output = b""
        self._begun = self._last = self._checked = False
        self._done = False

    @property
    def ended(self) -> bool:
        """Whether all bytes of the frame have been returned."""
        return self._done and not self._output

    @property
    def pending(self) -> bool:
        """Whether `decode` returns more bytes without more input."""
        return bool(self._output) or (not self._done and self._next_size() > 0)

    @property
    def unused(self) -> bytes:
        """Input after the frame's end."""
        return self._input[self._at :]

    def decode(self, data: bytes, limit: int) -> bytes:
        """The next decompressed bytes, at most `limit`.

        Raises:
            ZstdError: the frame is damaged, or needs too large a window or another dictionary.
        """
        if data:
            self._input = self._input[self._at :] + data
            self._at = 0
        while not self._output and not self._done and (size := self._next_size()):
            part = self._input[self._at : self._at + size]
            self._at += size
            try:
                self._output = self._stream.decompress(part)
            except self._error as error:
                raise ZstdError(str(error)) from error
            self._advance(part)
        found, self._output = self._output[:limit], self._output[limit:]
        return found

    def _next_size(self) -> int:
        """Size of the next part of the frame (header, block or checksum); 0 if not all of it is there yet."""
        left = len(self._input) - self._at
        if not self._begun:
            size = self._header_size(left)
        elif self._last:
            size = _CHECKSUM_BYTES
        else:
            size = self._block_size(left)
        return size if size <= left else 0

    def _header_size(self, left: int) -> int:
        if left < len(MAGIC) + 1:
            return _MOST_HEADER_BYTES
        descriptor = self._input[self._at + len(MAGIC)]
        single = descriptor >> 5 & 1
        content = (single, 2, 4, 8)[descriptor >> 6]
        return len(MAGIC) + 1 + (not single) + (0, 1, 2, 4)[descriptor & 3] + content

    def _block_size(self, left: int) -> int:
        header = 3
        if left < header:
            return header
        value = int.from_bytes(self._input[self._at : self._at + header], "little")
        kind, size = value >> 1 & 3, value >> 3
        if kind > _COMPRESSED or size > BLOCK_BYTES:
            raise ZstdError("a block of an unknown kind or of more than 128 KB")
        return header + (1 if kind == _REPEATED else size)

    def _advance(self, part: bytes) -> None:
        """Note that a part has been decompressed."""
        if not self._begun:
            self._begun = True
            self._checked = bool(part[len(MAGIC)] >> 2 & 1)
        elif self._last:
            self._done = True
        else:
            self._last = bool(part[0] & 1)
            self._done = self._last and not self._checked
