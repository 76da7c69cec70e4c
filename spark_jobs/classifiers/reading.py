"""Scoring texts with a fastText model that a process loads once."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from spark_jobs.classifiers.labels import BROKEN_LABEL, LABEL

if TYPE_CHECKING:
    from spark_jobs.kernels.fasttext.predict import Model

DECIMALS = 6
"""Scores are stored to a millionth, so that a histogram of at most a million and one cells orders a pool exactly."""
_BROKEN_LABELS = pc.ReplaceSubstringOptions(LABEL, BROKEN_LABEL)
"""The same change as `labels.without_labels`."""


@lru_cache(maxsize=2)
def load_once(model: Path) -> Model:
    """The model in a file. A process loads each model once; it keeps two, of quality and of topics."""
    from spark_jobs.kernels.fasttext.predict import load

    return load(model)


def joined_lines(text: pa.StringArray) -> pa.StringArray:
    """Texts stripped, with label prefixes broken up. Newlines stay; the model ignores them with `joined=True`."""
    lines = pc.call_function("utf8_trim_whitespace", [text])
    letters = lines.buffers()[2]
    # Few texts contain the prefix, and a search with pyarrow would take as long as scoring.
    if letters is not None and LABEL.encode() in letters.to_pybytes():
        lines = pc.call_function("replace_substring", [lines], _BROKEN_LABELS)
    return lines


def probabilities(text: pa.StringArray, model: Path, label: str) -> NDArray[np.float64]:
    """The probability of a label of a two-label model, to a millionth, for each text as `quality.line_of` reads it.

    Raises:
        ValueError: the model has not two labels, does not know the label, or has weights that are not finite.
    """
    # A line without known words has no prediction and scores 0.
    scores = load_once(model).probability(joined_lines(text), label, joined=True).fill_null(0).to_numpy()
    if np.isnan(scores).any():
        raise ValueError("some of its weights are not finite")
    return np.round(np.clip(scores.astype(np.float64), 0, 1), DECIMALS)
