"""HTML from text that anyone may have written: every text is escaped, every attribute is quoted.

    tag("a", "rows < 10", href="tables/dclm.documents.html", class_="quiet")

`Markup` is HTML that is already safe; everything else that becomes a child or an attribute is text.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable
from typing import Any

from catalog.printable import printable

VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "source", "wbr"})
LONGEST = 400
"""Characters of a text from rows that are shown in one place."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: Any) -> Markup:
    """`value` as text in HTML; what is HTML already stays as it is."""
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(printable(str(value)), quote=True))


def join(parts: Iterable[Any], between: str = "") -> Markup:
    """The parts one after another, each as text or as the HTML that it is."""
    return Markup(between.join(text(part) for part in parts if part is not None))


def tag(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """An element. `class_` is the attribute `class`, and `data_kind` the attribute `data-kind`.

    An attribute that is None or False is left out, and one that is True has no value.

    Example:
        >>> from catalog.cards.site.html import tag
        >>> tag("b", "<script>", title='a "quoted" name')
        '<b title="a &quot;quoted&quot; name">&lt;script&gt;</b>'
    """
    written = "".join(
        _attribute(key, value) for key, value in attributes.items() if value is not None and value is not False
    )
    if name in VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def _attribute(key: str, value: Any) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{text(str(value))}"'


def short(value: Any, limit: int = LONGEST) -> str:
    """A text of a row on one line, cut to `limit` characters."""
    plain = " ".join(str(value)[: 4 * limit].split())
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def web_link(url: str | None, label: Any = None) -> Markup:
    """A link to an address on the web, or its text alone if it is not one of http or https.

    Nothing is fetched from it until a reader follows it.
    """
    if not url:
        return Markup("")
    if not re.match(r"https?://[^\s\"'<>]+$", url, flags=re.IGNORECASE):
        return text(label or short(url))
    return tag("a", label or short(url, 60), href=url, rel="noopener noreferrer nofollow", class_="out")


def file_name(name: str) -> str:
    """A name for a file that is made from any text: letters, digits, points, hyphens, and a digest where that loses
    something.

    Example:
        >>> from catalog.cards.site.html import file_name
        >>> file_name("70k-1xC"), file_name("../é")
        ('70k-1xC', '9cd7743f15')
    """
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-.")
    if plain == name and len(name) <= 80 and not name.startswith("."):
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    return f"{plain[:60]}-{digest}" if plain else digest


def count(number: float | None) -> str:
    """A number for people: 1,234 or 0.0512 or 1.2e+16.

    Example:
        >>> from catalog.cards.site.html import count
        >>> count(12882.4), count(65.3912), count(0.05123), count(None)
        ('12,882', '65.39', '0.05123', '–')
    """
    if number is None:
        return "–"
    if abs(number) >= 1e15:
        return f"{float(number):.4g}"
    if abs(number) >= 1000 or float(number).is_integer():
        return f"{number:,.0f}"
    return f"{number:.4g}"


def table(head: Iterable[Any], rows: Iterable[Iterable[Any]], caption: str, **attributes: Any) -> Markup:
    """A table in a box that scrolls by itself on a narrow screen. `caption` is read out, and not shown.

    A head that begins with ">" is a column of numbers.
    """
    names = [str(name) for name in head]
    numeric = [name.startswith(">") for name in names]
    shown = [name.removeprefix(">") for name in names]
    heads = join(
        tag("th", name, scope="col", class_="n" if right else None) for name, right in zip(shown, numeric, strict=True)
    )
    body = join(
        tag(
            "tr", join(tag("td", cell, class_="n" if right else None) for cell, right in zip(row, numeric, strict=True))
        )
        for row in rows
    )
    inner = tag(
        "table",
        tag("caption", caption, class_="hidden"),
        tag("thead", tag("tr", heads)),
        tag("tbody", body),
        **attributes,
    )
    return tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)
