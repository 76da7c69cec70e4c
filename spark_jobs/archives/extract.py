"""From a payload to text: is it a page, in which encoding, what does it say, and in which language.

Extraction is DCLM's (arXiv 2406.11794, section 4.1): resiliparse's main content in plain text, with its
defaults. Kernels read it, to the character alike (`kernels/html_text.py`); the few pages that they leave, resiliparse
reads itself. Language is DCLM's too (baselines/mappers/enrichers): fastText's lid.176 on the text with newlines
deleted; here the small model (lid.176.ftz), and of a long text an even sample.
"""

from __future__ import annotations

import codecs
import re
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import detect_encoding, detect_mime, map_encoding_to_html5

PAGE_TYPES = ("text/html", "application/xhtml+xml")
SNIFFED_BYTES = 8192
CONTROL_SHARE = 0.05
"""Of the first bytes; compressed data has 0.1, text hardly any."""
BELIEVED_SHARE = 0.01
"""Of a page's characters: so many may not fit a declared encoding that is believed."""
REPLACED_SHARE = 0.5
"""Of the text's characters other than white space: above it the page is undecodable."""
MAX_WORK = 300_000_000
"""Characters of a page times how deep its `div` and `article` are nested: what the time to find the main content
grows by, some seconds here. (A page of 2 MB may be 150 deep; a few bytes of nested tags could hold up a worker.)"""
REMEMBERED_BYTES = 64_000_000
"""Of what was extracted last: a page that is crawled again is not extracted again."""
_TEXTUAL = ("xml", "json", "javascript")
"""Endings of media types that are text, and that a browser shows as a page when told to."""
_REPLACEMENT = "�"
_CONTROL = np.zeros(256, bool)
_CONTROL[[*range(9), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20)]] = True
_CONTAINER = re.compile(r"(</?)(?:div|article)\b", re.IGNORECASE)
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]+)", re.IGNORECASE)
_META_BYTES = 4096


@dataclass(frozen=True)
class Extracted:
    """What became of a payload."""

    state: str
    """ok, not_html, binary, undecodable, extraction_failed or empty_text."""
    reason: str | None = None
    """What was found, where the state is not ok; of an ok page, what was mended."""
    text: str | None = None
    """Main content, where the state is ok."""
    charset: str | None = None
    """Encoding that it was read in."""


def extract(payload: bytes, content_type: str | None = None, charset: str | None = None) -> Extracted:
    """The main content of a page.

    Args:
        payload: the HTTP payload, codings undone.
        content_type: media type that the server declared, in lower case.
        charset: encoding that the server declared.
    """
    if refused := _refuse(payload, content_type):
        return refused
    html, encoding, mended = decode(payload, charset)
    page = html.encode()
    if depth := _too_deep(html, page):
        said = f"nested {depth:,} deep in {len(html):,} characters: too long to read"
        return Extracted("extraction_failed", said, charset=encoding)
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
            said = f"{lost:,} of {characters:,} characters are not {encoding}"
            return Extracted("undecodable", said, charset=encoding)
    return Extracted("ok", mended, text, encoding)


def _main_content(html: str, page: bytes) -> str:
    """The main content of a page, given in UTF-8 too; raises what resiliparse raises."""
    from spark_jobs.kernels.html.text import main_content

    text = main_content(page)
    return extract_plain_text(html, main_content=True) if text is None else text


class Extractor:
    """`extract`, which remembers what became of the last payloads, as much as REMEMBERED_BYTES hold."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str | None, int, str | None, str | None], Extracted] = OrderedDict()
        self._held = 0

    def __len__(self) -> int:
        """Payloads that are remembered."""
        return len(self._known)

    def extract(self, payload: bytes, content_type: str | None, charset: str | None, digest: str | None) -> Extracted:
        """What `extract` says of a payload.

        Args:
            digest: of the payload as stored. With what the server declared and the length of the payload as read,
                it tells payloads apart.
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
    """What remembering an outcome takes, at most: four bytes a character, and the key."""
    return 500 + 4 * len(found.text or "")


def _refuse(payload: bytes, content_type: str | None) -> Extracted | None:
    """What a payload is, if not a page."""
    if content_type is not None and content_type not in PAGE_TYPES:
        return Extracted("not_html", content_type)
    looks_like = detect_mime(payload[:SNIFFED_BYTES])
    if content_type is None and not _looks_like_page(payload, looks_like):
        return Extracted("not_html", f"no media type declared; looks like {looks_like}")
    if binary := _binary(payload, looks_like):
        return Extracted("binary", f"{binary}, served as {content_type or 'no type'}")
    return None


def decode(payload: bytes, charset: str | None = None) -> tuple[str, str, str | None]:
    """A page's characters, the encoding they were in, and what had to be mended.

    Valid UTF-8 is UTF-8, whatever is declared. Otherwise a declared encoding that fits nearly every byte is
    believed, and else resiliparse's detection; bytes that do not fit become U+FFFD.

    Args:
        payload: the page.
        charset: encoding that the server declared.
    """
    if payload[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _mended(payload.decode("utf-16", "replace"), "utf-16", None)
    try:
        return payload.removeprefix(codecs.BOM_UTF8).decode(), "utf-8", None
    except UnicodeDecodeError:
        pass
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
    said = [f"declared {declared}, read as {encoding}"] if declared and declared != encoding else []
    said += [f"{lost:,} characters are not {encoding}"] if lost else []
    return html, encoding, "; ".join(said) or None


def _looks_like_page(payload: bytes, looks_like: str) -> bool:
    return looks_like == "text/html" or payload[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"


def _binary(payload: bytes, looks_like: str) -> str | None:
    """The media type of a payload that is no text; None for text."""
    if looks_like != "application/octet-stream":
        return None if looks_like.startswith("text/") or looks_like.endswith(_TEXTUAL) else looks_like
    if payload[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return None
    head = np.frombuffer(payload[:SNIFFED_BYTES], np.uint8)
    controls = int(_CONTROL[head].sum())
    return "application/octet-stream" if controls > CONTROL_SHARE * len(head) else None


def _too_deep(html: str, page: bytes) -> int:
    """How deep `div` and `article` are nested, where that makes extraction too slow; else 0.

    Args:
        html: the page.
        page: the same in UTF-8.
    """
    most = MAX_WORK // max(len(html), 1)
    # Each takes five characters at least, and to look for them takes time.
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
    """How many tags begin as those of `div` and `article` do."""
    data = np.frombuffer(page, np.uint8)
    begun = np.flatnonzero(data[:-2] == ord("<"))
    # In either case of a letter.
    first, second = data[begun + 1] | 0x20, data[begun + 2] | 0x20
    is_div = (first == ord("d")) & (second == ord("i"))
    return int(np.count_nonzero(is_div | (first == ord("a")) & (second == ord("r"))))
