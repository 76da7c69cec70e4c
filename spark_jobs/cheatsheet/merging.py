"""Merges rows of one resource.

Two rows are of one resource if their names are equal apart from case, spaces and punctuation, or if they link the same
paper and one name abbreviates the other or repeats at least four fifths of its words. Rows that merely share a
repository or a paper (the variants of HELM, or C4 and mC4) stay apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from catalog.tables.cheatsheet import LINKS
from catalog.tables.cheatsheet.taxonomy import CATEGORIES, MODALITIES
from spark_jobs.cheatsheet.repairing import Draft

SAME_WORDS = 0.8
"""Least Jaccard similarity of two names' words, for rows with the same paper."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource and the rows that it was merged from; the first one names it."""

    resource: str
    """Identifier: the name in lower case, with hyphens."""
    draft: Draft
    """The first row, with what the others add."""
    rows: tuple[tuple[Draft, str], ...]
    """All rows, each with the reason why it is merged into the first; empty for the first itself."""


def slug(name: str) -> str:
    """The identifier of a resource.

    Example:
        >>> slug("AI4Bhārat: Indic NLP ")
        'ai4bharat-indic-nlp'
    """
    joined = re.sub("['’]", "", name)
    plain = unicodedata.normalize("NFKD", joined).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    # A name without a Latin letter keeps its code points, so that two of them stay two.
    return words or "-".join(f"u{ord(letter):x}" for letter in name.strip()[:8])


def merged(drafts: Sequence[Draft]) -> list[Resource]:
    """The resources of all rows, in the order of their first rows.

    Args:
        drafts: Repaired rows; those of the published file first.
    """
    groups: list[list[tuple[Draft, str]]] = []
    for draft in drafts:
        for group in groups:
            reason = _same(group[0][0], draft)
            if reason:
                group.append((draft, reason))
                break
        else:
            groups.append([(draft, "")])
    return _named(groups)


def _named(groups: Iterable[list[tuple[Draft, str]]]) -> list[Resource]:
    taken: set[str] = set()
    resources = []
    for group in groups:
        name = base = slug(group[0][0].name)
        number = 2
        while name in taken:
            name, number = f"{base}-{number}", number + 1
        taken.add(name)
        resources.append(Resource(resource=name, draft=_united([draft for draft, _ in group]), rows=tuple(group)))
    return resources


def _words(name: str) -> list[str]:
    return slug(name).split("-")


def _same(first: Draft, other: Draft) -> str:
    """Why two rows are of one resource; empty if they are not."""
    if "".join(_words(first.name)) == "".join(_words(other.name)):
        alike = first.name == other.name and first.description == other.description and first.links == other.links
        return "an exact duplicate" if alike else "the same name"
    paper = first.links["paper_link"]
    if paper is None or paper != other.links["paper_link"]:
        return ""
    for short, long in ((first.name, other.name), (other.name, first.name)):
        if slug(short) == "".join(word[0] for word in _words(long)):
            return f"the same paper, and {short} abbreviates the name"
    one, two = set(_words(first.name)), set(_words(other.name))
    if len(one & two) / len(one | two) >= SAME_WORDS:
        return "the same paper, and nearly the same name"
    return ""


def _united(drafts: list[Draft]) -> Draft:
    """The first row, with the longest description, the earliest date, and all categories, modalities and links."""
    first = drafts[0]
    dates = [(draft.year, draft.month or 12, draft) for draft in drafts if draft.year is not None]
    dated = min(dates, key=lambda date: date[:2])[2] if dates else first
    return Draft(
        entry=first.entry,
        name=first.name,
        description=max((draft.description for draft in drafts), key=len),
        year=dated.year,
        month=dated.month,
        updated_frequently=any(draft.updated_frequently for draft in drafts),
        modalities=[one for one in MODALITIES if any(one in draft.modalities for draft in drafts)],
        categories=[one.name for one in CATEGORIES if any(one.name in draft.categories for draft in drafts)],
        links={name: next((draft.links[name] for draft in drafts if draft.links[name]), None) for name in LINKS},
        primary_link=next((draft.primary_link for draft in drafts if draft.primary_link), None),
        added_by=next((draft.added_by for draft in drafts if draft.added_by), None),
    )
