"""Whether a record's Content-Length can be believed although another record seems to begin within its content.

A length that is too large ends at another record by chance, or at the end of the file, and the records in between would
be lost without a trace. A page may also hold a WARC record as its content, such as a description of the format or a
crawled archive. Such a length is believed if a digest of the record or its HTTP Content-Length confirms it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

INNER_BEGINS = re.compile(rb"\n\r?\n(?=WARC/[01]\.\d+\r?\n[A-Za-z][A-Za-z-]*:)")
"""An empty line, and after it the first two lines of a WARC record."""
INNER_BYTES = 128
"""Bytes before the end of some data in which an inner record may begin without being recognised."""

_WORD = b"\nWARC/"
_HTTP_LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r?(?:\n|$)", re.IGNORECASE)
_ALGORITHMS = ("md5", "sha1", "sha256", "sha512")


def inner_record(data: bytes) -> int:
    """The position at which a WARC record begins within the content of another; -1 if none does."""
    # A regular expression takes much longer than `find`, and hardly any content holds the word.
    at = data.find(_WORD)
    found = INNER_BEGINS.search(data, max(at - 2, 0)) if at >= 0 else None
    return found.end() if found else -1


def http_length(head: bytes) -> int | None:
    """The size of a message's body by its HTTP headers; None if they do not say."""
    found = _HTTP_LENGTH.search(head)
    return int(found.group(1)) if found else None


def has_digest(headers: dict[str, str]) -> bool:
    """Whether WARC headers state a digest that `digests_fit` can compare."""
    return any(_digest(headers.get(name, "")) for name in ("warc-block-digest", "warc-payload-digest"))


def digests_fit(headers: dict[str, str], content: bytes, body: int) -> bool:
    """Whether a digest in the WARC headers is that of the content.

    Args:
        headers: WARC headers by lower-case name.
        content: what follows them, in full.
        body: the position in `content` after its own (HTTP) headers.
    """
    for name, start in (("warc-block-digest", 0), ("warc-payload-digest", body)):
        if stated := _digest(headers.get(name, "")):
            algorithm, digest = stated
            if hashlib.new(algorithm, memoryview(content)[start:], usedforsecurity=False).digest() == digest:
                return True
    return False


def _digest(text: str) -> tuple[str, bytes] | None:
    """Algorithm and value of a digest such as `sha1:BASE32`, or with hexadecimal digits; None for any other text."""
    algorithm, _, value = text.lower().partition(":")
    algorithm = algorithm.replace("-", "")
    if algorithm not in _ALGORITHMS:
        return None
    size = hashlib.new(algorithm, usedforsecurity=False).digest_size
    try:
        if len(value) == 2 * size:
            return algorithm, bytes.fromhex(value)
        digest = base64.b32decode(value.upper() + "=" * (-len(value) % 8))
    except (ValueError, binascii.Error):
        return None
    return (algorithm, digest) if len(digest) == size else None
