"""Scaled rotary positions, as the numbers that frequencies are divided by: what config.json says of them.

Three kinds: "linear" (arXiv 2306.15595), "llama3" (Llama 3.1, section 3.4.3 and its reference code) and "longrope"
(arXiv 2402.13753) where its numbers do not depend on the length and attention is not scaled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trainers.process.errors import TrainerError

KINDS = ("default", "linear", "llama3", "longrope")


def rope_divisors(parsed: Mapping[str, Any], head_width: int, theta: float, place: str) -> tuple[float, ...]:
    """K / 2 divisors, the highest frequency first; () for positions that are not scaled.

    Args:
        parsed: config.json, with `rope_parameters` or, in older ones, `rope_scaling`.
        place: the file, for errors.

    Raises:
        TrainerError: another kind, or a number that is missing.
    """
    rope = parsed.get("rope_scaling") or parsed.get("rope_parameters") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    pairs = head_width // 2
    try:
        if kind == "linear":
            return (float(rope["factor"]),) * pairs
        if kind == "llama3":
            original = rope.get("original_max_position_embeddings") or parsed["max_position_embeddings"]
            return llama3_divisors(
                [2 * math.pi * theta ** (2 * pair / head_width) for pair in range(pairs)],
                float(rope["factor"]),
                original / float(rope["low_freq_factor"]),
                original / float(rope["high_freq_factor"]),
            )
        if kind == "longrope" and rope["short_factor"] == rope["long_factor"] and rope.get("attention_factor") == 1.0:
            return tuple(rope["short_factor"])
    except KeyError as error:
        raise TrainerError(f"{place}: {kind} positions lack {error}", "export the model again in full") from None
    if kind != "default":
        raise TrainerError(
            f"{place}: rope_type is {kind!r}, which the decoders here have not", f"give one of {', '.join(KINDS)}"
        )
    return ()


def llama3_divisors(wavelengths: Sequence[float], factor: float, longest: float, shortest: float) -> tuple[float, ...]:
    """Divisors of Llama 3.1: `factor` for wavelengths (in tokens) above `longest`, 1 below `shortest`.

    Between the two, frequencies are interpolated by how often a wave fits into the original length.
    """
    found = []
    for wave in wavelengths:
        if wave > longest:
            found.append(factor)
        elif wave < shortest:
            found.append(1.0)
        else:
            smooth = (longest / wave - 1) / (longest / shortest - 1)
            found.append(1 / ((1 - smooth) / factor + smooth))
    return tuple(found)


def as_longrope(divisors: Sequence[float], length: int) -> dict[str, Any]:
    """The fields of `rope_parameters` that make transformers divide by these numbers at every length."""
    return {
        "rope_type": "longrope",
        "short_factor": list(divisors),
        "long_factor": list(divisors),
        "attention_factor": 1.0,
        "factor": 1.0,
        "original_max_position_embeddings": length,
    }
