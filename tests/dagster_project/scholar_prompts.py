"""What scripted models read of the prompts in which a question is answered from passages."""

from __future__ import annotations

import re

PASSAGE = re.compile(r'<passage number="(\d+)" title="[^"]*">\n(.*?)\n</passage>', re.DOTALL)


def numbered(prompt: str, words: str) -> str:
    """Return the number of the passage that has some words, in a prompt."""
    return next(number for number, text in PASSAGE.findall(prompt) if words in text)
