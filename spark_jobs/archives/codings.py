"""The compressed forms of a web archive: gzip members, Zstandard frames and xz streams, each decoded in bounded memory.

By convention a record is a member of its own, so that it can be read alone; an archive may also be one large member. A
decoder returns at most as many bytes as it is asked for, because a few bytes of input can stand for gigabytes, and it
refuses data that needs a window of more than MAX_WINDOW_BYTES.
"""

from __future__ import annotations

import gzip
import importlib
import lzma
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from spark_jobs.archives import zstd

MAX_WINDOW_BYTES = 1 << 27
"""Memory for the window of a decoder: what the zstd command accepts without `--long`, and twice what `xz -9` uses."""
TRIAL_BYTES = 1024
"""Bytes that decide whether a WARC record, or a gzip member or xz stream with one, begins."""
SUFFIXES = (".warc", ".warc.gz", ".warc.zst", ".warc.xz")
"""Endings of the names of archives. How an archive is compressed is read from its first bytes, whatever its name."""
DAMAGE: tuple[type[Exception], ...]
"""What decoders raise for data that cannot be decompressed."""

_RECORD = b"WARC/"
_NUMBER = re.compile(r"Error -?\d+ while decompressing data: ")


class Decoder(Protocol):
    """Decompresses one member."""

    @property
    def ended(self) -> bool:
        """Whether all bytes of the member have been returned."""
        ...

    @property
    def pending(self) -> bool:
        """Whether `decode` returns more bytes without more input."""
        ...

    @property
    def unused(self) -> bytes:
        """Input after the member's end."""
        ...

    def decode(self, data: bytes, limit: int) -> bytes:
        """The next decompressed bytes, at most `limit`. `data` is the next input; empty if `pending`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Coding:
    """A compressed form of archives."""

    name: str
    member: str
    """What a member is called in messages."""
    magic: bytes
    """The first bytes of a member."""
    decoder: Callable[[bool], Decoder]
    """A decoder of one member. If the argument is true, its errors say what is wrong with the data."""
    begins: Callable[[bytes], bool]
    """Whether a member that holds a WARC record begins with these bytes."""
    trial_bytes: int = TRIAL_BYTES
    """The number of bytes that `begins` needs."""
    skipped: Callable[[bytes], int] = lambda data: 0
    """The size of the member that begins with these bytes if it is one without data, which readers skip; else 0."""
    padding: bytes = b""
    """What may be repeated between members."""


def _fastest() -> Any:
    """isal's zlib, which inflates twice as fast, if it is installed."""
    try:
        return importlib.import_module("isal.isal_zlib")
    except ImportError:
        return zlib


inflater = _fastest()
"""Inflates members. Where it fails, zlib repeats the work, because its messages say what is wrong."""
DAMAGE = (zlib.error, inflater.error, lzma.LZMAError, zstd.ZstdError)


def gunzip(file: BinaryIO) -> gzip.GzipFile:
    """The contents of a gzip file, all its members; raises EOFError, OSError or `inflater.error`."""
    library = gzip if inflater is zlib else importlib.import_module("isal.igzip")
    return library.GzipFile(fileobj=file)


class _Gzip:
    def __init__(self, library: Any) -> None:
        self._stream = library.decompressobj(31)

    @property
    def ended(self) -> bool:
        return self._stream.eof

    @property
    def pending(self) -> bool:
        return bool(self._stream.unconsumed_tail)

    @property
    def unused(self) -> bytes:
        return self._stream.unused_data

    def decode(self, data: bytes, limit: int) -> bytes:
        return self._stream.decompress(self._stream.unconsumed_tail or data, limit)


class _Xz:
    def __init__(self) -> None:
        self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_WINDOW_BYTES)

    @property
    def ended(self) -> bool:
        return self._stream.eof

    @property
    def pending(self) -> bool:
        return not self._stream.eof and not self._stream.needs_input

    @property
    def unused(self) -> bytes:
        return self._stream.unused_data

    def decode(self, data: bytes, limit: int) -> bytes:
        return self._stream.decompress(data, limit)


def _begins(decoder: Callable[[], Decoder]) -> Callable[[bytes], bool]:
    """A test whether a member begins with a WARC record."""

    def begins(data: bytes) -> bool:
        try:
            return decoder().decode(data, len(_RECORD)) == _RECORD
        except DAMAGE:
            return False

    return begins


def message_of(error: Exception) -> str:
    """What a decoder's error says is wrong, without the library's number for it."""
    return _NUMBER.sub("", str(error))


GZIP = Coding(
    name="gzip",
    member="gzip member",
    magic=b"\x1f\x8b\x08",
    decoder=lambda careful: _Gzip(zlib if careful else inflater),
    begins=_begins(lambda: _Gzip(zlib)),
)
XZ = Coding(
    name="xz",
    member="xz stream",
    magic=b"\xfd7zXZ\0",
    decoder=lambda careful: _Xz(),
    begins=_begins(_Xz),
    padding=b"\0",
)


def zstandard(dictionary: bytes | None = None) -> Coding:
    """The coding of an archive of Zstandard frames.

    Args:
        dictionary: the content of the archive's dictionary frame; None if it has none.

    Raises:
        ZstdError: the dictionary is damaged or too large.
    """
    frames = zstd.Zstd(MAX_WINDOW_BYTES, dictionary)
    return Coding(
        name="zstd",
        member="zstd frame",
        magic=zstd.MAGIC,
        decoder=lambda careful: frames.frame(),
        begins=_begins(frames.frame),
        # A block is decompressed as a whole.
        trial_bytes=zstd.BLOCK_BYTES + TRIAL_BYTES,
        skipped=zstd.skipped_bytes,
    )
