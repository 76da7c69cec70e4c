"""WARC 1.0 records as a crawler writes them: `warcinfo`, then `response` records, one gzip member each.

The bytes are written here and not by a library, because the order of the headers, the record ids and the
gzip headers must not change between two runs. Source: ISO 28500:2009 (WARC 1.0), RFC 1952 (gzip).
"""

from __future__ import annotations

import base64
import hashlib
import uuid
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

FIRST_VISIT = datetime(2025, 1, 15, 6, 0, 0, tzinfo=UTC)
"""WARC-Date of page 0 of every crawl: dates are part of the bytes, so they cannot come from the clock."""
SECONDS_BETWEEN_VISITS = 7
GZIP_LEVEL = 6


def visit_time(index: int) -> datetime:
    """When page `index` of the crawl was fetched: a fixed first moment, then one page every seven seconds."""
    return FIRST_VISIT + timedelta(seconds=index * SECONDS_BETWEEN_VISITS)


def sha1_base32(data: bytes) -> str:
    """Digest as WARC headers spell it: `sha1:` and 32 base32 characters."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data).digest()).decode("ascii")


def record_id(*parts: str) -> str:
    """A `urn:uuid` that the parts alone decide, so that the same page gets the same id in every run."""
    digest = hashlib.sha1("\n".join(parts).encode()).digest()
    return f"<urn:uuid:{uuid.UUID(bytes=digest[:16], version=5)}>"


def gzip_member(data: bytes) -> bytes:
    """One gzip member with no name and no time in its header."""
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def http_message(status: str, headers: Sequence[tuple[str, str]], payload: bytes) -> bytes:
    """An HTTP/1.1 response: status line (`200 OK`), headers as given, empty line, payload."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + payload


def record(headers: Sequence[tuple[str, str]], block: bytes, *, stated_length: int | None = None) -> bytes:
    """One uncompressed WARC record. `stated_length` lies about the block's length, for planted faults."""
    length = len(block) if stated_length is None else stated_length
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"WARC/1.0\r\n{head}Content-Length: {length}\r\n\r\n".encode() + block + b"\r\n\r\n"


def warcinfo_id(file_name: str) -> str:
    """Record id of the `warcinfo` record of a file: decided by the file's name."""
    return record_id("warcinfo", file_name)


def warcinfo(file_name: str, description: str, *, index: int = 0) -> bytes:
    """The record that opens a WARC file: who wrote it, how, and in which format (uncompressed bytes)."""
    fields = (
        "software: Watershed crawl\r\n"
        "format: WARC File Format 1.0\r\n"
        "conformsTo: https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.0/\r\n"
        "robots: classic\r\n"
        f"description: {description}\r\n"
        "isPartOf: WATERSHED\r\n"
    ).encode()
    headers = (
        ("WARC-Type", "warcinfo"),
        ("WARC-Date", f"{visit_time(index):%Y-%m-%dT%H:%M:%SZ}"),
        ("WARC-Record-ID", warcinfo_id(file_name)),
        ("WARC-Filename", file_name),
        ("WARC-Block-Digest", sha1_base32(fields)),
        ("Content-Type", "application/warc-fields"),
    )
    return record(headers, fields)


def response(
    uri: str,
    message: bytes,
    payload: bytes,
    *,
    file_name: str,
    index: int,
    media_type: str = "text/html",
    stated_length: int | None = None,
) -> bytes:
    """A `response` record of one fetched page, uncompressed.

    Args:
        uri: the address that was asked for.
        message: HTTP status line, headers and payload as received.
        payload: the body within `message`, whose digest the record carries.
        file_name: the WARC file, for the link back to its `warcinfo` record.
        index: position of the page in the crawl; it decides the date.
        media_type: what the payload was identified as.
        stated_length: a wrong Content-Length, for planted faults.
    """
    payload_digest = sha1_base32(payload)
    date = f"{visit_time(index):%Y-%m-%dT%H:%M:%SZ}"
    headers = (
        ("WARC-Type", "response"),
        ("WARC-Date", date),
        ("WARC-Record-ID", record_id(uri, date, payload_digest)),
        ("WARC-Warcinfo-ID", warcinfo_id(file_name)),
        ("WARC-IP-Address", _documentation_address(uri)),
        ("WARC-Target-URI", uri),
        ("WARC-Payload-Digest", payload_digest),
        ("WARC-Block-Digest", sha1_base32(message)),
        ("WARC-Identified-Payload-Type", media_type),
        ("Content-Type", "application/http; msgtype=response"),
    )
    return record(headers, message, stated_length=stated_length)


def _documentation_address(uri: str) -> str:
    """A host's address out of 198.51.100.0/24, the block that RFC 5737 keeps for examples."""
    host = uri.split("/", 3)[2]
    return f"198.51.100.{hashlib.sha1(host.encode()).digest()[0]}"
