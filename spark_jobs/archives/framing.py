"""Finds where the records of a web archive begin and end, even if the archive is damaged.

An archive is a sequence of WARC records (ISO 28500). Each record is a compressed member of its own (gzip, Zstandard or
xz, see `codings`), or none is compressed. A reader that trusts one wrong Content-Length, or stops at one flipped bit,
loses the rest of the file. Therefore a member ends where its compressed data ends, and a length is trusted only if a
record or the end of the file follows and no other record begins before it (see `lengths`). After damage the reader
searches for the next record. Each damage is reported once, where it begins.

An address locates a record: the offset of its first byte in the file, or of its member. If a member holds several
records, the n-th of them (from 0) adds n x 2**40.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO, NamedTuple

from spark_jobs.archives import lengths, zstd
from spark_jobs.archives.codings import GZIP, TRIAL_BYTES, XZ, Coding, zstandard
from spark_jobs.archives.streams import CHUNK_BYTES, INFLATED_BYTES, Broken, ByteStream, Cursor, Member, PlainFile

RECORD_END = b"\r\n\r\n"
MAX_HEAD_BYTES = 1 << 16
HEAD_BYTES = 1 << 20
"""A file whose first record begins later than this is not an archive."""
MAX_DIGITS = 18
"""Digits of the largest Content-Length: up to an exabyte."""
SHOWN_CHARACTERS = 40
"""Most characters of the archive's own data in a reason."""
MAX_DOUBTED_BYTES = 1 << 28
"""Bytes that are read again in one stream because lengths turned out to be wrong, before no digest is computed."""
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
    place, offset = divmod(start, PLACE)
    coding, problem = _coding(cursor)
    cursor.seek(offset)
    if problem and not start:
        yield Block(offset=0, reason=problem)
        # Frames without this dictionary, if there are any, can still be read.
        cursor.seek(zstd.dictionary_bytes(cursor.ahead(zstd.HEADER_BYTES)))
    if coding is None:
        yield from _records(_RecordReader(PlainFile(cursor, offset)), offset, 1, limit)
        return
    while not cursor.at_end():
        offset = cursor.offset
        data = cursor.ahead(zstd.HEADER_BYTES)
        if not data.startswith(coding.magic):
            if reason := _pass_by(cursor, coding, data):
                yield Block(offset=offset, reason=reason)
            continue
        member = Member(cursor, coding)
        found = _records(_RecordReader(member), offset, PLACE, limit)
        # A member can only be decompressed from its start, so records before the wanted one are skipped.
        yield from (block for block in found if block.offset >= offset + place * PLACE)
        place = 0
        if member.broken:
            _seek_member(cursor, coding, offset + 1)


def first_record(head: bytes) -> int | None:
    """Offset of the first WARC record, or member with one, in the beginning of a file; None without one.

    A dictionary frame that is longer than `head` is the beginning of an archive, because nothing else begins with one.
    """
    dictionary = zstd.dictionary_bytes(head)
    if dictionary > len(head):
        return 0
    try:
        found = _first_record(head, _codings(head, head[zstd.HEADER_BYTES : dictionary]))
    except zstd.ZstdError:
        return 0
    return found[0] if found else None


def _first_record(head: bytes, codings: Sequence[Coding]) -> tuple[int, Coding | None] | None:
    """Offset and coding (None for a plain record) of the first record in the beginning of a file."""
    plain = _BEGINS.search(head)
    found = (plain.start(), None) if plain else None
    for coding in codings:
        end = found[0] if found else len(head)
        at = head.find(coding.magic, 0, end)
        while at >= 0:
            if coding.begins(head[at : at + coding.trial_bytes]):
                found = at, coding
                break
            at = head.find(coding.magic, at + 1, end)
    return found


def _codings(head: bytes, dictionary: bytes = b"") -> list[Coding]:
    """The codings that a file may have.

    Args:
        head: the beginning of the file.
        dictionary: the content of its dictionary frame; empty if it has none.

    Raises:
        ZstdError: the dictionary is damaged or too large.
    """
    return [GZIP, XZ, *([zstandard(dictionary or None)] if zstd.MAGIC in head else [])]


def _coding(cursor: Cursor) -> tuple[Coding | None, str | None]:
    """How an archive is compressed, None if it is not; and what is wrong with its dictionary, if anything is."""
    size = zstd.dictionary_bytes(cursor.ahead(zstd.HEADER_BYTES))
    if not size:
        head = cursor.ahead(HEAD_BYTES)
        codings = _codings(head)
        if begun := next((coding for coding in codings if head.startswith(coding.magic)), None):
            return begun, None
        found = _first_record(head, codings)
        return (found[1] if found else None), None
    if size > zstd.HEADER_BYTES + zstd.MAX_DICTIONARY_BYTES:
        return zstandard(), f"a dictionary of {size:,} bytes; at most {zstd.MAX_DICTIONARY_BYTES:,} are read"
    frame = cursor.ahead(size)
    if len(frame) < size:
        return zstandard(), "the file ends in the middle of its dictionary"
    try:
        return zstandard(frame[zstd.HEADER_BYTES : size]), None
    except zstd.ZstdError as error:
        return zstandard(), f"the dictionary cannot be read ({error})"


def _pass_by(cursor: Cursor, coding: Coding, data: bytes) -> str | None:
    """Skip what is between members, up to the next one; return what is wrong with it, if anything is.

    Args:
        data: the next bytes of the file.
    """
    offset = cursor.offset
    if coding.padding and data.startswith(coding.padding):
        cursor.skip(coding.padding)
        return None
    if size := coding.skipped(data):
        cursor.seek(offset + size - 1)
        if cursor.ahead(1):
            cursor.seek(offset + size)
            return None
        reason = f"a skippable frame of {size:,} bytes, which the file does not have"
        _seek_member(cursor, coding, offset + 1)
        return reason
    _seek_member(cursor, coding, offset)
    return f"{cursor.offset - offset:,} bytes that are no {coding.member}"


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


class _Content(NamedTuple):
    """What follows the headers of a record."""

    data: bytes
    """Its first bytes, up to the limit."""
    read: int
    """Number of bytes that were read."""
    body_sha1: bytes
    """SHA-1 of what follows the content's own (HTTP) headers if not all of it was kept; else empty."""
    inner: int
    """Position of the first record that begins within it; -1 if none does."""
    stopped: bool
    """Reading stopped there."""


class _RecordReader:
    """A stream with look-ahead."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._data = b""
        self._at = 0
        self._base = 0
        self.broken = False
        """The stream cannot be read further."""
        self.doubted = 0
        """Bytes that were read only to find that a length is wrong."""

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

    def content(self, length: int, limit: int, may_hold: Callable[[bytes], bool]) -> _Content:
        """The next `length` bytes, or fewer: up to the end of the stream, or to a record that they must not hold.

        Args:
            length: number of bytes.
            limit: number of bytes that are kept.
            may_hold: called once with the first bytes, if another record begins within the content: whether to go on.
        """
        first = self._take(min(length, limit, INFLATED_BYTES))
        kept, read, overlap = [first], len(first), first[-lengths.INNER_BYTES :]
        inner = lengths.inner_record(first)
        digest = None
        stopped = inner >= 0 and not may_hold(first)
        while read < length and not stopped and (part := self._take(min(length - read, INFLATED_BYTES))):
            if inner < 0 and (at := lengths.inner_record(overlap + part)) >= 0:
                inner = read - len(overlap) + at
                stopped = not may_hold(first)
            if read + len(part) > limit and digest is None:
                digest = hashlib.sha1(usedforsecurity=False)
                whole = b"".join(kept)
                end = head_end(whole, 0, MAX_HEAD_BYTES)
                digest.update(memoryview(whole)[end[1] if end else 0 :])
            if digest:
                digest.update(part)
            if read < limit:
                kept.append(part[: limit - read])
            read += len(part)
            overlap = part[-lengths.INNER_BYTES :]
        data = kept[0] if len(kept) == 1 else b"".join(kept)
        return _Content(data, read, digest.digest() if digest else b"", inner, stopped)

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
        yield _record(reader, _address(reader, start, step, number), limit, may_be_alone=step != 1 and number == 0)
        number += 1


def _address(reader: _RecordReader, start: int, step: int, number: int) -> int:
    return start + (reader.position if step == 1 else number * step)


def _record(reader: _RecordReader, address: int, limit: int, *, may_be_alone: bool) -> Block:
    """The record that begins here, or the damage in its place; the reader moves to the next record.

    Args:
        may_be_alone: it is the first record of a compressed member, most of which hold one record only.
    """
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
        if not stated.isdecimal() or len(stated) > MAX_DIGITS:
            reason = f"Content-Length is {stated[:SHOWN_CHARACTERS]!r}, which is not a size"
        else:
            length = int(stated)
            believed = partial(_may_be_believed, headers, length, reader.doubted)
            content = reader.content(length, limit, lambda first: may_be_alone or believed(first))
            reason = _length_fault(reader, headers, content, length, may_be_alone=may_be_alone)
            if reason is None:
                whole = Block(offset=address, headers=headers, content=content.data, length=length)
                return replace(whole, body_sha1=content.body_sha1) if content.body_sha1 else whole
            reader.doubted += content.read
        reader.rewind(body)
        reader.seek_record()
    except Broken as error:
        reason = str(error)
        # The headers that can still be read may identify the lost page.
        headers = headers or _parse(reader.rest().rpartition(b"\n")[0]) or None
    return Block(offset=address, headers=headers, reason=reason)


def _may_be_believed(headers: dict[str, str], length: int, doubted: int, first: bytes) -> bool:
    """Whether the first bytes of a content, within which another record begins, can still turn out to be `length` long.

    Args:
        doubted: bytes of this stream that were read to no avail; above MAX_DOUBTED_BYTES no digest is computed.
    """
    end = head_end(first, 0, MAX_HEAD_BYTES)
    if end and lengths.http_length(first[: end[0]]) == length - end[1]:
        return True
    return doubted <= MAX_DOUBTED_BYTES and lengths.has_digest(headers)


def _length_fault(
    reader: _RecordReader, headers: dict[str, str], content: _Content, length: int, *, may_be_alone: bool
) -> str | None:
    """What is wrong with the length of the record whose content was just read; None if nothing is."""
    says = f"Content-Length says {length:,} bytes"
    inner = f"{says}, and another record begins after {content.inner:,} of them"
    if content.stopped:
        return inner
    if content.read < length:
        return f"{says}, and {content.read:,} are there"
    if not reader.ended():
        return f"{says}, and no record follows them"
    if content.inner < 0 or (may_be_alone and not reader.skip_newlines()):
        return None
    end = head_end(content.data, 0, MAX_HEAD_BYTES)
    body = end[1] if end else 0
    if end and lengths.http_length(content.data[: end[0]]) == length - body:
        return None
    whole = len(content.data) == length
    return None if whole and lengths.digests_fit(headers, content.data, body) else inner


def _parse(head: bytes) -> dict[str, str]:
    text = head.decode("utf-8", "replace")
    if b"\n " in head or b"\n\t" in head:
        text = text.replace("\r\n ", " ").replace("\r\n\t", " ")
    # From the last line to the first, so that the first value of a repeated name stays.
    fields = [line.partition(":") for line in reversed(text.splitlines()[1:])]
    return {name.strip().lower(): value.strip() for name, _, value in fields}


def _seek_member(cursor: Cursor, coding: Coding, start: int) -> None:
    """Put the cursor at the first member after `start` that holds a WARC record, or at the end."""
    cursor.seek(start)
    while True:
        data = cursor.ahead(CHUNK_BYTES + coding.trial_bytes)
        at = data.find(coding.magic)
        while 0 <= at < CHUNK_BYTES:
            if coding.begins(data[at : at + coding.trial_bytes]):
                cursor.seek(cursor.offset + at)
                return
            at = data.find(coding.magic, at + 1)
        if len(data) <= CHUNK_BYTES:
            cursor.seek(cursor.offset + len(data))
            return
        cursor.seek(cursor.offset + CHUNK_BYTES)
