"""Statistics that plain Python computes, one text at a time."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa


def count_each(texts: pa.Array, count: Callable[[str], int]) -> pa.Array:
    """The result of `count` for each text, as int64; null for a null text.

    Raises:
        TypeError: the array holds something other than strings.
    """
    kind = texts.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise TypeError(f"expected an Arrow array of strings, not of {kind}")
    return pa.array([None if text is None else count(text) for text in texts.to_pylist()], pa.int64())
