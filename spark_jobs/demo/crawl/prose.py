"""Plain text, docstrings and Markdown as HTML: paragraphs, headings, lists, definitions, code.

Docstrings are read as reStructuredText in the numpydoc and Google styles, as far as block structure goes;
what is not understood stays readable text. Nothing here fails on odd input.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from inspect import cleandoc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

UNDERLINE = re.compile(r"^([=\-~^\"'#*+`:._])\1{2,}\s*$")
BULLET = re.compile(r"^(?:[-*+•]|\(?\d{1,3}[.)])\s+")
DIRECTIVE = re.compile(r"^\.\. +([\w:-]+)::\s*(.*)")
INLINE = re.compile(
    r"``(?P<code>[^`]+)``|:[\w:+-]+:`~?\.?(?P<role>[^`]+)`|`(?P<link>[^`<>]+?)(?:\s*&lt;[^`]*?&gt;)?`_{0,2}"
    r"|\*\*(?P<strong>[^*\n]+)\*\*|(?<![\w*])\*(?P<emphasis>\w(?:[^*\n]{0,80}\w)?)\*(?![\w*])"
)
EDITION_NOTES = ("versionadded", "versionchanged", "deprecated", "version-added", "version-changed")
ADMONITIONS = ("note", "warning", "tip", "important", "seealso", "caution", "attention", "hint", "danger")


def inline_html(text: str) -> str:
    """One run of text: escaped, with ``code``, :role:`targets` and **strong** marked up."""
    return INLINE.sub(_inline_mark, escape(text, quote=False))


def _inline_mark(match: re.Match[str]) -> str:
    if match["strong"]:
        return f"<strong>{match['strong']}</strong>"
    if match["link"] or match["emphasis"]:
        return f"<em>{match['link'] or match['emphasis']}</em>"
    return f"<code>{(match['code'] or match['role']).strip()}</code>"


def docstring_html(text: str, *, level: int = 3, older: bool = False) -> str:
    """A docstring's blocks as HTML; headings inside it start at `<h{level}>`.

    Args:
        text: the docstring as written, indentation included.
        level: depth of its first heading, 1..6.
        older: leave out the notes on what a later version added, as an older edition would.
    """
    blocks = _blocks(cleandoc(text))
    parts: list[str] = []
    literal_next = False
    for block in blocks:
        literal, literal_next = literal_next, False
        if literal and block[0][:1] in (" ", "\t"):
            parts.append(_preformatted(block))
            literal_next = True
            continue
        html, literal_next = _block_html(block, level, older)
        parts.append(html)
    return "\n".join(part for part in parts if part)


def _blocks(text: str) -> list[list[str]]:
    """Runs of lines between blank lines."""
    return [chunk.split("\n") for chunk in re.split(r"\n(?:[ \t]*\n)+", text.strip("\n")) if chunk.strip()]


def _block_html(block: list[str], level: int, older: bool) -> tuple[str, bool]:
    """One block, and whether a literal block is announced by its `::`."""
    first = block[0].lstrip()
    flush_left = not block[0][:1].isspace()
    if len(block) >= 2 and UNDERLINE.match(block[1]) and flush_left:
        heading = f"<h{level}>{inline_html(block[0].strip())}</h{level}>"
        rest, literal = _block_html(block[2:], level, older) if len(block) > 2 else ("", False)
        return f"{heading}\n{rest}", literal
    directive = DIRECTIVE.match(first)
    if directive:
        return _directive(directive[1], directive[2], block[1:], level, older)
    announces = block[-1].endswith("::")
    if first.startswith(">>>"):
        html = _preformatted(block)
    elif first.startswith(".. ") or UNDERLINE.match(first):
        html = ""
    elif BULLET.match(first):
        html = _list(block)
    elif len(block) > 1 and block[1][:1].isspace() and flush_left:
        html = _definitions(block)
    else:
        html = _paragraph(block)
    return html, announces


def _paragraph(block: list[str]) -> str:
    text = re.sub(r"\s*::$", ":", " ".join(line.strip() for line in block))
    return f"<p>{inline_html(text)}</p>" if text != ":" else ""


def _preformatted(block: list[str]) -> str:
    return f"<pre><code>{escape(cleandoc(chr(10).join(block)), quote=False)}</code></pre>"


def _list(block: list[str]) -> str:
    items: list[str] = []
    for line in block:
        stripped = line.strip()
        if BULLET.match(stripped) or not items:
            items.append(BULLET.sub("", stripped))
        else:
            items[-1] += " " + stripped
    return "<ul>\n" + "\n".join(f"<li>{inline_html(item)}</li>" for item in items) + "\n</ul>"


def _definitions(block: list[str]) -> str:
    """`name : type` lines with indented descriptions, as numpydoc and Google sections write parameters."""
    parts: list[str] = []
    description: list[str] = []
    for line in [*block, ""]:
        if line[:1] in (" ", "\t"):
            description.append(line.strip())
            continue
        if description:
            parts.append(f"<dd>{inline_html(' '.join(description))}</dd>")
            description = []
        if line:
            parts.append(f"<dt>{inline_html(line.strip())}</dt>")
    return "<dl>\n" + "\n".join(parts) + "\n</dl>"


def _directive(name: str, argument: str, body: list[str], level: int, older: bool) -> tuple[str, bool]:
    inside = cleandoc("\n".join(["", *body])) if body else ""
    if name in EDITION_NOTES:
        if older:
            return "", False
        label = {"deprecated": "Deprecated since version"}.get(name, "Changed in version")
        label = "New in version" if name in ("versionadded", "version-added") else label
        return f'<p class="edition"><em>{label} {inline_html(argument)}</em> {inline_html(inside)}</p>', False
    if name in ADMONITIONS:
        text = docstring_html(f"{argument}\n\n{inside}" if argument else inside, level=level, older=older)
        return f'<div class="admonition {name}"><p class="label">{name.capitalize()}</p>\n{text}</div>', not inside
    if not inside or name in ("image", "figure", "plot", "index", "currentmodule", "module", "autosummary"):
        return "", not inside and name in ("code-block", "code", "sourcecode", "math", "testcode", "doctest")
    return _preformatted(body), False


def plain_text_html(text: str, *, level: int = 2) -> str:
    """A README, licence or change log as HTML: prose as paragraphs, manually aligned text unchanged."""
    parts: list[str] = []
    for block in _blocks(text.expandtabs(8).replace("\r", "")):
        first = block[0].strip()
        if len(block) == 2 and UNDERLINE.match(block[1].strip()):
            parts.append(f"<h{level}>{escape(first, quote=False)}</h{level}>")
        elif BULLET.match(first):
            parts.append(_list(block))
        elif _is_aligned(block):
            parts.append(_preformatted(block))
        else:
            parts.append(f"<p>{escape(' '.join(line.strip() for line in block), quote=False)}</p>")
    return "\n".join(parts)


def _is_aligned(block: list[str]) -> bool:
    """Tables, diagrams and listings: runs of spaces inside lines, or few letters."""
    text = "".join(block)[:400].strip()
    inner_gaps = sum("   " in line.strip() for line in block)
    letters = sum(character.isalpha() for character in text)
    return inner_gaps * 2 > len(block) or letters < 0.55 * max(len(text), 1)


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def markdown_html(text: str) -> str:
    """CommonMark with tables; HTML inside it is kept, as package indexes and code hosts do."""
    return _markdown().render(text)


def document_html(text: str, name: str) -> str:
    """A text file by its name: `.md` as Markdown, `.rst` as reStructuredText, the rest as plain text."""
    lower = name.lower().removesuffix(".gz")
    if lower.endswith((".md", ".markdown")):
        return markdown_html(text)
    if lower.endswith(".rst"):
        return docstring_html(text, level=2)
    return plain_text_html(text)
