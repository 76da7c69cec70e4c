"""Limits runs of newlines and removes wiki citations, as in mlfoundations/dclm, baselines/mappers/modifiers.py."""

from __future__ import annotations

import pyarrow as pa

from catalog.errors import WatershedError
from spark_jobs.measures.base import Edit, Option


def limit_newlines(text: pa.Array, *, max_consecutive: int = 2) -> pa.Array:
    """Cut newlines beyond `max_consecutive` in a row (newline_removal_modifier)."""
    from spark_jobs.kernels.marks import with_newlines_in_a_row

    if max_consecutive < 0:
        raise WatershedError(f"limit_newlines: max_consecutive is {max_consecutive}", "give 0 or more")
    return with_newlines_in_a_row(text, max_consecutive)


def remove_citations(text: pa.Array) -> pa.Array:
    """Cut `[12]`, `[]`, `[edit]` and `[citation needed]` (citation_removal_modifier, after C4)."""
    from spark_jobs.kernels.marks import without_citations

    return without_citations(text)


EDITS = (
    Edit(
        name="limit_newlines",
        description="cuts newlines beyond a number in a row",
        options={"max_consecutive": Option(kind=int, description="most newlines in a row", default=2)},
        apply=limit_newlines,
    ),
    Edit(
        name="remove_citations",
        description="cuts [12], [edit] and [citation needed]",
        options={},
        apply=remove_citations,
    ),
)
