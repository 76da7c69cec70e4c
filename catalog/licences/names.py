"""From a licence's name as people write it to its identifier.

    read_licence("Apache License, Version 2.0").id    # Apache-2.0
    read_licence("https://creativecommons.org/licenses/by-nc/4.0/").terms.commercial    # forbidden
    read_licence("GPL").candidates    # several: the name is ambiguous

A name is never guessed: one that may mean several licences is ambiguous, and has only the terms in which all of these
agree; one that is not known has no terms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache

from catalog.licences.known import (
    AMBIGUOUS,
    CC_VERSIONS,
    LICENCES,
    NOT_STATED,
    UNKNOWN,
    Licence,
    Terms,
    creative_commons_id,
    creative_commons_terms,
)

INHERITED = "as its upstream tables"
"""The licence of a table that adds nothing of its own to what it is made from."""

LONGEST = 300
"""Characters of a name that are looked at; rows of strangers hold whole licence texts in this place."""

_FILLER = re.compile(
    r"\b(?:the|licen[sc]es?d?|version|ver|under|international|unported|generic|agreement|terms)\b|[\"'()]"
)
_GNU = re.compile(r"^(?:gnu )?(a|l)?gpl ?(\d(?:\.\d)?)?( or later| only|\+)?$")
_GNU_WORDS = (
    ("affero general public", "agpl"),
    ("lesser general public", "lgpl"),
    ("library general public", "lgpl"),
    ("general public", "gpl"),
    ("free documentation", "gfdl"),
)
_CC_WORDS = {
    "by": ("by", "attribution"),
    "sa": ("sa", "sharealike", "share alike"),
    "nd": ("nd", "noderivatives", "noderivs", "no derivatives", "no derivs"),
    "nc": ("nc", "noncommercial", "non commercial"),
}
_JURISDICTIONS = {"us", "uk", "de", "fr", "nl", "at", "igo", "cn", "jp"}
_USE_ORDER = ("forbidden", "unknown", "conditional", "allowed")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a name means: one licence (`id`), one of several (`candidates`), or nothing that is known."""

    written: str
    id: str | None
    terms: Terms
    candidates: tuple[str, ...] = ()
    problem: str = ""
    """Why there is no `id`: what the name leaves open, or that it is not known."""

    @property
    def shown(self) -> str:
        """The identifier, or a LicenseRef made of the name."""
        return self.id or reference(self.written)


@cache
def read_licence(name: str | None) -> Reading:
    """The licence that `name` means.

    Args:
        name: a name, an SPDX identifier or expression of identifiers joined by OR, or a URL. None and the empty text
            mean that no licence is stated.

    Example:
        >>> from catalog.licences.names import read_licence
        >>> read_licence("CC BY-SA 4.0").id
        'CC-BY-SA-4.0'
        >>> read_licence("BSD").candidates
        ('BSD-2-Clause', 'BSD-3-Clause', 'BSD-4-Clause')
        >>> read_licence("BSD").terms.words
        'commercial use allowed, attribution'
    """
    written = (name or "").strip()[:LONGEST]
    if not written:
        return Reading(written=written, id=NOT_STATED, terms=UNKNOWN)
    found = _choice(written) or _one(written)
    if found is None and "(" in written:
        # "The MIT License (MIT)": an abbreviation beside the name.
        bare = _one(re.sub(r"\([^()]*\)", " ", written))
        found = replace(bare, written=written) if bare else None
    return found or Reading(written=written, id=None, terms=UNKNOWN, problem="not a licence that the catalog knows")


def read_licences(text: str | None) -> tuple[Reading, ...]:
    """The licences that a text names: all of them apply. A text that is not understood as a whole is one reading.

    Example:
        >>> from catalog.licences.names import read_licences
        >>> [reading.id for reading in read_licences("ODC-BY, CC BY 4.0 and MIT")]
        ['ODC-By-1.0', 'CC-BY-4.0', 'MIT']
    """
    whole = read_licence(text)
    if whole.id or whole.candidates or not text:
        return (whole,)
    parts = [part for part in re.split(r"\s+and\s+|\s*[;,&+]\s*(?:and\s+)?", text.strip(), flags=re.IGNORECASE) if part]
    readings = tuple(read_licence(part) for part in parts)
    understood = len(parts) > 1 and all(each.id or each.candidates for each in readings)
    return tuple(dict.fromkeys(readings)) if understood else (whole,)


def licence_of(identifier: str) -> Licence:
    """The licence with an SPDX identifier or a LicenseRef; unknown terms for one that is not listed."""
    return LICENCES.get(identifier) or Licence(id=identifier, title=identifier, terms=read_licence(identifier).terms)


def reference(name: str) -> str:
    """A `LicenseRef-` made of a name, as SPDX allows it: letters, digits, points and hyphens."""
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:60].strip("-.")
    return name if name.startswith("LicenseRef-") else f"LicenseRef-{plain or 'Not-Stated'}"


def common_terms(many: tuple[Terms, ...]) -> Terms:
    """The terms in which all of `many` agree; what differs is not known."""
    if not many:
        return UNKNOWN
    first = many[0]

    def same(name: str) -> bool:
        return all(getattr(each, name) == getattr(first, name) for each in many)

    return Terms(
        commercial=first.commercial if same("commercial") else "unknown",
        attribution=first.attribution if same("attribution") else None,
        share_alike=first.share_alike if same("share_alike") else None,
        adaptation=first.adaptation if same("adaptation") else None,
    )


def normalised(name: str) -> str:
    """A name without what writers leave out or add: case, hyphens, commas, "the", "license", "version", "v".

    Example:
        >>> from catalog.licences.names import normalised
        >>> normalised("The GNU General Public License v3.0")
        'gnu general public 3.0'
    """
    plain = re.sub(r"[-–—_/,]+", " ", name.casefold().strip().rstrip("."))
    plain = re.sub(r"\bv(?:\. ?)?(?=\d)", " ", plain)
    return " ".join(_FILLER.sub(" ", re.sub(r"(?<=[a-z])v(?=\d)", " ", plain)).split())


@cache
def _by_name() -> dict[str, str]:
    found: dict[str, str] = {}
    for licence in LICENCES.values():
        for name in (licence.id, licence.title, *licence.names):
            key = normalised(name)
            # A test holds that no name means two licences.
            found.setdefault(key, licence.id)
            found.setdefault(key.replace(" ", ""), licence.id)
    return found


def _one(written: str) -> Reading | None:
    name = _without_address(written)
    key = _gnu(normalised(name))
    if key in AMBIGUOUS:
        return _ambiguous(written, *AMBIGUOUS[key])
    plain = normalised(name)
    found = _by_name().get(plain) or _by_name().get(key) or _by_name().get(plain.replace(" ", ""))
    if found:
        return Reading(written=written, id=found, terms=LICENCES[found].terms)
    return _creative_commons(written, plain)


def _ambiguous(written: str, candidates: tuple[str, ...], problem: str) -> Reading:
    known = tuple(LICENCES[each].terms for each in candidates if each in LICENCES)
    return Reading(written=written, id=None, terms=common_terms(known), candidates=candidates, problem=problem)


def _choice(written: str) -> Reading | None:
    """An expression with OR: the terms of the most permissive choice."""
    parts = re.split(r"\s+OR\s+", written.strip("() "))
    readings = [_one(part.strip("() ")) for part in parts]
    if len(parts) < 2 or not all(each and each.id for each in readings):
        return None
    ids = [each.id for each in readings if each and each.id]
    best = max((each.terms for each in readings if each), key=lambda terms: _USE_ORDER.index(terms.commercial))
    return Reading(written=written, id=" OR ".join(ids), terms=best)


def _without_address(written: str) -> str:
    """The name inside a licence's URL; `written` itself if it is none."""
    address = re.sub(r"^https?://(?:www\.)?", "", written.strip(), flags=re.IGNORECASE)
    address = re.sub(r"/(?:legalcode|deed)(?:\.\w+)?/?$|(?:\.html|\.txt|\.php|\.json)$", "", address).rstrip("/")
    for pattern, form in (
        (r"creativecommons\.org/licenses/([a-z-]+)/(\d\.\d)(?:/\w+)?$", r"cc \1 \2"),
        (r"creativecommons\.org/publicdomain/zero/1\.0(?:/\w+)?$", "CC0"),
        (r"creativecommons\.org/publicdomain/mark/1\.0(?:/\w+)?$", "Public Domain"),
        (r"(?:opensource\.org/licenses?|spdx\.org/licenses|choosealicense\.com/licenses)/([\w.+-]+)$", r"\1"),
        (r"apache\.org/licenses/LICENSE-2\.0$", "Apache-2.0"),
        (r"opendatacommons\.org/licenses/([a-z]+)(?:/1[.-]0)?$", r"ODC \1"),
        (r"gnu\.org/licenses/(a?l?gpl)-(\d\.\d)(?:\.en)?$", r"\1-\2"),
        (r"cdla\.dev/(permissive|sharing)-(\d)-(\d)$", r"CDLA \1 \2.\3"),
        (r"nationalarchives\.gov\.uk/doc/open-government-licence/version/3$", "OGL-UK-3.0"),
    ):
        if match := re.match(pattern, address, flags=re.IGNORECASE):
            return match.expand(form)
    return written


def _gnu(plain: str) -> str:
    """The name of one of GNU's licences in one form: `gpl-3.0`, `lgpl-2.1 or later`."""
    for words, short in _GNU_WORDS:
        plain = plain.replace(words, short)
    plain = re.sub(r"\bor (?:any )?(?:later|newer)(?: version)?\b", "or later", plain)
    plain = re.sub(r"\b(a?l?gpl) \1\b", r"\1", plain)
    match = _GNU.match(plain)
    if not match:
        return plain.removeprefix("gnu ")
    kind = f"{match[1] or ''}gpl"
    if not match[2]:
        return kind
    number = match[2] if "." in match[2] else f"{match[2]}.0"
    ending = {"+": " or later", " or later": " or later", " only": " only"}.get(match[3] or "", "")
    return f"{kind} {number}{ending}" if ending else f"{kind}-{number}"


def _creative_commons(written: str, plain: str) -> Reading | None:
    """A Creative Commons licence from its parts and version, in any order and spelling."""
    words = plain.replace("creative commons", "cc").replace("creativecommons", "cc")
    if not re.match(r"cc\b|ccby|by( |$)", words):
        return None
    words = re.sub(r"^ccby", "cc by ", words)
    parts = set()
    for part, spellings in _CC_WORDS.items():
        for spelling in sorted(spellings, key=len, reverse=True):
            if re.search(rf"\b{spelling}\b", words):
                parts.add(part)
                words = re.sub(rf"\b{spelling}\b", " ", words)
    version = next((each for each in CC_VERSIONS if re.search(rf"\b{re.escape(each)}\b", words)), None)
    if version is None and (whole := re.search(r"\b([1-4])\b", words)):
        version, words = f"{whole[1]}.0", words.replace(whole[1], " ", 1)
    left = set((words.replace(version, " ") if version else words).split()) - {"cc"} - _JURISDICTIONS
    if left or "by" not in parts:
        return None
    named = tuple(part for part in ("by", "nc", "sa", "nd") if part in parts)
    if {"sa", "nd"} <= parts:
        return None
    terms = creative_commons_terms(named)
    if version:
        return Reading(written=written, id=creative_commons_id(named, version), terms=terms)
    candidates = tuple(creative_commons_id(named, each) for each in CC_VERSIONS)
    return Reading(written=written, id=None, terms=terms, candidates=candidates, problem="no version")
