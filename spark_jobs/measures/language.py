"""The language of a text, by fastText's lid.176 (Joulin et al. 2016).

DCLM deletes newlines first, which joins words; datatrove replaces them by spaces.
"""

from __future__ import annotations

import pyarrow as pa

from spark_jobs.compute import pc
from spark_jobs.measures.base import Pass, Statistic


def _languages(text: pa.Array, suffix: str = "") -> pa.RecordBatch:
    from spark_jobs.classifiers.languages import languages

    codes, scores = languages(text)
    return pa.record_batch({f"language{suffix}": codes, f"language_score{suffix}": scores.cast(pa.float64())})


def _spaced(text: pa.Array) -> pa.RecordBatch:
    return _languages(pc.replace_substring(text, "\n", " "), "_spaces")


PASSES = (
    Pass(
        name="language",
        statistics=(
            Statistic(name="language", description="ISO 639 code of the most probable language", text=True),
            Statistic(name="language_score", description="Its probability, 0..1"),
        ),
        compute=_languages,
    ),
    Pass(
        name="language_spaces",
        statistics=(
            Statistic(
                name="language",
                description="the same, a space for each newline",
                options={"newlines": "spaces"},
                text=True,
            ),
            Statistic(name="language_score", description="Its probability, 0..1", options={"newlines": "spaces"}),
        ),
        compute=_spaced,
    ),
)
