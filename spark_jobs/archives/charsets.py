"""Encodings whose bytes can all be those of ASCII: UTF-16 and ISO-2022-JP (WHATWG Encoding Standard)."""

from __future__ import annotations

import re

SNIFFED_BYTES = 8192
"""Bytes at the beginning of a page in which the byte order of UTF-16 shows."""

_MARKS = (b"\xff\xfe", b"\xfe\xff")
_UTF_16_LABELS = frozenset(
    ("utf-16", "utf-16be", "utf-16le", "unicode", "unicodefeff", "unicodefffe", "csunicode", "ucs-2", "iso-10646-ucs-2")
)
_ESCAPE = re.compile(rb"\x1b(\([BJI]|\$[@B])")
_ASCII, _ROMAN, _KATAKANA = b"(B", b"(J", b"(I"
_SHIFT_TO_KANJI = (b"\x1b$B", b"\x1b$@")


def utf16(payload: bytes, charset: str | None) -> str | None:
    """The UTF-16 encoding of a page, by its byte order mark or by what the server declared; None for another encoding.

    A declaration without a byte order mark is believed if the page's markup is UTF-16. The byte order is that of the
    markup, because servers that declare the wrong one are more common than pages that are to be read in it.

    Args:
        payload: the page.
        charset: encoding that the server declared. A page cannot declare UTF-16 itself: its declaration could be read
            only by a reader that knows it already.
    """
    if payload.startswith(_MARKS):
        return "utf-16"
    if charset is None or charset.strip().lower() not in _UTF_16_LABELS:
        return None
    units = memoryview(payload[: SNIFFED_BYTES & ~1])
    big, little = (bytes(units[first::2]) for first in (0, 1))
    if _is_markup(zeros=big, letters=little):
        return "utf-16-be"
    return "utf-16-le" if _is_markup(zeros=little, letters=big) else None


def _is_markup(zeros: bytes, letters: bytes) -> bool:
    """Whether an opening bracket occurs among the low bytes of characters whose high bytes are zero."""
    at = letters.find(b"<")
    while at >= 0:
        if zeros[at : at + 1] == b"\0":
            return True
        at = letters.find(b"<", at + 1)
    return False


def is_iso_2022_jp(payload: bytes) -> bool:
    """Whether a page switches to the Japanese character set of ISO-2022-JP, which text in no other encoding does."""
    return any(shift in payload for shift in _SHIFT_TO_KANJI) and payload.isascii()


def decode_iso_2022_jp(payload: bytes) -> str:
    """The characters of ISO-2022-JP, with the characters that NEC and IBM added to JIS X 0208, as browsers read them.

    A byte that is not part of a character becomes U+FFFD.
    """
    pieces = _ESCAPE.split(payload)
    text = [pieces[0].decode("ascii", "replace")]
    for escape, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        if escape == _ASCII:
            text.append(piece.decode("ascii", "replace"))
        elif escape == _ROMAN:
            text.append(piece.decode("ascii", "replace").translate({0x5C: "¥", 0x7E: "‾"}))
        elif escape == _KATAKANA:
            text.append(
                bytes(byte | 0x80 if 0x21 <= byte <= 0x5F else byte for byte in piece).decode("cp932", "replace")
            )
        else:
            text.append(_kanji(piece))
    return "".join(text)


def _kanji(piece: bytes) -> str:
    """Characters of JIS X 0208 by row and cell, decoded as Shift_JIS, which holds the same characters."""
    shifted = bytearray()
    at = 0
    while at < len(piece):
        row, cell = piece[at] - 0x21, (piece[at + 1] - 0x21 if at + 1 < len(piece) else -1)
        if 0 <= row < 94 and 0 <= cell < 94:
            first = 0x81 + row // 2
            second = cell + (0x9F if row % 2 else 0x40 if cell < 63 else 0x41)
            shifted += bytes((first + (0x40 if first > 0x9F else 0), second))
            at += 2
        else:
            # A line end belongs to no character; a writer should switch back to ASCII before it, and some do not.
            shifted.append(piece[at])
            at += 1
    return shifted.decode("cp932", "replace")
