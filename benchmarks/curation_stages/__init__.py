"""The stages of curation, each beside the peers that do the same.

A stage is a module with `contests(pages)`: it prepares both sides once, and yields what is then run in turns.

- `contest`: how two sides are run and compared; `pages`: the documents that both get
- `rules`, `near_copies`, `paragraphs`, `classifier`, `language`, `extraction`, `tokens`, `end_to_end`, `spark`
- `growth`: our own memory and cost as inputs grow
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from benchmarks.curation_stages.contest import Contest
from benchmarks.curation_stages.pages import Pages

STAGES = {
    "extraction": "extraction",
    "language": "language",
    "rules": "rules",
    "minhash": "near_copies",
    "paragraphs": "paragraphs",
    "classifier": "classifier",
    "tokens": "tokens",
    "end-to-end": "end_to_end",
    "spark": "spark",
}
"""Name and module, in the order in which they are run."""


def contests(stage: str, pages: Pages) -> Iterator[Contest[Any, Any]]:
    """The comparisons of a stage."""
    yield from importlib.import_module(f"{__name__}.{STAGES[stage]}").contests(pages)
