"""Document type declarations, and the quirks mode that they determine (WHATWG HTML 13.2.5.53 on, 13.2.6.4.1)."""

# ruff: noqa: PLR0911 (a return for each rule)

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.blocks import find_byte
from spark_jobs.kernels.compiled import inner
from spark_jobs.kernels.html.marks import KINDS, LOWER, SPACE, apart

_GREATER = np.uint8(ord(">"))
_PREFIXES = (
    "+//silmaril//dtd html pro v0r11 19970101//",
    "-//as//dtd html 3.0 aswedit + extensions//",
    "-//advasoft ltd//dtd html 3.0 aswedit + extensions//",
    *(
        f"-//ietf//dtd html {name}//"
        for name in (
            "2.0 level 1", "2.0 level 2", "2.0 strict level 1", "2.0 strict level 2", "2.0 strict", "2.0", "2.1e",
            "3.0", "3.2 final", "3.2", "3", "level 0", "level 1", "level 2", "level 3", "strict level 0",
            "strict level 1", "strict level 2", "strict level 3", "strict",
        )
    ),
    "-//ietf//dtd html//",
    "-//metrius//dtd metrius presentational//",
    *(
        f"-//microsoft//dtd internet explorer {name}//"
        for name in ("2.0 html strict", "2.0 html", "2.0 tables", "3.0 html strict", "3.0 html", "3.0 tables")
    ),
    "-//netscape comm. corp.//dtd html//",
    "-//netscape comm. corp.//dtd strict html//",
    "-//o'reilly and associates//dtd html 2.0//",
    "-//o'reilly and associates//dtd html extended 1.0//",
    "-//o'reilly and associates//dtd html extended relaxed 1.0//",
    "-//sq//dtd html 2.0 hotmetal + extensions//",
    "-//softquad software//dtd hotmetal pro 6.0::19990601::extensions to html 4.0//",
    "-//softquad//dtd hotmetal pro 4.0::19971010::extensions to html 4.0//",
    "-//spyglass//dtd html 2.0 extended//",
    "-//sun microsystems corp.//dtd hotjava html//",
    "-//sun microsystems corp.//dtd hotjava strict html//",
    *(
        f"-//w3c//dtd html {name}//"
        for name in (
            "3 1995-03-24", "3.2 draft", "3.2 final", "3.2", "3.2s draft", "4.0 frameset", "4.0 transitional",
            "experimental 19960712", "experimental 970421",
        )
    ),
    "-//w3c//dtd w3 html//",
    "-//w3o//dtd w3 html 3.0//",
    "-//webtechs//dtd mozilla html 2.0//",
    "-//webtechs//dtd mozilla html//",
)  # fmt: skip
_WHOLE = ("-//w3o//dtd w3 html strict 3.0//en//", "-/w3c/dtd html 4.0 transitional/en", "html")
_NO_SYSTEM = ("-//w3c//dtd html 4.01 frameset//", "-//w3c//dtd html 4.01 transitional//")
_SYSTEM = ("http://www.ibm.com/data/dtd/v11/ibmxhtml1-transitional.dtd",)


def _joined(names: tuple[str, ...]) -> np.ndarray:
    """Names, each preceded by its length in a byte, and a final zero."""
    return np.frombuffer(b"".join(bytes([len(name)]) + name.encode() for name in names) + b"\0", np.uint8)


_PREFIX_BYTES, _WHOLE_BYTES, _NO_SYSTEM_BYTES, _SYSTEM_BYTES = map(_joined, (_PREFIXES, _WHOLE, _NO_SYSTEM, _SYSTEM))
_HTML_BYTES, _PUBLIC_BYTES, _SYSTEM_WORD = map(_joined, (("html",), ("public",), ("system",)))


@inner
def _is_among(page, start, stop, names, whole):
    """Whether `page[start:stop]` equals one of the names, or begins with one unless `whole`, in any case."""
    apart()
    at = 0
    while names[at]:
        size = np.int64(names[at])
        if stop - start >= size and (not whole or stop - start == size):
            matched = 0
            while matched < size and LOWER[page[start + matched]] == names[at + 1 + matched]:
                matched += 1
            if matched == size:
                return True
        at += 1 + size
    return False


@inner
def _skip_space(page, position, end):
    while position < end and KINDS[page[position]] & SPACE:
        position += 1
    return position


@inner
def _quoted(page, position, end):
    """Start and end of a quoted string; -1 if it is missing or malformed."""
    position = _skip_space(page, position, end)
    if position >= end or page[position] not in (0x22, 0x27):
        return -1, -1
    stop = find_byte(page, position + 1, end, page[position])
    return (position + 1, stop) if stop < end else (-1, -1)


@inner
def read_doctype(page, position, end):
    """Read a declaration whose `<!DOCTYPE` ends at `position`.

    Returns:
        the position after it, or -1 if it is malformed, and whether pages of its type are read in quirks mode.
    """
    apart()
    stop = find_byte(page, position, end, _GREATER)
    if stop >= end:
        return -1, False
    position = _skip_space(page, position, stop)
    first = position
    while position < stop and not KINDS[page[position]] & SPACE:
        position += 1
    is_html = _is_among(page, first, position, _HTML_BYTES, True)
    position = _skip_space(page, position, stop)
    if position == stop:
        return stop + 1, not is_html
    if not is_html:
        return -1, False
    word = position + 6
    if word > stop:
        return -1, False
    if _is_among(page, position, word, _SYSTEM_WORD, True):
        start, position = _quoted(page, word, stop)
        if start < 0 or _skip_space(page, position + 1, stop) != stop:
            return -1, False
        return stop + 1, _is_among(page, start, position, _SYSTEM_BYTES, True)
    if not _is_among(page, position, word, _PUBLIC_BYTES, True):
        return -1, False
    first, last = _quoted(page, word, stop)
    if first < 0:
        return -1, False
    quirks = _is_among(page, first, last, _PREFIX_BYTES, False) or _is_among(page, first, last, _WHOLE_BYTES, True)
    position = _skip_space(page, last + 1, stop)
    if position == stop:
        return stop + 1, quirks or _is_among(page, first, last, _NO_SYSTEM_BYTES, False)
    start, position = _quoted(page, position, stop)
    if start < 0 or _skip_space(page, position + 1, stop) != stop:
        return -1, False
    return stop + 1, quirks or _is_among(page, start, position, _SYSTEM_BYTES, True)
