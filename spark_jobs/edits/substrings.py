"""Drops lines that contain a phrase, or cuts the phrase out of them.

As in mlfoundations/dclm, baselines/mappers/modifiers.py, substring_line_modifier, whose phrases are regular expressions
("Read more..." finds any three characters behind the words). Python's `re` decides; a kernel selects the lines
that may match.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from catalog.errors import WatershedError
from spark_jobs.measures.base import Edit, Option

if TYPE_CHECKING:
    from spark_jobs.kernels.text_buffers import TextBuffers

LOCATIONS = ("any", "prefix", "suffix")


def drop_substring_lines(
    text: pa.Array,
    *,
    banlist: str | Sequence[str],
    location: str = "any",
    max_words: int | None = None,
    remove_substring_only: bool = False,
    case_sensitive: bool = False,
) -> pa.Array:
    """Drop matching lines, or cut the matches out of them; strip the text.

    Args:
        text: documents.
        banlist: regular expressions; a match includes one white space before it (for a prefix, after it).
        location: where in a line the match must be: any, prefix or suffix.
        max_words: lines of more words (`str.split`) are left as they are.
        remove_substring_only: cut the match; drop the line only if nothing but white space is left.
        case_sensitive: distinguish upper from lower case.

    Raises:
        WatershedError: the banlist is empty, or an entry is not a regular expression.
    """
    from spark_jobs.kernels.cuts import stripped_without
    from spark_jobs.kernels.line_rules import without_blank_lines
    from spark_jobs.kernels.text_buffers import text_buffers

    phrases = (banlist,) if isinstance(banlist, str) else tuple(banlist)
    pattern = line_pattern(phrases, location, case_sensitive)
    if remove_substring_only and (max_words is None or max_words >= 0):
        # A line of white space is dropped, whatever matches.
        text = without_blank_lines(text)
    buffers = text_buffers(text)
    cuts: list[tuple[int, int]] = []
    for line in candidate_lines(buffers, phrases, case_sensitive):
        if max_words is None or len(line.text.split()) <= max_words:
            cuts += _cuts(line, pattern, remove_substring_only)
    return stripped_without(text, buffers, np.array(cuts, np.int64).reshape(-1, 2))


@cache
def line_pattern(phrases: tuple[str, ...], location: str, case_sensitive: bool) -> re.Pattern[str]:
    """The regular expression that DCLM builds from a banlist."""
    if not phrases:
        raise WatershedError("drop_substring_lines: the banlist is empty", "name at least one phrase")
    either = "|".join(phrases if case_sensitive else (phrase.lower() for phrase in phrases))
    written = {"prefix": rf"^(?:{either})\s?", "suffix": rf"\s?(?:{either})$", "any": rf"\s?(?:{either})"}[location]
    try:
        return re.compile(written, 0 if case_sensitive else re.IGNORECASE)
    except re.error as error:
        raise WatershedError(
            f"drop_substring_lines: {either!r} is not a regular expression ({error})",
            "escape special characters with a backslash",
        ) from error


class Line(NamedTuple):
    """A line of one of several documents."""

    text: str
    start: int
    """Its first byte in the data of all documents."""
    stop: int
    """The byte after its newline, if it has one."""


def candidate_lines(buffers: TextBuffers, phrases: tuple[str, ...], case_sensitive: bool) -> Iterator[Line]:
    """Lines that may contain one of the phrases, in order; no other line does."""
    from spark_jobs.kernels.candidates import lines_with

    needles = {_needle(phrase if case_sensitive else phrase.lower()) for phrase in phrases}
    spans = lines_with(buffers, () if "" in needles else tuple(sorted(needles)), case_sensitive)
    ends = buffers.offsets[np.searchsorted(buffers.offsets, spans.starts, side="right")]
    for start, stop, end in zip(spans.starts.tolist(), spans.stops.tolist(), ends.tolist(), strict=True):
        text = buffers.data[start:stop].tobytes().decode(errors="surrogateescape")
        yield Line(text, start, min(stop + 1, end))


def _cuts(line: Line, pattern: re.Pattern[str], remove_substring_only: bool) -> list[tuple[int, int]]:
    """The spans to cut out of a line."""
    if not remove_substring_only:
        return [(line.start, line.stop)] if pattern.search(line.text) else []
    left = pattern.sub("", line.text)
    if not left or left.isspace():
        return [(line.start, line.stop)]
    bounds = [match.span() for match in pattern.finditer(line.text) if match.group()]
    return [(line.start + _size(line.text[:first]), line.start + _size(line.text[:last])) for first, last in bounds]


def _size(text: str) -> int:
    return len(text.encode(errors="surrogateescape"))


def _needle(phrase: str) -> str:
    """The longest literal part of a phrase, which every matching line contains; empty if there is no simple one."""
    if any(sign in phrase for sign in r"\|[](){}?*+^$"):
        return ""
    return max(re.split(r"[^\x00-\x2d\x2f-\x7f]", phrase), key=len)


EDITS = (
    Edit(
        name="drop_substring_lines",
        description="drops lines that hold a phrase, or cuts the phrase out of them",
        options={
            "banlist": Option(kind=tuple, description="phrases, as regular expressions"),
            "location": Option(
                kind=str, description="where in a line a phrase must stand", default="any", choices=LOCATIONS
            ),
            "max_words": Option(kind=int, description="lines of more words stay as they are", default=None),
            "remove_substring_only": Option(kind=bool, description="cut the phrase, not the line", default=False),
            "case_sensitive": Option(kind=bool, description="distinguish upper from lower case", default=False),
        },
        apply=drop_substring_lines,
    ),
)
