"""Statistics of dolma's Gopher and C4 taggers (allenai/dolma 1.1.2, python/dolma/taggers/gopher.py and c4.py).

`by: dolma` is gopher_v1 and c4_v1, `by: dolma_v2` gopher_v2, to which newlines in a row end one line, and c4_v2. Of an
empty text every one is 0. The taggers' flag for words of a list is not among them: `substring_matches` takes a list.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from spark_jobs.measures.base import Pass, Statistic
from spark_jobs.measures.datatrove import table

_ABOUT = {
    "characters": "characters",
    "words": "words between white space",
    "stop_words": "occurrences of the, be, to, of, and, that, have, with, in lower case",
    "median_word_length": "characters of the median word",
    "symbol_word_ratio": "share of words that hold a hash sign or U+2026",
    "alphabetic_word_ratio": "share of words with a letter",
    **{f"top_{n}gram_character_ratio": f"share of words' characters in the top {n}-gram" for n in range(2, 5)},
    **{
        f"duplicate_{n}gram_character_ratio": f"share of {n}-grams' characters in those that recur"
        for n in range(5, 11)
    },
}
_LINES = {
    "bullet_line_ratio": "share of lines that begin with an asterisk or a hyphen",
    "ellipsis_line_ratio": "share of lines that end with U+2026",
    "duplicate_line_ratio": "share of lines that occur again, all copies counted",
    "duplicate_line_character_ratio": "characters in lines that occur again to those of words",
}
_V1, _V2 = {"by": "dolma"}, {"by": "dolma_v2"}
_GOPHER = (
    *(Statistic(name=name, description=text, options=_V1) for name, text in _ABOUT.items()),
    *(Statistic(name=name, description=text, options=_V1) for name, text in _LINES.items()),
    *(
        Statistic(name=name, description=f"{text}; newlines in a row as one", options=_V2)
        for name, text in _LINES.items()
    ),
)
_C4 = (
    Statistic(name="lines", description="pieces between newlines", options=_V1),
    Statistic(name="unpunctuated_lines", description="lines that end in none of . ? ! and the quotation mark"),
    Statistic(name="short_lines", description="lines of less than three words"),
    Statistic(name="javascript", description="how often it is a word of its own", options=_V1),
    Statistic(name="javascript", description="how often it occurs", options=_V2),
    Statistic(name="lorem_ipsum", description="how often `lorem ipsum` occurs", options=_V1),
    Statistic(name="curly_brackets", description="how often `{` occurs", options=_V1),
)


def _gopher(text: pa.Array) -> pa.RecordBatch:
    from spark_jobs.kernels.peers.dolma_page import gopher_page

    counts, ratios = gopher_page(text)
    values: list[np.ndarray] = [*counts, *ratios]
    return table(text, _GOPHER, values)


def _c4(text: pa.Array) -> pa.RecordBatch:
    from spark_jobs.kernels.peers.dolma_page import c4_page

    return table(text, _C4, [*c4_page(text)])


PASSES: tuple[Pass, ...] = (
    Pass(name="dolma_gopher", statistics=_GOPHER, compute=_gopher),
    Pass(name="dolma_c4", statistics=_C4, compute=_c4),
)
