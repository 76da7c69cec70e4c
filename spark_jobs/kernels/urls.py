"""Removal of web addresses from text, with a host name or an IPv4 address, as DCLM's regular expressions match them.

The expressions are those of url_removal_modifier (mlfoundations/dclm, baselines/mappers/modifiers.py). The first
matches up to ten characters of white space, an optional scheme, a host name of up to 256 characters that ends in a
top-level domain at the end of a word, and all characters of a path. The second matches four numbers with dots between
them in place of the host name. A path may contain every character of a host name, so an address ends at the same
position whichever top-level domain the expression takes. No backtracking is therefore needed.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from spark_jobs.kernels.blocks import between64, equal64, first_one, low_bits
from spark_jobs.kernels.character_kinds import SPACE, WORD, kinds
from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.cuts import before, edited
from spark_jobs.kernels.hashing import hash_bytes, load64, load_few
from spark_jobs.kernels.text_buffers import TextBuffers, text_buffers
from spark_jobs.kernels.words import decode

_HOST, _PATH, _NAME, _DIGIT = 1, 2, 4, 8
"""Classes of bytes: characters of a host name, characters of a path, ASCII `\\w`, and ASCII digits."""
_LONGEST_HOST = 256
_MOST_SPACES = 10
_SLOTS = 1 << 13
"""Number of slots of the hash table of domains; several times the number of domains."""
_HEAD = 96
"""Number of bytes that is enough for the longest domain."""
_SEED = np.uint64(0)
_ONE = np.uint64(1)
_DOT, _a, _z = (np.uint8(ord(character)) for character in ".az")
_0, _2, _9 = (np.uint8(ord(character)) for character in "029")
_HTTP, _HTTPS, _FTP = (np.uint64(int.from_bytes(scheme, "little")) for scheme in (b"http://", b"https://", b"ftp://"))


def _classes() -> np.ndarray:
    classes = np.zeros(256, np.uint8)
    for byte in range(128):
        character = chr(byte)
        is_name = character.isalnum() or character == "_"
        classes[byte] |= _HOST if is_name or character in "-@:%.+~#=" else 0
        classes[byte] |= _PATH if is_name or character in "-()@:%+.~#?&/=" else 0
        classes[byte] |= _NAME if is_name else 0
        classes[byte] |= _DIGIT if character.isdecimal() else 0
    return classes


_CLASSES = _classes()


class Domains(NamedTuple):
    """Top-level domains, in tables for kernels."""

    names: tuple[str, ...]
    slots: np.ndarray
    """uint64, a hash table of the ASCII domains; 0 in an empty slot."""
    foreign: np.ndarray
    """uint8, the bytes of the other domains, one after another, longer ones first."""
    bounds: np.ndarray
    """int64, the start of each of the other domains, and the end of the last."""


@functools.cache
def domains_of(names: tuple[str, ...]) -> Domains:
    """Build the tables of a list of top-level domains, given in lower case and without a leading dot."""
    encoded = sorted((name.encode() for name in names), key=len, reverse=True)
    foreign = [name for name in encoded if not name.isascii()]
    slots = np.zeros(_SLOTS, np.uint64)
    for name in encoded:
        if name.isascii():
            _insert(np.frombuffer(name + bytes(64), np.uint8), len(name), slots)
    bounds = np.cumsum([0, *map(len, foreign)])
    # Kernels may read BLOCK more bytes after their data.
    return Domains(names, slots, np.frombuffer(b"".join(foreign) + bytes(64), np.uint8), bounds)


def without_urls(text: pa.Array, domains: Domains) -> pa.Array:
    """Remove addresses whose host name ends in one of the domains, written in lower case."""
    return edited(text, _find_urls, _all(len(text)), *_tables(domains))


def without_urls_where_begun(text: pa.Array, domains: Domains) -> pa.Array:
    """The same as `without_urls`, but only for texts that begin with a domain, in any case, as in DCLM's code."""
    begun = begins_with_domain(text, domains)
    return edited(text, _find_urls, begun, *_tables(domains))


def without_ipv4(text: pa.Array) -> pa.Array:
    """Remove addresses whose host is four numbers of up to three digits; the first of three digits must be 0 to 2."""
    return edited(text, _find_ipv4, _CLASSES, kinds())


def begins_with_domain(text: pa.Array, domains: Domains) -> np.ndarray:
    """Whether each text begins with a top-level domain, in any case (bool, one value per document)."""
    buffers = text_buffers(text)
    found = np.zeros(len(buffers), np.uint8)
    head = np.zeros(2 * _HEAD, np.uint8)
    for data, offsets, first, last in buffers.parts():
        _find_beginnings(data, offsets, first, last, buffers.valid, domains.slots, head, found)
    for document in np.flatnonzero(found == 2):
        found[document] = _begins_foreign(buffers, int(document), domains.names)
    return found.astype(bool)


def _begins_foreign(buffers: TextBuffers, document: int, names: tuple[str, ...]) -> bool:
    start, end = (int(offset) for offset in buffers.offsets[document : document + 2])
    head = buffers.data[start : min(start + _HEAD, end)].tobytes().decode(errors="replace")
    return _beginnings(names).match(head) is not None


@functools.cache
def _beginnings(names: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, names)), re.IGNORECASE)


def _all(documents: int) -> np.ndarray:
    return np.ones(documents, bool)


def _tables(domains: Domains) -> tuple[np.ndarray, ...]:
    return _CLASSES, kinds(), domains.slots, domains.foreign, domains.bounds


@entry
def _insert(name, size, slots):
    key = hash_bytes(name, 0, size, _SEED)
    slot = np.int64(key & np.uint64(_SLOTS - 1))
    while slots[slot]:
        slot = (slot + 1) % _SLOTS
    slots[slot] = key


@inner
def _is_domain(data, start, stop, slots):
    key = hash_bytes(data, start, stop, _SEED)
    slot = np.int64(key & np.uint64(_SLOTS - 1))
    while slots[slot]:
        if slots[slot] == key:
            return True
        slot = (slot + 1) % _SLOTS
    return False


@entry
def _find_beginnings(data, offsets, first, last, valid, slots, head, found):
    """Write 1 if a text begins with an ASCII domain, and 2 if characters that are not ASCII have to be examined."""
    for document in range(first, last):
        start, end = offsets[document], offsets[document + 1]
        if not valid[document]:
            continue
        size = min(end - start, np.int64(_HEAD))
        for i in range(size):
            byte = data[start + i]
            if byte >= 0x80:
                found[document] = 2
                size = i
                break
            head[i] = byte | np.uint8(0x20) if 0x41 <= byte <= 0x5A else byte
        for i in range(2, size + 1):
            if not _CLASSES[head[i - 1]] & _NAME:
                break
            if _is_domain(head, 0, i, slots):
                found[document] = 1
                break


@entry
def _find_urls(data, offsets, first, last, valid, starts, stops, count, wanted, classes, kinds, slots, foreign, bounds):
    for document in range(first, last):
        start, end = offsets[document], offsets[document + 1]
        if not (valid[document] and wanted[document]):
            continue
        done = position = start
        while position < end:
            # The byte after the block is unknown.
            following = between64(data, position, _a, _z) | between64(data, position, np.uint8(0x80), np.uint8(0xFF))
            dots = equal64(data, position, _DOT) & low_bits(end - position)
            dots &= following >> _ONE | _ONE << np.uint64(63)
            while dots:
                dot = position + first_one(dots)
                dots &= dots - _ONE
                if dot <= done or not classes[data[dot - 1]] & _HOST:
                    continue
                stop = _behind_domain(data, dot + 1, end, classes, kinds, slots, foreign, bounds)
                if stop:
                    host = _first_of_host(data, dot, done, classes)
                    stop = _behind_last_domain(data, host, dot, stop, end, classes, kinds, foreign, bounds)
                    starts[count] = _first_of_url(data, host, done, classes, kinds)
                    while stop < end and classes[data[stop]] & _PATH:
                        stop += 1
                    stops[count] = done = stop
                    count += 1
            position = max(position + 64, done)
    return count


@inner
def _behind_domain(data, position, end, classes, kinds, slots, foreign, bounds):
    """The position after a top-level domain that begins at `position` and ends at a word's end; 0 if there is none."""
    stop = position
    while stop < end and classes[data[stop]] & _NAME:
        stop += 1
    if stop < end and data[stop] >= 0x80:
        code_point, _ = decode(data, stop, end)
        if stop == position or kinds[code_point] & WORD:
            return _behind_foreign_domain(data, position, end, kinds, foreign, bounds)
    return stop if stop > position and _is_domain(data, position, stop, slots) else 0


@inner
def _behind_foreign_domain(data, position, end, kinds, foreign, bounds):
    for i in range(len(bounds) - 1):
        size = bounds[i + 1] - bounds[i]
        stop = position + size
        if stop > end:
            continue
        same = 0
        while same < size and data[position + same] == foreign[bounds[i] + same]:
            same += 1
        if same == size:
            last, _ = decode(data, before(data, position, stop), stop)
            ends_in_word = kinds[last] & WORD
            goes_on = 0
            if stop < end:
                code_point, _ = decode(data, stop, end)
                goes_on = kinds[code_point] & WORD
            if ends_in_word != goes_on:
                return stop
    return 0


@inner
def _first_of_host(data, dot, done, classes):
    host = dot
    least = max(done, dot - _LONGEST_HOST)
    while host > least and classes[data[host - 1]] & _HOST:
        host -= 1
    return host


@inner
def _behind_last_domain(data, host, dot, stop, end, classes, kinds, foreign, bounds):
    """The end of the domain that a greedy match takes: the last domain of the host if it is not ASCII; else `stop`."""
    run = dot
    while run < end and classes[data[run]] & _HOST:
        run += 1
    if run < end and data[run] >= 0x80 and data[run - 1] == _DOT and run - 1 - host <= _LONGEST_HOST:
        last = _behind_foreign_domain(data, run, end, kinds, foreign, bounds)
        return last if last else stop
    return stop


@inner
def _first_of_url(data, host, done, classes, kinds):
    """The start of an address, including its scheme and the white space before it."""
    if host > done and classes[data[host - 1]] & _HOST:
        # The host has its greatest length, so neither a scheme nor white space precedes it.
        return host
    return _before_spaces(data, _before_scheme(data, host, done), done, kinds)


@inner
def _before_scheme(data, host, done):
    if host - done >= 7 and load_few(data, host - 7, 7) == _HTTP:
        return host - 7
    if host - done >= 8 and load64(data, host - 8) == _HTTPS:
        return host - 8
    if host - done >= 6 and load_few(data, host - 6, 6) == _FTP:
        return host - 6
    return host


@inner
def _before_spaces(data, position, done, kinds):
    for _space in range(_MOST_SPACES):
        if position <= done:
            break
        last = before(data, done, position)
        code_point, _ = decode(data, last, position)
        if not kinds[code_point] & SPACE:
            break
        position = last
    return position


@entry
def _find_ipv4(data, offsets, first, last, valid, starts, stops, count, classes, kinds):
    for document in range(first, last):
        start, end = offsets[document], offsets[document + 1]
        if not valid[document]:
            continue
        done = position = start
        while position < end:
            digits = between64(data, position, _0, _9)
            dots = equal64(data, position, _DOT) & low_bits(end - position)
            # The bytes before and after the block are unknown.
            dots &= digits << _ONE | _ONE
            dots &= digits >> _ONE | _ONE << np.uint64(63)
            while dots:
                dot = position + first_one(dots)
                dots &= dots - _ONE
                number = _first_of_number(data, dot, done, classes)
                stop = _behind_numbers(data, number, dot, end, classes)
                if stop and not _is_in_word(data, number, done, kinds):
                    begin = _before_scheme(data, number, done)
                    begin = number if _is_in_word(data, begin, done, kinds) else begin
                    starts[count] = _before_spaces(data, begin, done, kinds)
                    while stop < end and classes[data[stop]] & _PATH:
                        stop += 1
                    stops[count] = done = stop
                    count += 1
            position = max(position + 64, done)
    return count


@inner
def _is_in_word(data, position, done, kinds):
    """Whether the character before a position is a word character."""
    if position <= done:
        return False
    code_point, _ = decode(data, before(data, done, position), position)
    return (kinds[code_point] & WORD) != 0


@inner
def _first_of_number(data, dot, done, classes):
    number = dot
    while number > done and dot - number < 3 and classes[data[number - 1]] & _DIGIT:
        number -= 1
    return number


@inner
def _behind_numbers(data, number, dot, end, classes):
    """The position after the first digit of the fourth of four numbers, the first of which ends at `dot`; else 0."""
    for i in range(3):
        if dot <= number or dot - number > 3 or (dot - number == 3 and data[number] > _2):
            return 0
        number = dot + 1
        dot = number
        while dot < end and dot - number < 4 and classes[data[dot]] & _DIGIT:
            dot += 1
        if i < 2 and not (dot < end and data[dot] == _DOT):
            return 0
    return number + 1 if dot > number else 0
