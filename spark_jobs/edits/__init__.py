"""Rewriting of text, by the name that recipes use.

- `urls`: web addresses in the text
- `marks`: newlines in a row, citations
- `lines`: lines that are not prose, told by their characters and words
- `substrings`: lines that hold a phrase
- `repeats`: lines and paragraphs that a page says twice
- `personal`: e-mail addresses, IP addresses, phone numbers
- `datatrove`: C4's rewriting as datatrove does it
- `normal`: normal forms of text, to compare by
"""

from __future__ import annotations

from spark_jobs.edits import datatrove, lines, marks, personal, repeats, substrings, urls
from spark_jobs.measures.base import Edit

EDITS: dict[str, Edit] = {
    edit.name: edit
    for module in (urls, marks, lines, substrings, repeats, personal, datatrove)
    for edit in module.EDITS
}
"""All edits, by name."""
