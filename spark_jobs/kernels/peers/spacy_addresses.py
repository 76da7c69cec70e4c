"""Web, host and e-mail addresses, each of which is one word, by spaCy's url_match (lang/tokenizer_exceptions.py)."""

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.blocks import find_byte
from spark_jobs.kernels.compiled import inner
from spark_jobs.kernels.english_tables import LOWER, WORD
from spark_jobs.kernels.hashing import load_few
from spark_jobs.kernels.inlined import inlined
from spark_jobs.kernels.peers.spacy_affixes import is_digit
from spark_jobs.kernels.words import decode

_PLUS, _HYPHEN, _DOT, _COLON, _SLASH, _AT, _QUESTION, _HASH, _UNDERSCORE = (ord(character) for character in "+-.:/@?#_")
_COLON_SLASHES = np.uint64(int.from_bytes(b"://", "little"))


@inlined
def is_address(data, start, stop, classes):
    """Whether a string is a URL, a host name, an e-mail address or an IP address, as spaCy's url_match defines them."""
    if find_byte(data, start, stop, np.uint8(_DOT)) == stop:
        return False
    if _is_host(data, start, stop, classes):
        return True
    colon, characters = _scheme(data, start, stop, classes)
    has_scheme = characters >= 2 and colon + 3 < stop and load_few(data, colon, 3) == _COLON_SLASHES
    if has_scheme and _is_host(data, colon + 3, stop, classes):
        return True
    for position in range(start + 1, stop - 1):
        if data[position] == _AT and _is_host(data, position + 1, stop, classes):
            return True
    return False


@inner
def _scheme(data, start, stop, classes):
    """The position after the characters that may be a scheme (`[\\w+.-]`), and their number."""
    position = start
    characters = 0
    while position < stop:
        code_point, size = decode(data, position, stop)
        if not classes[code_point] & WORD and code_point not in (_PLUS, _HYPHEN, _DOT):
            break
        position += size
        characters += 1
    return position, characters


@inner
def _is_of_label(code_point):
    """Whether a character may begin or end a label of a host name: 0-9, A-Z, a-z, and U+00A1 to U+FFFF."""
    is_letter = 0x61 <= (code_point | 0x20) <= 0x7A
    return is_letter or 0x30 <= code_point <= 0x39 or 0xA1 <= code_point <= 0xFFFF


@inner
def _is_host(data, start, stop, classes):
    """Whether a string is a host name or IP address, optionally followed by a port and a path."""
    position = start
    labels = label_characters = 0
    host = lower = True
    last = 0
    while position < stop:
        code_point, size = decode(data, position, stop)
        kind = classes[code_point]
        if code_point == _DOT:
            if not (host and 1 <= label_characters <= 64 and _is_of_label(last)):
                return False
            labels += 1
            label_characters, lower = 0, True
        elif kind & LOWER or _is_of_label(code_point) or (code_point in (_HYPHEN, _UNDERSCORE) and label_characters):
            label_characters += 1
            lower &= (kind & LOWER) != 0
            # Lower-case letters above U+FFFF may occur in the last label of a host name only.
            host &= code_point <= 0xFFFF
        else:
            break
        last = code_point
        position += size
    if labels and lower and 2 <= label_characters <= 63:
        return _is_port_or_path(data, position, stop)
    address = _after_ip_address(data, start, stop)
    return address > start and _is_port_or_path(data, address, stop)


@inner
def _is_port_or_path(data, position, stop):
    if position < stop and data[position] == _COLON:
        digits = 0
        while position + 1 + digits < stop and is_digit(data[position + 1 + digits]):
            digits += 1
        if not 2 <= digits <= 5:
            return False
        position += 1 + digits
    return position == stop or data[position] in (_SLASH, _QUESTION, _HASH)


@inner
def _after_ip_address(data, start, stop):
    """The position after a public IPv4 address that begins at `start`; `start` if there is none."""
    position = start
    first = second = 0
    for octet in range(4):
        digits = value = 0
        begin = position
        while position < stop and digits < 4 and is_digit(data[position]):
            value = 10 * value + data[position] - 0x30
            digits += 1
            position += 1
        leading_zero = data[begin] == 0x30
        highest = 223 if octet == 0 else 254 if octet == 3 else 255
        if not 1 <= digits <= 3 or value > highest or (octet in (0, 3) and leading_zero):
            return start
        first = value if octet == 0 else first
        second = value if octet == 1 else second
        if octet < 3:
            if position == stop or data[position] != _DOT:
                return start
            position += 1
    private = first in (10, 127) or (first == 169 and second == 254) or (first == 192 and second == 168)
    return start if private or (first == 172 and 16 <= second <= 31) else position
