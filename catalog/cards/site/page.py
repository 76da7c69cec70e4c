"""A page of the site, its frame, and the lists with filters that pages may hold.

Families make pages of these parts without the site knowing them: see `catalog.family.Family.site`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from catalog.cards.site.html import Markup, join, tag, text

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Cpath "
    "d='M16 3c5 7 9 11 9 16a9 9 0 0 1-18 0c0-5 4-9 9-16z' fill='%231f7a8c'/%3E%3C/svg%3E"
)
DROP = Markup(
    '<svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">'
    '<path d="M16 3c5 7 9 11 9 16a9 9 0 0 1-18 0c0-5 4-9 9-16z"/></svg>'
)
POLICY = "connect-src 'none'; form-action 'none'; frame-src 'none'; object-src 'none'; base-uri 'none'; img-src data:"
"""Content Security Policy: a page asks nobody for anything."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Something that search finds. `address` is relative to the root of the site."""

    title: str
    words: str
    kind: str
    address: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page with a heading of its own."""

    title: str
    body: Markup
    note: str = ""
    """A sentence under the heading."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One item of a list with filters."""

    title: str
    address: str
    words: str
    """Sentence under the title."""
    facts: tuple[str, ...] = ()
    """Short facts beside it."""
    facets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Its values of each filter."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of the site."""

    path: str
    """Its file, relative to the root of the site: `cheatsheet/index.html`."""
    title: str
    lead: str
    """One or two sentences under the title."""
    sections: tuple[Section, ...]
    above: Markup | None = None
    """What stands between the lead and the sections."""
    crumbs: tuple[tuple[str, str], ...] = ()
    """The pages above this one: title and address, relative to the root of the site."""
    menu: str = ""
    """The name of the page in the menu of every page; empty for a page that is not in it."""
    entries: tuple[Entry, ...] = ()
    lists: Mapping[str, Sequence[Item]] = field(default_factory=dict)
    """Items of the page's lists (`filter_list`), by the name of the list. They lie in a file beside the page."""

    @property
    def root(self) -> str:
        """The way from the page to the root of the site."""
        return "../" * self.path.count("/")

    @property
    def data_file(self) -> str:
        """The file of the page's lists."""
        return f"{self.path.removesuffix('.html')}.data.js"


def frame(page: Page, menu: Sequence[tuple[str, str]], footer: str) -> str:
    """The whole HTML of a page.

    Args:
        menu: the name and the address of every page of the menu, relative to the root of the site.
        footer: the last line of every page.
    """
    root = page.root
    data = page.data_file.rsplit("/", 1)[-1] if page.lists else None
    head = join(
        (
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
            tag("meta", name="referrer", content="no-referrer"),
            tag("title", f"{page.title} · Watershed"),
            tag("meta", name="description", content=page.lead),
            Markup(f'<link rel="icon" href="{ICON}">'),
            tag("link", rel="stylesheet", href=f"{root}assets/site.css"),
            tag("script", src=f"{root}assets/theme.js"),
            tag("script", src=data, defer=True) if data else None,
            tag("script", src=f"{root}assets/site.js", defer=True),
        )
    )
    links = join(
        tag("a", name, href=f"{root}{address}", aria_current="page" if address == page.path else None)
        for name, address in menu
    )
    search = tag(
        "div",
        tag("label", "Search", for_="q", class_="hidden"),
        tag("input", id="q", type="search", autocomplete="off", placeholder="Search   /", aria_controls="found"),
        tag("div", id="found", hidden=True),
        class_="search",
        role="search",
    )
    header = tag(
        "header",
        tag("a", DROP, "Watershed", href=f"{root}index.html", class_="brand"),
        tag("nav", links, aria_label="Pages"),
        search,
        tag(
            "button", "◐", id="theme", type="button", aria_label="Change between light and dark", title="Light or dark"
        ),
    )
    crumbs = tag(
        "nav",
        join((tag("a", name, href=f"{root}{address}") for name, address in page.crumbs), " / "),
        aria_label="Above",
        class_="crumbs",
    )
    main = tag(
        "main",
        crumbs if page.crumbs else None,
        tag("h1", page.title),
        tag("p", page.lead, class_="lead"),
        page.above,
        _contents(page.sections),
        join(_section(number, section) for number, section in enumerate(page.sections)),
        id="main",
    )
    skip = tag("a", "Skip to the content", href="#main", class_="skip")
    body = tag("body", skip, header, main, tag("footer", footer))
    return f'<!doctype html>\n<html lang="en" data-root="{text(root)}"><head>{head}</head>{body}</html>\n'


def _contents(sections: Sequence[Section]) -> Markup | None:
    if len(sections) < 4:
        return None
    links = (tag("a", section.title, href=f"#s{number}") for number, section in enumerate(sections))
    return tag("nav", join(links), class_="contents", aria_label="On this page")


def _section(number: int, section: Section) -> Markup:
    note = tag("p", section.note, class_="note") if section.note else None
    return tag("section", tag("h2", section.title), note, section.body, id=f"s{number}")


def badge(label: str, kind: str = "") -> Markup:
    """A short word in a coloured box: `good`, `warn`, `bad`, or plain."""
    return tag("span", label, class_=f"badge {kind}".strip())


def facts(rows: Iterable[tuple[str, Any]]) -> Markup:
    """Names and values, the empty values left out."""
    return tag(
        "dl",
        join(tag("div", tag("dt", name), tag("dd", value)) for name, value in rows if value not in (None, "")),
        class_="facts",
    )


def code(source: str, language: str) -> Markup:
    """A piece of code with a button that copies it."""
    return tag(
        "div",
        tag("pre", tag("code", source), tabindex="0", role="region", aria_label=f"{language} code"),
        tag("button", "Copy", type="button", class_="copy", aria_label=f"Copy the {language} code"),
        class_="code",
    )


def filter_list(name: str, facets: Sequence[tuple[str, str]], items: Sequence[Item], words: str) -> Markup:
    """A list that readers filter by words and by facets. The page must have `items` in `Page.lists` under `name`.

    Args:
        name: name of the list, in letters, digits and hyphens.
        facets: key and heading of each filter; its choices are the values of the items, most frequent first.
        words: what the box for words is called: "Words in name or description".
    """
    groups = []
    for key, heading in facets:
        counts: dict[str, int] = {}
        for item in items:
            for value in item.facets.get(key, ()):
                counts[value] = counts.get(value, 0) + 1
        choices = join(
            tag(
                "label",
                tag("input", type="checkbox", name=key, value=value),
                " ",
                value,
                " ",
                tag("small", f"{number:,}"),
            )
            for value, number in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
        )
        groups.append(tag("fieldset", tag("legend", heading), choices))
    box = tag("label", words, tag("input", type="search", name="words", autocomplete="off"), class_="words")
    return tag(
        "div",
        tag("form", box, join(groups), class_="filters"),
        tag("p", f"{len(items):,} of {len(items):,}", class_="note", aria_live="polite"),
        tag("ul", class_="items"),
        tag("noscript", tag("p", "The list needs JavaScript.")),
        class_="list",
        data_list=name,
    )
