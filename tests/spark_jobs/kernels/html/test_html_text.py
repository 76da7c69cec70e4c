"""Main content read from a page's nodes: the text is resiliparse's, to the character, or none is given."""

from __future__ import annotations

import random
import re
from typing import Any

import numpy as np
import pytest
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree, NodeType

from spark_jobs.kernels.html import nodes as table
from spark_jobs.kernels.html.classes import BOTH_RULES, CLASS_RULES, ID_RULES, ROOT_RULES, VALUE_RULES
from spark_jobs.kernels.html.lines import DEEPEST
from spark_jobs.kernels.html.text import MOST_OPEN, main_content, text_of

KINDS = [
    (NodeType.DOCUMENT, table.DOCUMENT),
    (NodeType.ELEMENT, table.ELEMENT),
    (NodeType.TEXT, table.TEXT),
    (NodeType.COMMENT, table.COMMENT),
    (NodeType.DOCUMENT_TYPE, table.DOCTYPE),
]
RULES = {**CLASS_RULES, **BOTH_RULES, **ID_RULES, **VALUE_RULES, **ROOT_RULES}
WORDS = sorted(
    {
        word
        for rule in RULES.values()
        for form in ("[A-Za-z0-9]+", "[A-Za-z0-9-]+")
        for word in re.findall(form, rule.notation)
    }
)
SEPARATORS = ["", "", "-", "_", "-", "_", " ", " ", "  ", "\t", "__", "--", "-_", "\v", "\f", ":", ".", "x", "é"]


def expected(html: str) -> str:
    return extract_plain_text(html, main_content=True)


def walked(html: str) -> str | None:
    """The walk by itself, over resiliparse's own tree."""
    return text_of(*node_table(html), quirks="<!doctype html>" not in html)


def node_table(html: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The nodes of resiliparse's own tree, laid out as the kernels read them."""
    nodes: list[list[int]] = []
    attributes: list[tuple[int, int, int]] = []
    buffer = bytearray()

    def add(node: Any, parent: int, previous: int) -> int:
        kind = next(kind for type_, kind in KINDS if node.type == type_)
        row, number = [kind, 0, parent, -1, previous, -1, -1, 0, 0], len(nodes)
        nodes.append(row)
        if previous >= 0:
            nodes[previous][table.NEXT] = number
        elif parent >= 0:
            nodes[parent][table.FIRST_CHILD] = number
        if parent >= 0:
            nodes[parent][table.LAST_CHILD] = number
        if kind == table.ELEMENT:
            row[table.TAG], row[table.START] = table.tag(node.tag), len(attributes)
            for name in table.ATTRIBUTES:
                if node.hasattr(name):
                    value = node.getattr(name).encode()
                    attributes.append((table.attribute(name), len(buffer), len(buffer) + len(value)))
                    buffer.extend(value)
            row[table.END] = len(attributes)
        elif kind in {table.TEXT, table.COMMENT}:
            row[table.START] = len(buffer)
            buffer.extend(node.value.encode())
            row[table.END] = len(buffer)
        return number

    document = HTMLTree.parse(html).document
    waiting: list[tuple[Any, int]] = [(document, add(document, -1, -1))]
    while waiting:
        node, number = waiting.pop()
        child, previous = node.first_child, -1
        while child is not None:
            previous = add(child, number, previous)
            waiting.append((child, previous))
            child = child.next
    rows = np.array(attributes, np.int32).reshape(-1, table.ATTRIBUTE_COLUMNS)
    return np.array(nodes, np.int32), rows, np.frombuffer(bytes(buffer) + bytes(64), np.uint8).copy()


def deep(html: str, levels: int = 6) -> str:
    return f"<body>top {'<div>' * levels}{html}{'</div>' * levels} end"


def links(text: int, linked: int) -> str:
    """Text of so many characters, a part of them in links."""
    return f"{'x' * (text - linked)}<a>{'y' * (linked // 2)}</a><a>{'z' * (linked - linked // 2)}</a>"


LAYOUT = {
    "white space": "<p> a  b\n\tc </p>d <b> e</b> f<i>\vg\f</i> h<span> </span> i",
    "lines": "a<br>b<br><br>c<br> <br>d<div>e<br></div><br><br><p>f",
    "blank lines": "a<p>b<p>c</p>d<h1>e</h1><h5>f</h5><div>g</div><h4>h</h4>i<div><p><p></p>j</div>",
    "kept as it is": "a<pre>\n b\n\n  c <b>d</b>\t\n</pre>e<pre></pre> f  g\n h<p>i  j</p>",
    "bullets": deep("<ul><li>a<li><p>b</p>c<li> <li>d<ul><li>e</ul>f</ul>g"),
    "numbers": deep("<ol><li>a<li>b" + "<li>x" * 120 + "<ol><li>c</ol>d<li>e</ol><ol><li>f</ol>"),
    "items without a list": "<li>a<li>b<ol><li>c</ol></li>d",
    "text between items": deep("<ul>a<li>b</li>c<li>d</li> e</ul>f<ol>1<li>2</li>3<li>4</li></ol>"),
    "empty lists": deep("<ul></ul>a<ol></ol><ol><li>b</ol><ul><li></li><li>c</ul>d"),
    "cells": "<table><tr><td>a<td> b </td> <th>c<tr><td><td>d<td><p>e</p></table>f<table><tr></tr><tr><td>g</table>",
    "tables in cells": "<table><tr><td>a<table><tr><td>b<td>c</table>d<td>e</table>",
    "alternative texts": "a <img alt='b  c'> <img> d<area alt=e><img alt=' '>f<p><img alt='g\n'>",
    "left out": "a<script>b</script><style>c</style><textarea>d</textarea><button>e</button><label>f</label>g<select>"
    "<option>h</select><noscript>i</noscript><template>j</template><iframe>k</iframe><!-- l -->m<input value=n>",
    "foreign": "a<svg><style>b</style><title>c</title><a>d</a></svg><math><mi>e</mi></math>",
    "icons": "a<span>¶</span>b<i> \ue000 </i><i>\uf8ff</i><i>…</i><i>€</i><i>日</i><i>\n¶¶</i><i>é</i>"
    + " " * 70
    + "\uf000",
    "nothing": "",
    "white space alone": "<div> \n </div><p>",
    "long runs": f"<p>{'a b  ' * 50}{' ' * 100}{'x' * 200}\n\n{'é' * 100}",
    "references": "&nbsp;a&amp;b&lt;c&#32;&#32;d&eacute;&#x0b;e",
}
ROOTS = {
    "one": "a<div class=main-content>b</div>c",
    "another case": "a<div class=MAIN-content>b</div>c",
    "two in another case": "a<div class=MAIN-content>b</div>c<div class=articlebody>d</div>",
    "another case, which does not count": "<!doctype html>a<div class=MAIN-content>b</div>c<p class=post-content>d",
    "main role in another case": "a<div role=Main>b</div>",
    "main role": "a<div role=main>b</div>c",
    "main role with blanks": "a<div role=' main '>b</div>c",
    "two": "a<div class=main-content>b</div>c<div class=post-content>d</div>",
    "one that counts twice": "a<div class=main-content role=main>b</div>c",
    "the body does not count": "<body class=single-post>a<div class='x article-text\ny'>b</div>c",
    "one that is left out by its class": "a<div class='main-content hidden'>b</div>c",
    "with a vertical tab": "a<div class='x\vmain-content'>b</div>",
    "in a template": "a<template><div class=main-content>b</div></template>c",
    "deep inside": deep("<ul class=main-content><li>a</ul>"),
    "a list": "<ul role=main><li>a<li>b</ul>c",
}
TAGS = {
    "navigation": "a<nav>b</nav><aside>c</aside><time>d</time><video>e</video><audio>f</audio>g",
    "main": "<main class=hidden>a</main><h1 class=ad>b</h1>",
    "lists near the top": "<ul><li>a</ul><div><div><ul><li>b</ul><div><ul><li>c</ul></div></div></div>",
    "footers near the top": "<footer>a</footer>b<div><div><footer>c</footer>d<br></div></div>",
    "footers that end the page": deep("a<footer>b</footer>"),
    "footers before a text": deep("a<footer>b</footer>c"),
    "footers before more": deep("a<footer>b</footer>c<i>d</i>") + deep("a<footer>b</footer><!-- c -->"),
}
ATTRIBUTES = {
    name: deep(f"a<div {attribute}>b</div>c<span {attribute}>d</span><p {attribute}>e<main {attribute}>f")
    for name, attribute in {
        "hidden": "hidden",
        "aria-hidden": "aria-hidden=' true '",
        "aria-hidden elsewhere": "aria-hidden=false",
        "aria-expanded": "aria-expanded=false",
        "rel": "rel=next",
        "rel of two": "rel='next nofollow'",
        "rel main": "rel=main class=sidebar role=banner",
        "itemprop": "itemprop=datePublished",
        "itemprop in another case": "itemprop=datepublished",
        "role without a class": "role=banner",
        "role": "role=banner class=x",
        "role in another case": "role=Banner class=x",
        "style": "style='color: red; DISPLAY: none'",
        "style, more": "style='visibility :hidden ;'",
        "style, too many blanks": "style='display:  none'",
        "advertisement": "data-ad class=x",
        "advertisement without a class": "data-text-ad",
        "id": "id=sidebar",
        "id of the right": "class=x id=site_right",
        "id in the middle": "class=x id=right-x",
        "an empty id": "class=ad id=''",
        "a class of white space": "class=' '",
    }.items()
}
LINKS = {
    f"{tag} of {size}, {linked} linked": deep(f"<{tag} {attribute}>{links(size, linked)}</{tag}>z<br>", levels)
    for tag, attribute, size, share, levels in [
        ("div", "", 800, 0.6, 6),
        ("div", "", 801, 0.6, 6),
        ("div", "", 10, 0.6, 5),
        ("div", "class=x", 1500, 0.6, 3),
        ("div", "class=x", 1501, 0.6, 3),
        ("div", "class=x", 10, 0.6, 2),
        ("ul", "", 5000, 0.2, 5),
        ("footer", "", 5000, 0.2, 5),
        ("article", "", 500, 0.2, 3),
        ("article", "", 501, 0.2, 3),
        ("article", "", 10, 0.2, 2),
    ]
    for linked in (int(size * share), int(size * share) + 1)
}
SPACED_LINKS = {
    "white space around": deep("<div>x <a> y </a> <a> z</a> </div>a<div> <a> </a> </div>b<div></div>c"),
    "white space that goes on": deep("<div>ab <div> cde<a> fgh</a></div></div>" * 3),
    "links in links": deep("<div><a>b<table><tr><td><a>c</a></table></a>def</div>"),
    "scripts count": deep("<div><script>12345678</script><a>9</a></div><div><style>1</style><a>9</a></div>"),
}
CLASSES = {
    f"class {name}": deep(f"a<div class='{name}'>b</div><p id='{name}'>c</p><div class=x id='{name}'>d")
    for name in [
        *[
            "is_hidden",
            "visually-collapsed-sm",
            "log_in",
            "user-actions",
            "l-share",
            "give-feedback_links",
            "wa",
            "x__jp",
        ],
        *["short-view-count", "x-spinner_y", "skip-to-main-content", "link-permalink", "previouspost", "branding_logo"],
        *["googleads", "ad_0f", "ad", "wide-ad", "widebanner-x", "single_post", "main-contents", "x_content-y"],
        *["site-header", "m_headerbar", "wp--header-wrapper", "header", "global-footer", "cookie_notice", "cookie-x"],
        *["l-navbar_menu", "menu-item", "drop_down", "breadcrumb", "linksbox", "links", "x nav", "x-nav", "trending-x"],
        *["editors_picks", "related-posts", "search-box", "sticky_sidebar", "one-third", "wp-modal__window", "p-popup"],
        *[
            "gallery",
            "x-gallery",
            "print_me",
            "print",
            "site-foot",
            "sticky_right",
            "right",
            "global__header",
            "rights",
        ],
    ]
}
ROOT_CLASSES = {
    f"root {name}": f"{head}a<div class='x {written}'>b</div>c"
    for name in ROOT_RULES
    for head, written in [
        ("", ROOT_RULES[name].words.upper()) if name.endswith("in any case") else ("<!doctype html>", name)
    ]
}
CASES = LAYOUT | CLASSES | ROOTS | ROOT_CLASSES | TAGS | ATTRIBUTES | LINKS | SPACED_LINKS


@pytest.mark.parametrize("case", CASES)
def test_text_is_that_of_resiliparse(case: str) -> None:
    assert walked(CASES[case]) == expected(CASES[case])


@pytest.mark.parametrize("case", CASES)
def test_a_page_is_read_alike_or_not_at_all(case: str) -> None:
    assert main_content(CASES[case].encode()) in {None, expected(CASES[case])}


def made_class(random_: random.Random) -> str:
    return "".join(
        random_.choice([str.lower, str.lower, str.lower, str.upper, str])(random_.choice(WORDS))
        + random_.choice(SEPARATORS)
        for _ in range(random_.randint(0, 4))
    )


@pytest.mark.parametrize("tag", ["div", "span", "p", "a", "td"])
@pytest.mark.parametrize("levels", [1, 4])
def test_classes_and_ids_mean_what_they_mean_to_resiliparse(tag: str, levels: int) -> None:
    random_ = random.Random(f"classes of {tag}")
    read = 0
    for _ in range(40):
        elements = [
            f"<{tag} class='{made_class(random_)}' id='{made_class(random_)}'>{number}</{tag}>" for number in range(60)
        ]
        row = "".join(elements) if tag != "td" else f"<table><tr>{''.join(elements)}</table>"
        html = "<!doctype html>" + deep(row, levels)
        text = walked(html)
        assert text in {None, expected(html)}
        read += text is not None
    assert read > 20


@pytest.mark.parametrize("style", range(10))
def test_styles_mean_what_they_mean_to_resiliparse(style: int) -> None:
    random_ = random.Random(f"styles {style}")
    parts = ["display", "visibility", ":", " :", ": ", "none", "hidden", ";", "; ", " ", "color:red", "DISPLAY:none"]
    for _ in range(20):
        made = ["".join(random_.choices(parts, k=random_.randint(1, 6))) for _ in range(60)]
        html = "".join(f"<p style='{each}'>{number}" for number, each in enumerate(made))
        assert walked(html) == expected(html)


BLOCKS = (
    "address article aside blockquote br center details dd dt div dl fieldset figcaption figure footer form h1 h2 h4 h5"
    " header hr li main nav ol p pre section table tr td th ul"
).split()
INLINE = (
    "a b i span em img area time video script style iframe template noscript textarea input button select option label"
    " svg math object font code html body head title caption tbody col foo abbr"
).split()
TEXTS = [
    *[
        "word",
        "two words",
        " lead",
        "trail ",
        " ",
        "\n\n",
        "  \n\t ",
        "¶",
        "\ue000",
        " \uf0c1 ",
        "…",
        "€",
        "é",
        "日本語",
    ],
    *["long text with many words in it, and more of them ", "a\vb", "x\f\fy", "&nbsp;", "<!-- c -->", "a b  c   d"],
    *["." * 70, "w " * 40, "   " * 30, "q\n" * 35],
]
VALUES = {
    "role": ["main", "main", "banner", "img", "button", "MAIN"],
    "rel": ["author", "next", " tag ", "main", "nofollow"],
    "itemprop": ["author", " url ", "name", "datePublished"],
    "aria-hidden": ["true", " true", "false"],
    "aria-expanded": ["true", "false"],
    "style": ["display:none", "color:red;visibility: hidden", "x;;display:none"],
    "alt": ["an image", " two  words\n", "", "¶"],
    **{name: [""] for name in ("hidden", "data-ad", "data-advertisement", "data-text-ad")},
}


class MadePages:
    """Sloppy pages: tags of all kinds in one another, some of them never closed."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.tags = BLOCKS

    def page(self) -> str:
        self.tags = self.random.choice(
            [[*BLOCKS, *INLINE], ["div", "ul", "li", "a", "p", "ol", "footer", "article", "td", "tr", "table", "pre"]]
        )
        head = self.random.choice(
            ["", "<!doctype html>", "<html><head><title>t</title></head><body class=single-post>"]
        )
        children = "".join(self._node(0) for _ in range(self.random.randint(1, 6)))
        return head + "<div>" * self.random.randint(0, 5) + children

    def _node(self, depth: int) -> str:
        if self.random.random() < 0.4 or depth > 12:
            return self.random.choice(TEXTS)
        tag = self.random.choice(self.tags)
        children = "".join(self._node(depth + 1) for _ in range(self.random.choice([0, 1, 1, 2, 3, 4])))
        return f"<{tag}{self._attributes()}>{children}{'' if self.random.random() < 0.12 else f'</{tag}>'}"

    def _attributes(self) -> str:
        made = ""
        while self.random.random() < 0.25:
            name = self.random.choice(["class", "class", "id", *VALUES])
            value = self.random.choice(VALUES[name]) if name in VALUES else made_class(self.random)
            made += f' {name}="{value}"'
        return made


@pytest.mark.parametrize("seed", range(4))
def test_made_pages_are_read_as_resiliparse_reads_them(seed: int) -> None:
    pages = MadePages(f"pages {seed}")
    read_by_walk = read = 0
    for _ in range(700):
        html = pages.page()
        by_walk, text = walked(html), main_content(html.encode())
        assert {by_walk, text} <= {None, expected(html)}, html
        read_by_walk += bool(by_walk)
        read += bool(text)
    assert min(read_by_walk, read) > 300


@pytest.mark.parametrize(
    "html",
    [
        "<frameset><frame></frameset>",
        "<div>" * (DEEPEST + 2) + "a",
        "<ul></ul>" * (DEEPEST + 2) + deep("<ul></ul>" * (DEEPEST + 2) + "a"),
        "<table>" + "<tr></tr>" * (DEEPEST + 2),
        "<pre>" + deep("<ul></ul>" * (DEEPEST - 9) + "<p>a<p>b" * 5000),
    ],
    ids=["frames", "nested deep", "many lists", "many rows", "more indents than text"],
)
def test_ambiguous_pages_are_left_to_resiliparse(html: str) -> None:
    assert walked(html) is None
    assert main_content(html.encode()) is None


def test_tags_nested_without_end_are_not_read() -> None:
    html = "<ul>" * (MOST_OPEN + 1)
    assert main_content((html + html.replace("<", "</")).encode()) is None
    assert main_content(("<p>a</p>" * (MOST_OPEN + 1)).encode()) == expected("<p>a</p>" * (MOST_OPEN + 1))
