"""Repairs rows of the cheatsheet: each rule changes one field, and records what it changed and why.

The rules are for faults that the published file has: spaces, a misspelt key, aliases of categories, dates that a
spreadsheet changed or that hold another column, links in the wrong field, and a primary link to an empty field. A rule
never guesses: what cannot be recovered becomes null, and the repair says so.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from catalog.tables.cheatsheet import LINKS
from catalog.tables.cheatsheet.taxonomy import CATEGORIES, MODALITIES, STAGES
from spark_jobs.cheatsheet.reading import Entry

FREQUENT = "frequently updated"
PRIMARY = {
    "paper": "paper_link",
    "webpage": "website_link",
    "github": "github_link",
    "hugging face object": "huggingface_link",
}
"""The values of `primary_link` in the published file, and the field that each refers to."""
EVERY_MODALITY = ("Text", "Speech", "Vision")
"""The modalities of the cheatsheet, for a row that names "any kind of modality"."""
PLACEHOLDERS = {"name", "apache 2", "mit"}
"""Values of `added_by` that are the title or the licence column of the contribution form."""
SHOWN_CHARACTERS = 200
"""Most characters of a published value in a repair."""
FIELDS = {"name", "description", "modalities", "categories", "date", "primary_link", *LINKS, "added_by", "logo"}


@dataclass(frozen=True, kw_only=True)
class Repair:
    """One change of a field."""

    field: str
    rule: str
    before: str
    after: str
    reason: str
    mend: str = ""
    """What a contributor writes instead."""


@dataclass(kw_only=True)
class Draft:
    """A row after its repairs: the columns of `cheatsheet.resources`."""

    entry: Entry
    name: str
    description: str = ""
    year: int | None = None
    month: int | None = None
    updated_frequently: bool = False
    modalities: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    links: dict[str, str | None] = field(default_factory=dict)
    primary_link: str | None = None
    added_by: str | None = None
    repairs: list[Repair] = field(default_factory=list)

    def record(self, name: str, rule: str, before: object, after: object, reason: str, *, mend: str = "") -> None:
        """Record a repair of the field `name`."""
        shown = [str(value) if value is not None else "" for value in (before, after)]
        before_text, after_text = (
            value if len(value) <= SHOWN_CHARACTERS else f"{value[: SHOWN_CHARACTERS - 3]}..." for value in shown
        )
        self.repairs.append(
            Repair(field=name, rule=rule, before=before_text, after=after_text, reason=reason, mend=mend)
        )


def repaired(entry: Entry) -> Draft:
    """The row after all repairs.

    Example:
        >>> from spark_jobs.cheatsheet.reading import read_entries
        >>> (entry,) = read_entries(b'[{"name": "Lake", "date": "7-1905"}]', "published", "lake.json")
        >>> draft = repaired(entry)
        >>> draft.year is None, draft.repairs[0].rule
        (True, 'key_missing')
    """
    assert entry.fields is not None, entry.rejected
    fields = dict(entry.fields)
    draft = Draft(entry=entry, name=fields["name"])
    _rename_keys(draft, fields)
    draft.name = _text(draft, fields, "name")
    draft.description = _text(draft, fields, "description")
    draft.modalities = _modalities(draft, _list(draft, fields, "modalities"))
    draft.categories = _categories(draft, _list(draft, fields, "categories"))
    kind = _text(draft, fields, "primary_link")
    draft.links = _links(draft, fields)
    stated = PRIMARY.get(kind.lower())
    meant = draft.links[stated] if stated else None
    _misplaced(draft, draft.links, stated)
    _date(draft, _text(draft, fields, "date", collapse=False))
    draft.primary_link = _primary(draft, kind, stated, meant)
    draft.added_by = _added_by(draft, _text(draft, fields, "added_by"))
    return draft


def _rename_keys(draft: Draft, fields: dict[str, Any]) -> None:
    by_lower = {name.lower(): name for name in FIELDS}
    for key in [key for key in fields if key not in FIELDS]:
        right = by_lower.get(key.lower())
        value = fields.pop(key)
        if right is None:
            draft.record(key, "key_unknown", value, None, "no field has this name; it is kept in cheatsheet.raw")
        else:
            draft.record(key, "key_misspelt", key, right, f"the field is called {right}", mend=f"call it {right}")
            fields.setdefault(right, value)
    for key in sorted(FIELDS - set(fields) - {"logo"}):
        draft.record(key, "key_missing", None, None, "the row has no such field", mend=f"add {key}, empty if unknown")


def _text(draft: Draft, fields: Mapping[str, Any], name: str, *, collapse: bool = True) -> str:
    """A field of text, with single spaces and none around it; empty if it is missing or not a text."""
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        draft.record(name, "not_text", value, "", "the value is not a text", mend="write a text")
        return ""
    clean = " ".join(value.split()) if collapse else value.strip()
    if clean != value:
        draft.record(
            name, "spaces", value, clean, "spaces around or repeated within the value", mend="remove the spaces"
        )
    return clean


def _list(draft: Draft, fields: Mapping[str, Any], name: str) -> list[str]:
    value = fields.get(name)
    if isinstance(value, str) and value:
        draft.record(name, "not_list", value, [value], "the value is a text, not a list", mend=f'write ["{value}"]')
        value = [value]
    if value in (None, ""):
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        draft.record(name, "not_list", value, [], "the value is not a list of texts", mend="write a list of texts")
        return []
    return value


def _modalities(draft: Draft, given: list[str]) -> list[str]:
    found: list[str] = []
    known: dict[str, str] = {modality.lower(): modality for modality in MODALITIES}
    for value in given:
        key = value.strip().lower()
        if key in known:
            found.append(known[key])
        elif key.startswith("any"):
            found.extend(EVERY_MODALITY)
            draft.record(
                "modalities",
                "modality_any",
                value,
                ", ".join(EVERY_MODALITY),
                "the cheatsheet lists its three modalities one by one",
                mend=f"write {', '.join(EVERY_MODALITY)}",
            )
        else:
            draft.record(
                "modalities",
                "modality_unknown",
                value,
                None,
                "not a modality",
                mend=f"choose from {', '.join(MODALITIES)}",
            )
    return [modality for modality in MODALITIES if modality in found]


def _folded(name: str) -> str:
    """A name in lower case, with `and` for & and single spaces, for comparison."""
    return " ".join(name.lower().replace("&", " and ").replace(",", " ").split())


_CATEGORY = {_folded(name): category for category in CATEGORIES for name in (category.name, *category.aliases)}
_PREFIXES = tuple(_folded(stage) for stage in STAGES)


def category_of(name: str) -> str | None:
    """The category that a published label stands for; None if there is none.

    Example:
        >>> category_of("Model Evaluation: Risks & Harms"), category_of("LLM GPU energy consumption")
        ('Risks & Harms Evaluation', None)
    """
    prefix, colon, rest = name.partition(":")
    label = rest if colon and _folded(prefix) in _PREFIXES else name
    found = _CATEGORY.get(_folded(label))
    return found.name if found else None


def _categories(draft: Draft, given: list[str]) -> list[str]:
    found: list[str] = []
    for label in given:
        category = category_of(label)
        if category is None:
            draft.record(
                "categories",
                "category_unknown",
                label,
                None,
                "no category has this name",
                mend="choose a category of cheatsheet.categories",
            )
            continue
        if category != label:
            draft.record(
                "categories",
                "category_alias",
                label,
                category,
                "another name of the category, under which the published site does not show the row",
                mend=f"write {category}",
            )
        found.append(category)
    return [category.name for category in CATEGORIES if category.name in found]


def _host(link: str) -> str:
    return (urlsplit(link).hostname or "").removeprefix("www.")


_HOME: dict[str, Callable[[str], bool]] = {
    "github_link": lambda host: host == "github.com",
    "huggingface_link": lambda host: host in ("huggingface.co", "hf.co"),
}
"""Fields whose links lead to one host."""


def _links(draft: Draft, fields: Mapping[str, Any]) -> dict[str, str | None]:
    links: dict[str, str | None] = {}
    for name in LINKS:
        link = _text(draft, fields, name)
        try:
            good = urlsplit(link).scheme in ("http", "https") and "." in _host(link) and " " not in link
        except ValueError:
            good = False
        if link and not good:
            draft.record(name, "not_a_link", link, None, "not an http(s) address", mend="write the whole address")
        links[name] = link if link and good else None
    return links


def _misplaced(draft: Draft, links: dict[str, str | None], stated: str | None) -> None:
    """Move links that stand in the wrong field: those of GitHub or Hugging Face, and the only link of a row.

    Args:
        draft: The row.
        links: Its links by field, which are changed.
        stated: The field that `primary_link` refers to.
    """
    given = [name for name in LINKS if links[name]]
    for name in given:
        link = links[name] or ""
        home = next((other for other, fits in _HOME.items() if fits(_host(link))), None)
        if home == name or (home and links[home]):
            continue
        if home and (name in _HOME or home == stated):
            target, reason = home, "the host of the address is that of another field"
        elif stated and not links[stated] and len(given) == 1 and stated not in _HOME and name not in _HOME:
            target, reason = stated, f"primary_link refers to {stated}, and the row has no other link"
        else:
            continue
        links[target], links[name] = link, None
        draft.record(name, "link_in_wrong_field", link, target, reason, mend=f"move the link to {target}")


_MONTH = re.compile(r"(0?[1-9]|1[0-2])-(\d{4})")
_ARXIV = re.compile(r"https?://(?:www\.)?arxiv\.org/(?:abs|pdf)/(\d\d)(0[1-9]|1[0-2])\.\d{4,5}")
_DATE = "write the month and the year, such as 7-2023, or Frequently Updated"
_FIRST_YEAR = 1990


def _this_year() -> int:
    return datetime.datetime.now(datetime.UTC).year


def _date(draft: Draft, value: str) -> None:
    """Set the date of the draft.

    In a spreadsheet a bare year from 2009 to 2039 becomes a day of July 1905 when its cell has the format of a date:
    the year is taken for a number of days. Which year it was cannot be seen from the month.
    """
    if value.lower() == FREQUENT:
        draft.updated_frequently = True
        return
    if found := _MONTH.fullmatch(value):
        month, year = int(found[1]), int(found[2])
        if _FIRST_YEAR <= year <= _this_year():
            draft.year, draft.month = year, month
            return
        serial = (month, year) == (7, 1905)
        rule = "date_serial" if serial else "date_impossible"
        reason = (
            "a spreadsheet has taken a year from 2009 to 2039 for a number of days since 1900"
            if serial
            else f"the year {year} is before {_FIRST_YEAR} or in the future"
        )
    elif re.fullmatch(r"\d{4}", value) and _FIRST_YEAR <= int(value) <= _this_year():
        draft.year = int(value)
        draft.record("date", "date_without_month", value, value, "only the year is known", mend=_DATE)
        return
    elif not value:
        rule, reason = "date_empty", "the row has no date"
    else:
        rule, reason = "date_prose", "the field does not hold a month and a year"
    after = None
    if paper := _ARXIV.match(draft.links.get("paper_link") or ""):
        draft.year, draft.month = 2000 + int(paper[1]), int(paper[2])
        after = f"{draft.month}-{draft.year}"
        reason += "; the number of the linked arXiv paper gives the month of its first version"
    draft.record("date", rule, value, after, reason, mend=_DATE)


def _primary(draft: Draft, kind: str, stated: str | None, meant: str | None) -> str | None:
    """The link that the row states to be its first, or the first that it has.

    Args:
        draft: The row.
        kind: The published value.
        stated: The field that it refers to.
        meant: The link that stood there.
    """
    if stated and draft.links[stated]:
        return draft.links[stated]
    first = meant or next((link for link in draft.links.values() if link), None)
    if stated is None:
        rule, reason = "primary_unknown", "not a kind of link"
        mend = "choose from Paper, Webpage, GitHub, Hugging Face object"
    else:
        rule, reason, mend = "primary_empty", f"{stated} is empty", f"fill {stated}, or refer to a link that is given"
    used = "the link that stood there is used" if meant else "the first link of the row is used"
    draft.record("primary_link", rule, kind, first, f"{reason}; {used}", mend=mend)
    return first


def _added_by(draft: Draft, value: str) -> str | None:
    if value.lower() in PLACEHOLDERS:
        draft.record(
            "added_by",
            "added_by_shifted",
            value,
            None,
            "the value belongs to another column of the contribution form",
            mend="write who adds the row",
        )
        return None
    return value or None
