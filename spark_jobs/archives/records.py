"""Reads web archives record by record: every response exactly once, every damage exactly once.

`framing` finds the records. fastwarc reads what is inside one: HTTP headers, transfer and content codings.
"""

from __future__ import annotations

import datetime
import hashlib
import re
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from fastwarc.warc import WarcRecord

from spark_jobs.archives.framing import MAX_HEAD_BYTES, SHOWN_CHARACTERS, Block, blocks, head_end
from spark_jobs.archives.places import open_archive

MAX_PAYLOAD_BYTES = 10_000_000
"""A larger page, as stored or decoded, is counted and its size recorded, but it is never held in memory."""
READ_BYTES = 1 << 16
_CODINGS = ("chunked", "gzip", "x-gzip", "deflate", "br", "zstd")
_CUT_SHORT = "unexpected end"
"""fastwarc's message for a coding that ends early; the bytes before it are used as a truncated page."""
_CRLF = b"\r\n\r\n"
_OLD_GZIP = re.compile(rb"x-gzip", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]{0,1000}\r\n")
_NEWLINE = re.compile(rb"\r?\n")
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_PAIRS = [first + second for first in _BASE32 for second in _BASE32]
_FRAME = (
    b"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http; msgtype=response\r\nContent-Length: %d\r\n\r\n"
)


@dataclass(frozen=True, kw_only=True)
class Record:
    """The outcome of one response record, or of one damaged stretch of the archive."""

    offset: int
    """Address in the archive (see `framing`)."""
    state: str
    """ok, no_payload, http_error, too_large, undecodable, record_damaged or file_damaged."""
    reason: str | None = None
    """Why the state is not ok."""
    url: str | None = None
    date: datetime.datetime | None = None
    """WARC-Date, UTC."""
    http_status: int | None = None
    content_type: str | None = None
    """Media type in lower case, as the server declared it, else as the crawler identified it."""
    charset: str | None = None
    """Character encoding that the server declared."""
    payload: bytes | None = None
    """The decoded HTTP payload; only if the state is ok."""
    payload_bytes: int = 0
    """Bytes of the payload as stored."""
    payload_digest: str | None = None
    """sha1:BASE32 of the payload as stored."""


def read_records(uri: str, size: int | None = None, max_payload: int = MAX_PAYLOAD_BYTES) -> Iterator[Record]:
    """Every response record of an archive and every damage, in order; memory is bounded by `max_payload`.

    Args:
        uri: path or http(s) URL of a WARC file: plain, or compressed by record or as a whole (gzip, Zstandard, xz).
        size: the size at which the file was registered, which it must still have; None for any.
        max_payload: bytes above which a payload is `too_large`.

    Raises:
        WatershedError: the archive is missing, has another size, or cannot be reached.
    """
    with closing(open_archive(uri, size)) as file:
        for block in blocks(file, max_payload + MAX_HEAD_BYTES):
            record = _record(block, max_payload)
            if record is not None:
                yield record


def read_record(uri: str, offset: int, max_payload: int = MAX_PAYLOAD_BYTES) -> Record | None:
    """The record at the address `offset`, as `read_records` returned it; None if there is no response or damage."""
    with closing(open_archive(uri)) as file:
        block = next(blocks(file, max_payload + MAX_HEAD_BYTES, offset), None)
    return _record(block, max_payload) if block is not None else None


def _record(block: Block, max_payload: int) -> Record | None:
    """The outcome of a block; None for an intact record of another type than response."""
    if block.headers is None:
        return Record(offset=block.offset, state="file_damaged", reason=block.reason)
    kind = block.headers.get("warc-type", "").lower()
    if kind != "response":
        if block.reason is None:
            return None
        reason = f"a {kind[:SHOWN_CHARACTERS] or 'typeless'} record: {block.reason}"
        return Record(offset=block.offset, state="file_damaged", reason=reason)
    known: dict[str, Any] = {
        "offset": block.offset,
        "url": block.headers.get("warc-target-uri", "").strip("<>") or None,
        "date": _date(block.headers.get("warc-date", "")),
    }
    if block.reason is not None:
        return Record(**known, state="record_damaged", reason=block.reason)
    return _response(known, block, block.headers, max_payload)


def _response(known: dict[str, Any], block: Block, headers: dict[str, str], max_payload: int) -> Record:
    """The outcome of an intact response; `known` holds the fields that are already known."""
    message, body, http = block.content, 0, None
    # A response of another protocol, such as DNS, is a payload without headers.
    if headers.get("content-type", "application/http").startswith("application/http"):
        end = head_end(message, 0, MAX_HEAD_BYTES)
        if not message.startswith(b"HTTP/") or end is None:
            return Record(**known, state="record_damaged", reason="an HTTP response without its headers")
        body = end[1]
        http = _parsed(message[: end[0]], b"")
    stored, length = message[body:], block.length - body
    status = http.http_headers.status_code if http else None
    known |= {
        "http_status": status,
        "content_type": _media_type(http, headers),
        "charset": (http.http_charset or "").strip("\"' ") or None if http else None,
        "payload_bytes": length,
        "payload_digest": "sha1:" + _base32(block.body_sha1 or hashlib.sha1(stored).digest()),
    }
    if status is not None and not 200 <= status < 300:
        return Record(**known, state="http_error", reason=f"HTTP status {status}")
    if not length:
        return Record(**known, state="no_payload", reason="headers and nothing after them")
    if length > max_payload:
        return Record(**known, state="too_large", reason=_too_large(f"{length:,}", max_payload))
    state, reason, payload = _decoded(http, message[: max(body - len(_CRLF), 0)], stored, max_payload)
    return Record(**known, state=state, reason=reason, payload=payload)


def _base32(digest: bytes) -> str:
    """RFC 4648, section 6, of 20 bytes: 16 pairs of characters."""
    number = int.from_bytes(digest)
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(150, -1, -10)])


def _too_large(size: str, max_payload: int) -> str:
    return f"{size} bytes; at most {max_payload:,} are read"


def _decoded(
    http: WarcRecord | None, head: bytes, stored: bytes, max_payload: int
) -> tuple[str, str | None, bytes | None]:
    """State, reason and decoded payload of a response."""
    codings = _codings(http) if http else []
    if not codings:
        return "ok", None, stored
    listed = ", ".join(codings)
    problem = ""
    for payload, problem in _attempts(head, stored, codings, max_payload):
        if len(payload) > max_payload:
            return "too_large", _too_large(f"{listed}: over {max_payload:,}", max_payload), None
        if payload and (not problem or _CUT_SHORT in problem):
            return "ok", None, payload
    if stored.lstrip().startswith(b"<"):
        # Others undo all codings but keep the headers.
        return "ok", None, stored
    if not problem:
        return "no_payload", f"{listed}: nothing in it", None
    return "undecodable", f"{listed}: {problem[:100]}", None


def _attempts(head: bytes, stored: bytes, codings: list[str], max_payload: int) -> Iterator[tuple[bytes, str]]:
    """Decoded bytes and the error that ended decoding, if any, for each way in which the codings may be meant."""
    yield _undo(head, stored, "all", max_payload)
    joined = _join_chunks(stored) if "chunked" in codings else b""
    if joined:
        # A transfer that was interrupted still has its first chunks.
        yield _undo(head, joined, "content", max_payload)
    if "chunked" in codings and len(codings) > 1:
        # Some crawlers join the chunks but keep the header.
        yield _undo(head, stored, "content", max_payload)
    if [coding for coding in codings if coding != "chunked"] == ["deflate"]:
        # Many servers send the bare compressed data, without the zlib format around it (RFC 9110, section 8.4.1.2).
        for data in filter(None, (joined, stored)):
            if payload := _inflate(data, max_payload):
                yield payload, ""


def _codings(http: WarcRecord) -> list[str]:
    """The codings to undo, in the order of the headers."""
    fields = [http.http_headers.get_multiple(name) for name in ("Transfer-Encoding", "Content-Encoding")]
    named = [coding.strip().lower() for values in fields for value in values for coding in value.split(",")]
    return [coding for coding in named if coding in _CODINGS]


def _undo(head: bytes, stored: bytes, way: Literal["all", "content"], max_payload: int) -> tuple[bytes, str]:
    """The decoded bytes, at most a little over `max_payload`, and the error that ended decoding, if any."""
    parts: list[bytes] = []
    read = 0
    try:
        reader = _parsed(_OLD_GZIP.sub(b"gzip", head), stored, way).reader
        while read <= max_payload and (part := reader.read(READ_BYTES)):
            parts.append(part)
            read += len(part)
    except OSError as error:
        return b"".join(parts), str(error)
    return b"".join(parts), ""


def _inflate(data: bytes, max_payload: int) -> bytes:
    """Bare deflated data (RFC 1951), at most one byte more than `max_payload` of it; empty if it is something else."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return stream.decompress(data, max_payload + 1)
    except zlib.error:
        return b""


def _join_chunks(stored: bytes) -> bytes:
    """The chunks of a transfer (RFC 9112, section 7.1) up to its end or the first invalid chunk."""
    parts = []
    at = 0
    while size := _CHUNK_SIZE.match(stored, at):
        length = int(size.group(1), 16)
        if not length:
            break
        parts.append(stored[size.end() : size.end() + length])
        at = size.end() + length + len(b"\r\n")
    return b"".join(parts)


def _parsed(head: bytes, body: bytes, way: Literal["none", "all", "content"] = "none") -> WarcRecord:
    message = _NEWLINE.sub(b"\r\n", head) + _CRLF + body
    record = WarcRecord.from_bytes(_FRAME % len(message) + message)
    record.parse_http(auto_decode=way, max_header_len=MAX_HEAD_BYTES)
    return record


def _media_type(http: WarcRecord | None, headers: dict[str, str]) -> str | None:
    declared = http.http_content_type if http else headers.get("content-type")
    declared = declared or headers.get("warc-identified-payload-type")
    return declared.split(";")[0].strip().lower() or None if declared else None


def _date(text: str) -> datetime.datetime | None:
    try:
        date = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return date.astimezone(datetime.UTC) if date.tzinfo else date.replace(tzinfo=datetime.UTC)
