"""Statistics that Python tells, a text at a time."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa


def count_each(texts: pa.Array, tell: Callable[[str], int]) -> pa.Array:
    """What a function tells of each text: int64, null for a null text.

    Raises:
        TypeError: the array holds something other than strings.
    """
    kind = texts.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise TypeError(f"an Arrow array of strings is wanted, not of {kind}")
    return pa.array([None if text is None else tell(text) for text in texts.to_pylist()], pa.int64())
