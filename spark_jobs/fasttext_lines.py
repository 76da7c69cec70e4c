"""Texts as a classifier reads them, and its model loaded once in a process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from spark_jobs.kernels.fasttext import Model

_BROKEN_LABELS = pc.ReplaceSubstringOptions("__label__", "__label __")
"""As `quality_model.line_of` breaks up words that would be labels."""


@lru_cache(maxsize=2)
def load_once(model: Path) -> Model:
    """The model in a file; a process reads those of quality and of topics once each."""
    from spark_jobs.kernels.fasttext import load

    return load(model)


def joined_lines(text: pa.StringArray) -> pa.StringArray:
    """Texts stripped, without words that would be labels; their newlines are for `joined=True` of the model."""
    lines = pc.call_function("utf8_trim_whitespace", [text])
    letters = lines.buffers()[2]
    # Hardly any text spells it, and to look for it with pyarrow would take as long as to score.
    if letters is not None and b"__label__" in letters.to_pybytes():
        lines = pc.call_function("replace_substring", [lines], _BROKEN_LABELS)
    return lines
