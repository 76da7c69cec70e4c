"""Labels of fastText classifiers."""

from __future__ import annotations

LABEL = "__label__"
"""Prefix that makes a word of a training line a label."""
GOOD = f"{LABEL}hq"
"""The label of high-quality text, as in DCLM's classifier."""
OTHER = f"{LABEL}cc"
"""The label of all other text."""
BROKEN_LABEL = "__label __"
"""What replaces LABEL in a text."""


def without_labels(line: str) -> str:
    """The line with each label prefix broken up, so that a page about fastText does not label itself."""
    return line.replace(LABEL, BROKEN_LABEL)
