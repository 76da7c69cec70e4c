"""Where a regular expression may match: lines that contain a required word, stretches around a required character.

Python's regular expressions read about ten megabytes a second. Most matches contain some word or character that is
rare, so kernels find these places, and the expression is applied only there.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spark_jobs.kernels.blocks import between64, equal64, find_byte, first_one, low_bits
from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.cuts import Spans, find_spans
from spark_jobs.kernels.text_buffers import TextBuffers

_NEWLINE = np.uint8(0x0A)
_ONE = np.uint64(1)
_BY_FREQUENCY = " etaoinsrhldcumfpgwybvkxjqz"
"""Letters of English, the most frequent first; other characters are rarer."""
# İ, ı, ſ and the Kelvin sign are other cases of i, s and k.
_OTHER_CASES = ("\u0130", "\u0131", "\u017f", "\u212a")


def lines_with(buffers: TextBuffers, words: Sequence[str], case_sensitive: bool) -> Spans:
    """Lines, without their newlines, that contain one of some ASCII words; all lines if `words` is empty.

    Args:
        buffers: the documents.
        words: in lower case unless `case_sensitive`.
        case_sensitive: if false, the result may include lines that contain none of the words in any case.
    """
    if not words:
        return find_spans(buffers, _find_all_lines)
    if not case_sensitive:
        words = (*words, *_OTHER_CASES)
    found = [find_spans(buffers, _find_lines_with, *_needle(word, case_sensitive)) for word in words]
    starts, first = np.unique(np.concatenate([spans.starts for spans in found]), return_index=True)
    return Spans(starts, np.concatenate([spans.stops for spans in found])[first])


def stretches_with(buffers: TextBuffers, signs: str, within: str, least: int) -> Spans:
    """The longest stretches of ASCII characters from `within` that contain at least `least` signs.

    Args:
        buffers: the documents.
        signs: the lowest and the highest character of the range of signs.
        within: all characters that a stretch may hold, signs included.
        least: smallest number of signs.
    """
    members = np.zeros(256, bool)
    members[[ord(character) for character in within]] = True
    low, high = np.uint8(ord(signs[0])), np.uint8(ord(signs[-1]))
    return find_spans(buffers, _find_stretches, low, high, members, least)


def _needle(word: str, case_sensitive: bool) -> tuple[np.ndarray, np.ndarray, int, int]:
    """The word in lower and in upper case, and the indices of its two rarest letters."""
    lower = word.encode()
    upper = lower if case_sensitive else lower.upper()
    by_rarity = sorted(range(len(word)), key=lambda i: -(_BY_FREQUENCY.find(word[i].lower()) % 99))
    places = sorted((by_rarity * 2)[:2]) if word.isascii() else [0, len(lower) - 1]
    return np.frombuffer(lower, np.uint8), np.frombuffer(upper, np.uint8), places[0], places[-1]


@entry
def _find_lines_with(data, offsets, first, last, valid, starts, stops, count, lower, upper, one, other):
    for document in range(first, last):
        start, end = offsets[document], offsets[document + 1]
        if not valid[document]:
            continue
        size = len(lower)
        position = start
        while position + size <= end:
            places = low_bits(end - size + 1 - position)
            places &= equal64(data, position + one, lower[one]) | equal64(data, position + one, upper[one])
            if places:
                places &= equal64(data, position + other, lower[other]) | equal64(data, position + other, upper[other])
            following = position + 64
            while places:
                place = position + first_one(places)
                places &= places - _ONE
                if _stands(data, place, lower, upper):
                    starts[count] = _first_of_line(data, start, place)
                    stops[count] = following = find_byte(data, place + 1, end, _NEWLINE)
                    count += 1
                    break
            position = following
    return count


@inner
def _stands(data, position, lower, upper):
    same = 0
    while same < len(lower) and (data[position + same] == lower[same] or data[position + same] == upper[same]):
        same += 1
    return same == len(lower)


@inner
def _first_of_line(data, start, position):
    while position > start and data[position - 1] != _NEWLINE:
        position -= 1
    return position


@entry
def _find_all_lines(data, offsets, first, last, valid, starts, stops, count):
    for document in range(first, last):
        position, end = offsets[document], offsets[document + 1]
        while valid[document] and position < end:
            starts[count] = position
            stops[count] = find_byte(data, position, end, _NEWLINE)
            position = stops[count] + 1
            count += stops[count] > starts[count]
    return count


@entry
def _find_stretches(data, offsets, first, last, valid, starts, stops, count, low, high, members, least):
    for document in range(first, last):
        position = start = offsets[document]
        end = offsets[document + 1]
        while valid[document] and position < end:
            signs = between64(data, position, low, high) & low_bits(end - position)
            if not signs:
                position += 64
                continue
            left = right = position + first_one(signs)
            while left > start and members[data[left - 1]]:
                left -= 1
            found = 0
            while right < end and members[data[right]]:
                found += low <= data[right] <= high
                right += 1
            if found >= least:
                starts[count], stops[count] = left, right
                count += 1
            position = right
    return count
