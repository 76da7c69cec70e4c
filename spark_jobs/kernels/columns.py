"""Names and types of the statistics of a document, in one place that imports nothing heavy."""

from __future__ import annotations

import pyarrow as pa

COUNTS = ("characters", "words", "stop_words")
RATIOS = (
    "mean_word_length",
    "symbol_word_ratio",
    "bullet_line_ratio",
    "ellipsis_line_ratio",
    "no_alphabetic_word_ratio",
    "duplicate_line_ratio",
    "duplicate_paragraph_ratio",
    "duplicate_line_character_ratio",
    "duplicate_paragraph_character_ratio",
    *(f"top_{n}gram_character_ratio" for n in range(2, 5)),
    *(f"duplicate_{n}gram_character_ratio" for n in range(5, 11)),
)

STATISTICS = pa.schema([(name, pa.int64()) for name in COUNTS] + [(name, pa.float64()) for name in RATIOS])
"""Columns that `statistics.statistics` returns for each document."""
