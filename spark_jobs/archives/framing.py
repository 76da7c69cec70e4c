"""Finds where the records of a web archive begin and end, even if the archive is damaged.

An archive is a sequence of WARC records (ISO 28500). Each record is a gzip member of its own, or none is compressed. A
reader that trusts one wrong Content-Length, or stops at one flipped bit, loses the rest of the file. Therefore a
member ends where its gzip stream ends, a length is trusted only if a record or the end of the file follows, and
after damage the reader searches for the next record. Each damage is reported once, where it begins.

An address locates a record: the offset of its first byte in the file, or of its gzip member. If a member holds
several records, the n-th of them (from 0) adds n x 2**40.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from spark_jobs.archives.streams import CHUNK_BYTES, INFLATED_BYTES, Broken, ByteStream, Cursor, GzipMember, PlainFile

MAGIC = b"\x1f\x8b\x08"
RECORD_END = b"\r\n\r\n"
MAX_HEAD_BYTES = 1 << 16
TRIAL_BYTES = 1024
"""Bytes that decide whether a record begins."""
HEAD_BYTES = 1 << 20
"""A file whose first record begins later than this is not an archive."""
PLACE = 1 << 40
"""An address is PLACE x (number of the record in its member) + offset in the file."""

_CARRIAGE_RETURN = 0x0D
_BEGINS = re.compile(rb"WARC/[01]\.\d+\r?\n[A-Za-z][A-Za-z-]*:")


@dataclass(frozen=True, kw_only=True)
class Block:
    """One record of the archive, or one damage.

    Without headers, it is a stretch in which no record can be recognised, and `reason` says what is there.
    With headers and a reason, it is an incomplete record, and its content must not be trusted.
    """

    offset: int
    """The address (see above)."""
    headers: dict[str, str] | None = None
    """WARC headers by lower-case name; the first value of a repeated name."""
    content: bytes = b""
    """What follows the headers, up to the requested limit."""
    length: int = 0
    """Bytes of all that follows the headers."""
    body_sha1: bytes = b""
    """SHA-1 of what follows the content's own (HTTP) headers if the content exceeds the limit; else empty."""
    reason: str | None = None


def blocks(file: BinaryIO, limit: int, start: int = 0) -> Iterator[Block]:
    """Every record and every damage of an archive, in order.

    Args:
        file: a binary file that can seek.
        limit: bytes of a record's content that are kept; the rest is read and counted, but not held in memory.
        start: the address of the first record to return.
    """
    cursor = Cursor(file)
    head = cursor.ahead(HEAD_BYTES)
    begins = first_record(head) or 0
    zipped = head.startswith(MAGIC, begins)
    place, offset = divmod(start, PLACE)
    cursor.seek(offset)
    if not zipped:
        yield from _records(_RecordReader(PlainFile(cursor, offset)), offset, 1, limit)
        return
    while not cursor.at_end():
        offset = cursor.offset
        if not cursor.ahead(len(MAGIC)).startswith(MAGIC):
            _seek_member(cursor, offset)
            yield Block(offset=offset, reason=f"{cursor.offset - offset:,} bytes that are no gzip member")
            continue
        member = GzipMember(cursor)
        found = _records(_RecordReader(member), offset, PLACE, limit)
        # A member can only be inflated from its start, so records before the wanted one are skipped.
        yield from (block for block in found if block.offset >= offset + place * PLACE)
        place = 0
        if member.broken:
            _seek_member(cursor, offset + 1)


def first_record(head: bytes) -> int | None:
    """Offset of the first WARC record, or gzip member with one, in the beginning of a file; None without one."""
    plain = _BEGINS.search(head)
    at = head.find(MAGIC)
    while at >= 0 and (plain is None or at < plain.start()):
        if _begins_member(head[at : at + TRIAL_BYTES]):
            return at
        at = head.find(MAGIC, at + 1)
    return plain.start() if plain else None


def head_end(data: bytes, start: int, stop: int | None = None) -> tuple[int, int] | None:
    """Where the headers that begin at `start` end: before and after the empty line (`\r?\n\r?\n`); None without one.

    A regular expression would take as long as the gzip around the headers.
    """
    stop = len(data) if stop is None else min(stop, len(data))
    at, size = data.find(b"\n\r\n", start, stop), 3
    short = data.find(b"\n\n", start, stop if at < 0 else at + 1)
    if short >= 0:
        at, size = short, 2
    if at < 0:
        return None
    return at - (at > start and data[at - 1] == _CARRIAGE_RETURN), at + size


class _RecordReader:
    """A stream with look-ahead."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._data = b""
        self._at = 0
        self._base = 0
        self.broken = False
        """The stream cannot be read further."""

    @property
    def position(self) -> int:
        """The position of the next byte in the stream."""
        return self._base + self._at

    def _more(self) -> bool:
        try:
            chunk = self._stream.read()
        except Broken:
            self.broken = True
            raise
        if not chunk:
            return False
        self._base += self._at
        self._data = self._data[self._at :] + chunk
        self._at = 0
        return True

    def _look(self, count: int) -> None:
        while len(self._data) - self._at < count and self._more():
            pass

    def ended(self) -> bool:
        """Whether a record ends here: two empty lines, the end of the stream, or a record after any newlines follow."""
        # Look far enough ahead to reach the member's end and its checksum before the record is returned.
        self._look(TRIAL_BYTES)
        if self._data.startswith(RECORD_END, self._at):
            return True
        return not self.skip_newlines() or self.at_record()

    def skip_newlines(self) -> bool:
        """Skip carriage returns and newlines; False if nothing follows."""
        while True:
            while self._at < len(self._data) and self._data[self._at] in b"\r\n":
                self._at += 1
            if self._at < len(self._data):
                return True
            if not self._more():
                return False

    def at_record(self) -> bool:
        """Whether a record begins here."""
        self._look(TRIAL_BYTES)
        return _BEGINS.match(self._data, self._at) is not None

    def seek_record(self) -> bool:
        """Go to the next record; without one, go to the end and return False."""
        while True:
            if found := _BEGINS.search(self._data, self._at):
                self._at = found.start()
                return True
            self._at = max(self._at, len(self._data) - TRIAL_BYTES)
            if not self._more():
                self._at = len(self._data)
                return False

    def head(self) -> bytes | None:
        """Headers up to the empty line, which is consumed too; None if no empty line is near."""
        while not (end := head_end(self._data, self._at)):
            if len(self._data) - self._at > MAX_HEAD_BYTES or not self._more():
                return None
        head = self._data[self._at : end[0]]
        self._at = end[1]
        return head

    def content(self, length: int, limit: int) -> tuple[bytes, int, bytes]:
        """The next `length` bytes: the first `limit` of them, how many there were, SHA-1 of an oversized body."""
        kept = self._take(min(length, limit))
        if length <= limit or len(kept) < limit:
            return kept, len(kept), b""
        end = head_end(kept, 0, MAX_HEAD_BYTES)
        digest = hashlib.sha1(kept[end[1] if end else 0 :])
        read = len(kept)
        while read < length and (part := self._take(min(length - read, INFLATED_BYTES))):
            digest.update(part)
            read += len(part)
        return kept, read, digest.digest()

    def _take(self, count: int) -> bytes:
        if len(self._data) - self._at >= count:
            self._at += count
            return self._data[self._at - count : self._at]
        parts = [self._data[self._at :]]
        self._at = len(self._data)
        missing = count - len(parts[0])
        while missing and self._more():
            part = self._data[:missing]
            self._at = len(part)
            missing -= len(part)
            parts.append(part)
        return b"".join(parts)

    def rest(self) -> bytes:
        """Bytes that were looked at but not consumed."""
        return self._data[self._at :]

    def pass_by(self, count: int) -> None:
        """Skip `count` bytes that were looked at."""
        self._at += count

    def rewind(self, position: int) -> None:
        """Go back to `position`."""
        if position >= self._base:
            self._at = position - self._base
            return
        self._stream.rewind(position)
        self._data, self._at, self._base = b"", 0, position


def _records(reader: _RecordReader, start: int, step: int, limit: int) -> Iterator[Block]:
    """Records of one stream; their address is `start` + position with `step` 1, else `start` + n x `step`."""
    number = 0
    while not reader.broken:
        try:
            if not reader.skip_newlines():
                return
        except Broken as error:
            yield Block(offset=_address(reader, start, step, number), reason=str(error))
            return
        yield _record(reader, _address(reader, start, step, number), limit)
        number += 1


def _address(reader: _RecordReader, start: int, step: int, number: int) -> int:
    return start + (reader.position if step == 1 else number * step)


def _record(reader: _RecordReader, address: int, limit: int) -> Block:
    """The record that begins here, or the damage in its place; the reader moves to the next record."""
    headers = None
    try:
        begins = reader.position
        if not reader.at_record():
            reader.seek_record()
            return Block(offset=address, reason=f"{reader.position - begins:,} bytes that are no WARC record")
        if (head := reader.head()) is None:
            reader.pass_by(1)
            reader.seek_record()
            return Block(offset=address, reason="WARC headers that do not end")
        headers = _parse(head)
        body = reader.position
        stated = headers.get("content-length", "")
        if not stated.isdecimal():
            reason = f"Content-Length is {stated!r}, which is no number"
        else:
            length = int(stated)
            content, read, body_sha1 = reader.content(length, limit)
            if read == length and reader.ended():
                return Block(offset=address, headers=headers, content=content, length=length, body_sha1=body_sha1)
            reason = (
                f"Content-Length says {length:,} bytes, and {read:,} are there"
                if read < length
                else f"Content-Length says {length:,} bytes, and no record follows them"
            )
        reader.rewind(body)
        reader.seek_record()
    except Broken as error:
        reason = str(error)
        # The headers that can still be read may identify the lost page.
        headers = headers or _parse(reader.rest().rpartition(b"\n")[0]) or None
    return Block(offset=address, headers=headers, reason=reason)


def _parse(head: bytes) -> dict[str, str]:
    text = head.decode("utf-8", "replace")
    if b"\n " in head or b"\n\t" in head:
        text = text.replace("\r\n ", " ").replace("\r\n\t", " ")
    # From the last line to the first, so that the first value of a repeated name stays.
    fields = [line.partition(":") for line in reversed(text.splitlines()[1:])]
    return {name.strip().lower(): value.strip() for name, _, value in fields}


def _seek_member(cursor: Cursor, start: int) -> None:
    """Put the cursor at the first gzip member after `start` that holds a WARC record, or at the end."""
    cursor.seek(start)
    while True:
        data = cursor.ahead(CHUNK_BYTES + TRIAL_BYTES)
        at = data.find(MAGIC)
        while 0 <= at < CHUNK_BYTES:
            if _begins_member(data[at : at + TRIAL_BYTES]):
                cursor.seek(cursor.offset + at)
                return
            at = data.find(MAGIC, at + 1)
        if len(data) <= CHUNK_BYTES:
            cursor.seek(cursor.offset + len(data))
            return
        cursor.seek(cursor.offset + CHUNK_BYTES)


def _begins_member(data: bytes) -> bool:
    try:
        return zlib.decompressobj(31).decompress(data, 5) == b"WARC/"
    except zlib.error:
        return False
