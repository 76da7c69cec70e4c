"""The HTML parser builds the tree that resiliparse builds, or says that it does not."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from resiliparse.parse.html import HTMLTree, NodeType

from spark_jobs.kernels.html import nodes as html_nodes
from spark_jobs.kernels.html.nodes import ATTRIBUTES, TAGS
from spark_jobs.kernels.html.parse import parse_into, parse_page, room
from spark_jobs.kernels.html.tree import FULL, NAME_COLUMNS, NODES

Dump = list[tuple]
"""A row per node in document order: depth, kind, then tag and attributes, or text."""


def reference(page: str) -> Dump:
    """The tree by resiliparse, as far as the table of nodes keeps it."""
    found: Dump = []
    tree: Any = HTMLTree.parse(page)
    waiting = [(0, tree.document.first_child)]
    while waiting:
        depth, node = waiting.pop()
        if node is None:
            continue
        waiting.append((depth, node.next))
        if node.type == NodeType.ELEMENT:
            kept = sorted((name, node.getattr(name) or "") for name in node.attrs or () if name in ATTRIBUTES)
            found.append((depth, "element", node.tag if node.tag in TAGS else "", kept))
            waiting.append((depth + 1, node.first_child))
        elif node.type == NodeType.TEXT:
            found.append((depth, "text", node.text))
        elif node.type == NodeType.DOCUMENT_TYPE:
            found.append((depth, "doctype"))
        elif node.type == NodeType.PROCESSING_INSTRUCTION:
            found.append((depth, "comment", "?"))
        else:
            found.append((depth, "comment", _comment(node.text)))
    return found


def _comment(text: str) -> str:
    # What begins with `<?` is a comment here and a node of its own kind there.
    return "?" if text.startswith("?") else text


def dump(nodes: np.ndarray, attributes: np.ndarray, buffer: np.ndarray) -> Dump:
    """The tree of a table of nodes, whose links must agree with one another."""
    found: Dump = []
    text = buffer.tobytes()
    rows = nodes.tolist()
    waiting = [(0, rows[0][html_nodes.FIRST_CHILD], 0, -1)]
    while waiting:
        depth, number, parent, previous = waiting.pop()
        if number < 0:
            assert rows[parent][html_nodes.LAST_CHILD] == previous
            continue
        row = rows[number]
        assert row[html_nodes.PARENT] == parent
        assert row[html_nodes.PREVIOUS] == previous
        waiting.append((depth, row[html_nodes.NEXT], parent, number))
        bounds = slice(row[html_nodes.START], row[html_nodes.END])
        if row[html_nodes.KIND] == html_nodes.ELEMENT:
            kept = sorted(
                (ATTRIBUTES[name], text[start:end].decode()) for name, start, end in attributes[bounds].tolist()
            )
            found.append((depth, "element", TAGS[row[html_nodes.TAG]], kept))
            waiting.append((depth + 1, row[html_nodes.FIRST_CHILD], number, -1))
        elif row[html_nodes.KIND] == html_nodes.TEXT:
            found.append((depth, "text", text[bounds].decode()))
        elif row[html_nodes.KIND] == html_nodes.DOCTYPE:
            found.append((depth, "doctype"))
        else:
            found.append((depth, "comment", _comment(text[bounds].decode())))
    return found


def assert_same(page: str) -> bool:
    """The trees are equal if the page is handled; whether it is."""
    parsed = parse_page(page.encode())
    if isinstance(parsed, int):
        return False
    assert dump(*parsed) == reference(page), page
    return True


CASES = {
    "nothing": "",
    "one word": "word",
    "only punctuation": ".,;!?",
    "only spaces": " \n\t\f ",
    "no tags, CJK and emoji": "漢字かな 😀🇩🇪",
    "byte order mark": "\ufefftext",
    "non-breaking space": "\u00a0<p>\u00a0</p>",
    "long line": "<p>" + "word " * 20_000,
    "many paragraphs": "<p class=a>x" * 3_000,
    "line ends": "<p alt='a\r\nb\rc'>a\r\nb\rc\n\r</p>",
    "doctype": "<!doctype html><p>a<table>",
    "quirks: a table inside a paragraph": "<p>a<table><tr><td>b",
    "quirks by public identifier": '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN"><p>a<table>',
    "quirks without system identifier": '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN"><p>a<table>',
    "no quirks with it": '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN" "x"><p>a<table>',
    "xhtml": '<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "a"><html><p>a<table>',
    "comments": "<!--a--><html><!----><head><!--><body><!---><!--a--!>b<!--a-->-->c</body><!--d--></html><!--e-->",
    "dashes in comments": "<!--a--b---->c<!-- <!-- --> d --><!--->e-->",
    "odd comments": "<p>a<!x>b<!>c<?php echo 1 ?>d</ x>e</>f<!-g>",
    "less-than signs that begin no tag": "<p>a < b <3 <= c<",
    "page ends in a tag": "<p>a<b class=",
    "page ends in a comment": "<p>a<!-- b--",
    "page ends in a raw text": "<p>a<script>b</scrip",
    "page ends in an end tag of raw text": "<p>a<title>b</title x='",
    "attributes": "<div id=a class='b c' style=\"d>e\" hidden alt rel = f ROLE=G x/ itemprop=h/ =y aria-hidden=true>",
    "first of two attributes": "<div class=a CLASS=b id id=c>",
    "references": (
        "&amp;&lt;&#65;&#x42;&#X43;&eacute;&eacute &notit; &notin; &amp &ampx &#128;&#x9f;&#0;&#xD800;&#x110000"
        ";"
    ),
    "references that are none": "& &; &# &#; &#x; &#xg; &foo; &Foo &&amp; &a",
    "long references": "&CounterClockwiseContourIntegral;&nGt;&NotEqualTilde;&zwnj;&hellip;",
    "references in attributes": "<a alt='&amp;&lt=&ltx&lt;&copy&copy=&copy1&copy;=&#65' rel=&lt id='&'>",
    "carriage return by number": "<pre>&#13;&#10;</pre>",
    "newline behind pre": (
        "<pre>\n\na</pre><pre>\r\nb</pre><listing>&#10;c</listing><textarea>\n\nd</textarea><pre>"
        "<b>\n"
    ),
    "newline behind pre and nothing": "<pre></>\r\na</pre><pre><!---->\nb",
    "only a newline behind pre, inside formatting": "<p><b>a<pre>\n</pre>",
    "raw text": (
        "<style>a<b>&amp;</style><xmp><p></xmp><iframe><p></iframe><noembed><p></noembed><title>&amp;<p>"
        "</title>"
    ),
    "end tags of raw text": (
        "<title>a</titlex></TITLE ><textarea></text></textarea/>b<style></style\n>c<script>"
        "</script x='>'>d"
    ),
    "scripts": "<script>a<!--<script>b</script>c--></script>d<script><!-->e</script>f<script><!--<scriptx></script>g",
    "noscript in the head": "<noscript><link><style>a</style><p>b</noscript>c",
    "noscript in the body": "<body><noscript><p>a</noscript>b",
    "head": "<title>a</title><meta><base><link> <script></script>b<meta>",
    "behind the head": "<head></head> <title>a</title> <!--b--> <body class=c>",
    "tags in the head": "<html><head><head></p><br></head>",
    "behind the body": "<body>a</body> b<p>c</body></html> <!--d--><p>e",
    "html and body again": "<html class=a><body id=b>c<html id=d class=e><body class=f id=g><p>h",
    "paragraphs": "<p>a<p>b<div>c<p>d</div>e</p>f<h1>g<h2>h</h3>i<address>j</p>",
    "lists": "<ul><li>a<li>b<ul><li>c</ul>d<li>e</ul><dl><dt>f<dd>g<dt>h<p>i<dd>j</dl><li>k<p><li>l",
    "list item in a block": "<ul><li><div>a<li>b</div><li><section>c<li>d",
    "end tags of nothing": "a</div></p></br></b></li></form></h1></x></html></body></option></table></td>b",
    "formatting carried on": "<p><b><i>a<p>b</i>c<p>d</b>e",
    "formatting across blocks": "<b>a<p>b</b>c</p>d<i>e<div>f<p>g</i>h</div>i",
    "formatting crossed": "<b>1<i>2<u>3</b>4</i>5</u>6",
    "formatting deep": "<b><i><u><s><tt><em><div>a</b>b</em>c",
    "formatting four alike": "<b><b><b><b><b class=x>a</p><p>b</b></b></b></b></b></b>c",
    "formatting alike by attributes": "<font a=b c='&amp;'><FONT c=& a='b'><font a=b c=&><font c=& a=b>x<p>y",
    "links in links": "<a id=a>a<a id=b>b<p>c<a>d</a>e<div><a>f<div>g</a>h",
    "links in cells": "<a>a<table><tr><td><a>b</a>c</table>d<nobr>e<nobr>f</nobr>",
    "markers": "<b>a<object><i>b</object>c<button>d</b>e</button>f<marquee>g</b>",
    "ends inside formatting": "<p>a<b>b</p>c<span>d<p>e</span>f</b>g",
    "unknown elements": "<foo>a<bar>b</foo>c</bar><foo/>d<o:p>e</O:P>f",
    "forms": "<form>a<form>b</form>c<div><form>d</div></form>e<table><form><tr><td>f</form></table>",
    "void elements": "<br>a<img/>b<hr>c<input>d<wbr><embed><area><param><track><source><image alt=e></br>",
    "buttons": "<button>a<button>b<p>c</button>d",
    "select": (
        "<select><option>a<option>b<optgroup><option>c<optgroup>d<hr><b>e</select>f<select><select>g<select>"
        "<input>h"
    ),
    "options": "<option>a<option>b<p>c<option>d</option><optgroup>e<optgroup>f",
    "ruby": "<ruby>a<rb>b<rt>c<rp>d<rtc>e<rt>f</ruby>g<rt>h",
    "tables": "<table><caption>a<tr><th>b<td>c<tr><td>d</table>e<table><col><colgroup><col><tbody><tfoot><thead><td>f",
    "rows and sections": "<table><tr>a<td>b</tr> <tr> <td>c</tbody></td></table>d<tr><td>e",
    "table in a table": "<table><tr><td>a<table><tr><td>b</table>c<table><table>d",
    "text before a table": "<div>a<table>b<tr>c<td>d</td>e</tr>f</table>g",
    "space and text before a table": "<table> <tr> a </tr> &#32; </table>",
    "tags before a table": "<p>x<table><p>a<b>b<tr><b>c<td>d</table>e<table><div>f</div>g<i>h</table>i",
    "links before a table": "<table><a>1<p>2</a>3</p><a>4<tr><a>5</table>6",
    "in the table": "<table><input type=hidden><input type=text><style>a</style><script>b</script><!--c--><form>",
    "templates": (
        "<template><p>a</template>b<div><template><tr><td>c</template>d<table><template><td></table>"
        "</template>e"
    ),
    "templates not closed": "<head><template><p>a",
    "vector graphics": "<p>a<svg class=b><path/><g><a>c</a><title>d<b>e</title><foreignObject><p>f</svg>g<svg/>h",
    "character data": "<svg><![CDATA[a<b>&amp;]]>c</svg><![CDATA[d]]>e",
    "comment in vector graphics behind the body": "<body><svg></html><!--a-->b",
    "vector graphics in vector graphics": "<svg><svg><a>b</svg>c</svg>d<math><math>e",
    "leaving vector graphics": "<svg><g>a<p>b</g></svg>c<div><svg><desc>d</div>e",
    "mathematics": "<math><mi>a<b>c</b></mi><mn>1</mn><mtext><p>d</math>e<math><msup>f<div>g",
    "upper case": "<DIV CLASS=A>a</Div><Table><TR><Td>b</TABLE>",
    "plain text": "<p>a<plaintext>b<p>&amp;</plaintext>",
}  # fmt: skip


@pytest.mark.parametrize("page", CASES.values(), ids=CASES)
def test_tree_is_that_of_resiliparse(page: str) -> None:
    assert assert_same(page)


REFUSED = {
    "frameset": "<frameset><frame></frameset>",
    "frameset instead of a body": "<div><frameset>",
    "doctype among columns": "<table><col><!doctype html>\n",
    "odd doctype": "<!DOCTYPE html PUBLIC 'a'b><p>",
    "annotation": "<math><annotation-xml encoding='text/html'><p>a</math>",
    "lone sign at the end": "<p>a</",
}


@pytest.mark.parametrize("page", REFUSED.values(), ids=REFUSED)
def test_page_that_is_not_handled_is_refused(page: str) -> None:
    assert isinstance(parse_page(page.encode()), int)


@pytest.mark.parametrize("name", [name for name in TAGS if name])
def test_each_tag_in_each_surrounding(name: str) -> None:
    outer = (
        "",
        "<body>",
        "<table>",
        "<table><tr>",
        "<table><td>",
        "<select>",
        "<svg>",
        "<p><b>",
        "<ruby>",
        "<template>",
    )
    for before in outer:
        for tag in (f"<{name}>a</{name}>b", f"<{name} class=c><p>a", f"</{name}>a<i>", f"<div><{name}/>a</div>b"):
            assert_same(f"{before}{tag}")


SOUP_TEXTS = ("x", " ", "\n", "a b", "\r\n", "\r", "\t", "< a", "<", "</>", "&", "é")
SOUP_TEXTS += tuple("&amp; &lt &notit; &#65; &#x80; &foo; &#10; &nGt;".split())
SOUP_TEXTS += ("<!-- c -->", "<!-->", "<!x>", "<?y?>", "-->")
SOUP_TAGS = (
    "p div a b i em span li ul ol table tr td th tbody caption col h1 h2 form br img input select option button nobr"
    " font svg g title desc foreignObject math mi dl dt dd pre script style textarea template body html head noscript"
    " object frameset optgroup hr ruby rt foo center"
).split()
SOUP_ATTRIBUTES = (
    "",
    "",
    "",
    " class=a",
    " id='b'",
    " CLASS=z class=y",
    " hidden",
    "/",
    " type=hidden",
    " alt='&amp;&lt=&ltx'",
)


def soup(source: random.Random) -> str:
    """A few tags and texts in any order."""
    pieces = [source.choice(("", "<!doctype html>", "<table>", "<body>"))]
    for _ in range(source.randint(1, source.choice((4, 8, 16, 40)))):
        kind = source.random()
        name = source.choice(SOUP_TAGS)
        if kind < 0.25:
            pieces.append(source.choice(SOUP_TEXTS))
        elif kind < 0.7:
            pieces.append(f"<{name}{source.choice(SOUP_ATTRIBUTES)}>")
        else:
            pieces.append(f"</{name}>")
    return "".join(pieces)


@pytest.mark.parametrize("seed", range(4))
def test_tag_soup(seed: int) -> None:
    source = random.Random(seed)
    handled = sum(assert_same(soup(source)) for _ in range(800))
    assert handled > 720


SAMPLE = (
    "<!DOCTYPE html PUBLIC '-//W3C//DTD XHTML 1.0 Strict//EN' 'x'><html lang=en><head><title>A &amp; B</title>"
    "<script>if (a<b) { /* <!-- <script> */ }</script></head><body class='a b'><!-- c -->"
    "<p id=d>é&eacute;&#8217;<b>e<p>f</b>"
    '<table>g<tr><td>h<svg><![CDATA[i]]><title>j</svg></table><textarea>\r\nk</textarea><a alt="&lt;l">m</body></html>'
)


def test_page_cut_off_at_each_character() -> None:
    handled = sum(assert_same(SAMPLE[:length]) for length in range(len(SAMPLE) + 1))
    assert handled > 0.6 * len(SAMPLE)


def test_page_changed_at_each_character() -> None:
    for place in range(len(SAMPLE)):
        for sign in "<>'/&":
            assert_same(SAMPLE[:place] + sign + SAMPLE[place + 1 :])


@pytest.mark.parametrize(
    "page", ["<b><i><u>" + "<p>x" * 300, SAMPLE * 4, "<table>" + "a<b>b</b>" * 200], ids=["copies", "sample", "foster"]
)
@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.5, 0.9])
def test_nothing_is_written_past_any_array(page: str, share: float) -> None:
    html = page.encode()
    source = np.frombuffer(html + bytes(64), np.uint8)
    whole = room(len(html), html.count(b"<"))
    rows, attribute_rows, size, numbers = (max(int(share * count), 64) for count in whole)
    shapes = {
        "nodes": ((rows + 1, html_nodes.NODE_COLUMNS), np.int32),
        "attributes": ((attribute_rows + 1, html_nodes.ATTRIBUTE_COLUMNS), np.int32),
        "buffer": ((size + 1,), np.uint8),
        "names": ((rows + 1, NAME_COLUMNS), np.int64),
        "state": ((numbers + 1,), np.int64),
    }
    arrays = {name: np.full(shape, 77, kind) for name, (shape, kind) in shapes.items()}
    status = parse_into(source, 0, len(html), *(array[:-1] for array in arrays.values()))
    assert all((array[-1] == 77).all() for array in arrays.values())
    if status == 0:
        state = arrays["state"]
        parsed = arrays["nodes"][: state[NODES]], arrays["attributes"], arrays["buffer"]
        assert dump(*parsed) == reference(page)


def test_page_of_too_many_copies_is_refused() -> None:
    parsed = parse_page(b"<p><b><i><u><s><tt><em><big><code>" + b"x<p>" * 200)
    assert isinstance(parsed, int)
    assert parsed == FULL
