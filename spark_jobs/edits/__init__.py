"""Edits: functions that rewrite text, by the names that recipes use.

- `urls`: web addresses in the text
- `newlines_and_citations`: runs of newlines, wiki citations
- `lines`: lines that are not prose, by their characters and words
- `substrings`: lines that hold a phrase
- `repeats`: lines and paragraphs that occur twice in a page
- `personal`: e-mail addresses, IP addresses, phone numbers
- `datatrove`: C4's rewriting as datatrove does it
"""

from __future__ import annotations

from spark_jobs.edits import datatrove, lines, newlines_and_citations, personal, repeats, substrings, urls
from spark_jobs.measures.base import Edit

EDITS: dict[str, Edit] = {
    edit.name: edit
    for module in (urls, newlines_and_citations, lines, substrings, repeats, personal, datatrove)
    for edit in module.EDITS
}
"""All edits, by name."""
_RENAMED = {edit.stored_as: edit.name for edit in EDITS.values() if edit.stored_as != edit.name}


def current_name(name: str) -> str:
    """The name of an edit that a recipe file may still call by its former, deprecated name."""
    return _RENAMED.get(name, name)
