"""From a payload to text: whether it is a page, its encoding, and its main content.

Extraction is DCLM's (arXiv 2406.11794, section 4.1): resiliparse's main content as plain text, with its defaults.
Compiled kernels produce the same characters (`kernels/html/text.py`). resiliparse reads the few pages that they do
not handle, and every page until the kernels are compiled.
"""

from __future__ import annotations

import codecs
import re
import time
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from spark_jobs.archives.charsets import decode_iso_2022_jp, is_iso_2022_jp, utf16

PAGE_TYPES = ("text/html", "application/xhtml+xml")
SNIFFED_BYTES = 8192
CONTROL_SHARE = 0.05
"""Share of control characters in the first bytes of binary data; compressed data has 0.1, text hardly any."""
BELIEVED_SHARE = 0.01
"""A declared encoding is used if at most this share of the page's characters does not fit it."""
REPLACED_SHARE = 0.5
"""A page is undecodable if more than this share of its text is U+FFFD, white space aside."""
MAX_WORK = 300_000_000
"""Limit of a page's characters times the nesting depth of its `div` and `article`, which takes some seconds. The time
to find the main content grows with this product, so a few bytes of nested tags could block a worker. A page of 2 MB
may be 150 deep."""
REMEMBERED_BYTES = 64_000_000
"""Memory for the last extracted pages; a page that was crawled twice is extracted once."""
LOOK_AGAIN_SECONDS = 0.5
"""Time between two looks whether another process has compiled the kernels of main content."""
COMPILE_AFTER_BYTES = 100_000_000
"""A process has the kernels of main content compiled after this much HTML. Compilation costs as much processor time as
the kernels save on about a gigabyte, so a small crawl is done sooner without them."""
_TEXTUAL = ("xml", "json", "javascript")
"""Endings of media types that are text and that a browser can show as a page."""
_REPLACEMENT = "�"
_CONTROL = np.zeros(256, bool)
_CONTROL[[*range(9), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20)]] = True
_CONTAINER = re.compile(r"(</?)(?:div|article)\b", re.IGNORECASE)
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]+)", re.IGNORECASE)
_META_BYTES = 4096


@dataclass(frozen=True)
class Extracted:
    """The outcome of a payload."""

    state: str
    """ok, not_html, binary, undecodable, extraction_failed or empty_text."""
    reason: str | None = None
    """Why the state is not ok; for an ok page, what was repaired."""
    text: str | None = None
    """Main content; only if the state is ok."""
    charset: str | None = None
    """Encoding that it was decoded with."""


def extract(payload: bytes, content_type: str | None = None, charset: str | None = None) -> Extracted:
    """The main content of a page.

    Args:
        payload: the decoded HTTP payload.
        content_type: media type that the server declared, in lower case.
        charset: encoding that the server declared.
    """
    if refused := _refuse(payload, content_type, charset):
        return refused
    html, encoding, mended = decode(payload, charset)
    page = html.encode()
    if depth := _too_deep(html, page):
        reason = f"nested {depth:,} deep in {len(html):,} characters: too long to read"
        return Extracted("extraction_failed", reason, charset=encoding)
    try:
        text = _main_content(html, page)
    except (RuntimeError, ValueError) as error:
        return Extracted("extraction_failed", f"{type(error).__name__}: {error}"[:200], charset=encoding)
    if not text.strip():
        return Extracted("empty_text", "no main content", charset=encoding)
    if _REPLACEMENT in text:
        characters = len("".join(text.split()))
        lost = text.count(_REPLACEMENT)
        if lost > REPLACED_SHARE * characters:
            reason = f"{lost:,} of {characters:,} characters are not {encoding}"
            return Extracted("undecodable", reason, charset=encoding)
    return Extracted("ok", mended, text, encoding)


def _main_content(html: str, page: bytes) -> str:
    """The main content of a page. `page` is `html` in UTF-8. Raises what resiliparse raises."""
    if _kernels_are_ready(len(page)):
        from spark_jobs.kernels.html.text import main_content

        text = main_content(page)
        if text is not None:
            return text
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(html, main_content=True)


class _Waiting:
    """When to look again whether another process has compiled the kernels of main content."""

    is_over = False
    until = 0.0
    read_bytes = 0
    is_compiling = False


def _kernels_are_ready(page_bytes: int) -> bool:
    """Whether main content is read by kernels by now; until they are compiled, resiliparse reads the same text.

    A process that has read COMPILE_AFTER_BYTES has them compiled by another one, if need be. Looking for machine code
    takes a look at the clock a page, and at the disk once in LOOK_AGAIN_SECONDS.
    """
    if _Waiting.is_over:
        return True
    _Waiting.read_bytes += page_bytes
    if not _Waiting.is_compiling and _Waiting.read_bytes >= COMPILE_AFTER_BYTES:
        from spark_jobs.kernels.warm import warm_in_background

        _Waiting.is_compiling = True
        warm_in_background(["html"], processes=1)
    if time.monotonic() >= _Waiting.until:
        from spark_jobs.kernels.html.text import is_ready

        _Waiting.is_over = is_ready()
        _Waiting.until = time.monotonic() + LOOK_AGAIN_SECONDS
    return _Waiting.is_over


class Extractor:
    """`extract` with a cache of the last outcomes, of at most REMEMBERED_BYTES."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str | None, int, str | None, str | None], Extracted] = OrderedDict()
        self._held = 0

    def __len__(self) -> int:
        """Number of cached payloads."""
        return len(self._known)

    def extract(self, payload: bytes, content_type: str | None, charset: str | None, digest: str | None) -> Extracted:
        """The outcome of `extract`, from the cache if possible.

        Args:
            digest: of the payload as stored. Together with the declared types and the length of the decoded
                payload, it is the key of the cache.
        """
        key = (digest, len(payload), content_type, charset)
        found = self._known.pop(key, None)
        if found is None:
            found = extract(payload, content_type, charset)
            self._held += _held_bytes(found)
        self._known[key] = found
        while self._held > REMEMBERED_BYTES:
            _, forgotten = self._known.popitem(last=False)
            self._held -= _held_bytes(forgotten)
        return found


def _held_bytes(found: Extracted) -> int:
    """Upper bound of the memory of a cached outcome: four bytes a character, and the key."""
    return 500 + 4 * len(found.text or "")


def _refuse(payload: bytes, content_type: str | None, charset: str | None) -> Extracted | None:
    """The outcome of a payload that is not a page; None for a page."""
    if content_type is not None and content_type not in PAGE_TYPES:
        return Extracted("not_html", content_type)
    from resiliparse.parse.encoding import detect_mime

    looks_like = detect_mime(payload[:SNIFFED_BYTES])
    if content_type is None and not _looks_like_page(payload, looks_like):
        return Extracted("not_html", f"no media type declared; looks like {looks_like}")
    if binary := not utf16(payload, charset) and _binary(payload, looks_like):
        return Extracted("binary", f"{binary}, served as {content_type or 'no type'}")
    return None


def decode(payload: bytes, charset: str | None = None) -> tuple[str, str, str | None]:
    """A page's characters, its encoding, and what had to be repaired.

    Valid UTF-8 is read as UTF-8, whatever is declared, unless it is ISO-2022-JP or UTF-16, whose bytes may all be
    ASCII. Otherwise a declared encoding is used if it fits nearly every byte, and resiliparse's detection if not. Bytes
    that do not fit become U+FFFD.

    Args:
        payload: the page.
        charset: encoding that the server declared.
    """
    if encoding := utf16(payload, charset):
        return _mended(payload.decode(encoding, "replace"), encoding, None)
    if is_iso_2022_jp(payload):
        return _mended(decode_iso_2022_jp(payload), "iso-2022-jp", None)
    try:
        return payload.removeprefix(codecs.BOM_UTF8).decode(), "utf-8", None
    except UnicodeDecodeError:
        pass
    from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

    meta = _META_CHARSET.search(payload, 0, _META_BYTES)
    declared = [map_encoding_to_html5(name, False) for name in (charset, meta and meta.group(1).decode()) if name]
    for encoding in declared:
        if encoding and encoding != "utf-8":
            html = payload.decode(encoding, "replace")
            if html.count(_REPLACEMENT) <= BELIEVED_SHARE * len(html):
                return _mended(html, encoding, None)
    detected = detect_encoding(payload) or "utf-8"
    return _mended(payload.decode(detected, "replace"), detected, "utf-8" if "utf-8" in declared else None)


def _mended(html: str, encoding: str, declared: str | None) -> tuple[str, str, str | None]:
    lost = html.count(_REPLACEMENT)
    notes = [f"declared {declared}, read as {encoding}"] if declared and declared != encoding else []
    notes += [f"{lost:,} characters are not {encoding}"] if lost else []
    return html, encoding, "; ".join(notes) or None


def _looks_like_page(payload: bytes, looks_like: str) -> bool:
    return looks_like == "text/html" or payload[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"


def _binary(payload: bytes, looks_like: str) -> str | None:
    """The media type of a payload that is not text; None for text."""
    if looks_like != "application/octet-stream":
        return None if looks_like.startswith("text/") or looks_like.endswith(_TEXTUAL) else looks_like
    head = np.frombuffer(payload[:SNIFFED_BYTES], np.uint8)
    controls = int(_CONTROL[head].sum())
    return "application/octet-stream" if controls > CONTROL_SHARE * len(head) else None


def _too_deep(html: str, page: bytes) -> int:
    """The nesting depth of `div` and `article` if it makes extraction too slow; else 0.

    Args:
        html: the page.
        page: the same in UTF-8.
    """
    most = MAX_WORK // max(len(html), 1)
    # A tag has at least five characters. Counting them first is cheaper than finding them.
    if len(html) // len("<div>") <= most or _containers_at_most(page) <= most:
        return 0
    tags = _CONTAINER.findall(html)
    if len(tags) <= most:
        return 0
    steps = np.fromiter((1 if tag == "<" else -1 for tag in tags), np.int64, len(tags))
    height = np.cumsum(steps)
    deepest = int((height - np.minimum(np.minimum.accumulate(height), 0)).max(initial=0))
    return deepest if deepest > most else 0


def _containers_at_most(page: bytes) -> int:
    """Number of tags that begin like `div` or `article`."""
    data = np.frombuffer(page, np.uint8)
    begun = np.flatnonzero(data[:-2] == ord("<"))
    # Lower-case the letters.
    first, second = data[begun + 1] | 0x20, data[begun + 2] | 0x20
    is_div = (first == ord("d")) & (second == ord("i"))
    return int(np.count_nonzero(is_div | (first == ord("a")) & (second == ord("r"))))
