"""The rates of a mixture of data sets, as Molmo's second stage draws them.

Groups have fixed shares. Within a group a data set is drawn in proportion to the square root of its size, so that a
large one does not drown the small ones; `most` bounds the size that counts, and `factor` multiplies the root
(launch_scripts/train_multitask_model.py of Molmo: demonstrations .15, academic sets .50, pointing .35).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainers.process.errors import TrainerError


@dataclass(frozen=True, kw_only=True)
class Part:
    """A data set of a mixture."""

    group: str
    size: int
    """Samples."""
    most: int = 0
    """The size that counts, at most; 0: all of it."""
    factor: float = 1.0


def rates(groups: Mapping[str, float], parts: Sequence[Part]) -> list[float]:
    """The share of each part in the mixture; they add up to 1.

    Args:
        groups: the share of each group; only their ratios count.
        parts: the data sets.

    Raises:
        TrainerError: a group has no data set, a data set names no group, or a share is not above 0.

    Example:
        >>> rates({"a": 0.65, "pointing": 0.35}, [Part(group="a", size=100), Part(group="a", size=10_000, most=900),
        ...     Part(group="pointing", size=7)])
        [0.1625, 0.4875, 0.35]
    """
    total = math.fsum(groups.values())
    roots = [part.factor * math.sqrt(min(part.size, part.most or part.size)) for part in parts]
    for name, share in groups.items():
        if not share > 0:
            raise TrainerError(f"the share of the group {name!r} is {share}", "give a number above 0, or leave it out")
        if not any(part.group == name and root > 0 for part, root in zip(parts, roots, strict=True)):
            raise TrainerError(f"the group {name!r} has no data set", "add a source with this group, or leave it out")
    for part in parts:
        if part.group not in groups:
            raise TrainerError(
                f"a source names the group {part.group!r}", f"name one of {', '.join(groups)}, or add it to groups"
            )
    sums = {
        name: math.fsum(root for part, root in zip(parts, roots, strict=True) if part.group == name) for name in groups
    }
    return [
        groups[part.group] / total * root / sums[part.group] if root else 0.0
        for part, root in zip(parts, roots, strict=True)
    ]
