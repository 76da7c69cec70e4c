"""Text that Dagster shows as Markdown, such as the descriptions of checks: strangers' text is shown as it is."""

from __future__ import annotations

import html
import re

from catalog.printable import one_line

SPECIAL = re.compile(r"([\\`*_\[\]|~$])")


def markdown(text: str, limit: int | None = None) -> str:
    """Return `text` in one line, such that Markdown shows it as it is: no tag, link or emphasis is interpreted.

    Control characters are replaced, as `catalog.printable.one_line` does. Text beyond `limit` characters is cut off.

    Example:
        >>> from dagster_project.engine.markdown import markdown
        >>> markdown("<script> a*b")
        '&lt;script&gt; a\\\\*b'
    """
    return SPECIAL.sub(r"\\\1", html.escape(one_line(text, limit), quote=False))


def plain(text: str) -> str:
    """Return the line of text from which `markdown` made `text`."""
    return html.unescape(re.sub(r"\\(.)", r"\1", text))
