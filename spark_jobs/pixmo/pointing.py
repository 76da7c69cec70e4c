"""Points of a reply against the objects of a picture, as Molmo's pointing evaluation scores them.

Predicted and true points are matched by the Hungarian method on their distance in pixels. A match is a hit when the
predicted point, rounded to a pixel, lies inside the box or mask of its object. Precision is hits over predicted points,
recall hits over objects. Where there is no object, naming none is right and any point is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from catalog.errors import WatershedError
from spark_jobs.pixmo.points import read_points

MOST_PIXELS = 1 << 28
MOST_POINTS = 10_000


@dataclass(frozen=True)
class Region:
    """The place of one object: a box with exclusive ends, or a mask of the picture."""

    box: tuple[float, float, float, float] | None = None
    mask_HW: np.ndarray | None = None

    def holds(self, x: int, y: int) -> bool:
        """Whether a pixel is inside."""
        if self.box is not None:
            return bool(self.box[0] <= x < self.box[2] and self.box[1] <= y < self.box[3])
        assert self.mask_HW is not None
        height, width = self.mask_HW.shape
        return 0 <= x < width and 0 <= y < height and bool(self.mask_HW[y, x])

    def centre(self) -> tuple[float, float]:
        """The point that stands for the object where no true point is given."""
        if self.box is not None:
            return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2
        assert self.mask_HW is not None
        ys, xs = np.nonzero(self.mask_HW)
        return float(xs.mean()), float(ys.mean())


def mask_from_runs(runs: Any, width: int, height: int) -> np.ndarray:
    """A mask from the lengths of its runs, down the columns, from 0 at the top left, as COCO writes them.

    Args:
        runs: a list of lengths, or COCO's `{"size": [height, width], "counts": [...]}`.
        width: of the picture.
        height: of the picture.

    Raises:
        WatershedError: the runs do not fill the picture.

    Example:
        >>> mask_from_runs([1, 2, 1], 2, 2).tolist()
        [[False, True], [True, False]]
    """
    if isinstance(runs, dict):
        if runs.get("size") != [height, width]:
            raise WatershedError(f"a mask has the size {runs.get('size')}", f"give masks of [{height}, {width}]")
        runs = runs.get("counts")
    if not isinstance(runs, list) or not all(isinstance(run, int) and run >= 0 for run in runs):
        raise WatershedError("a mask is not a list of run lengths", "give uncompressed run lengths, down the columns")
    if sum(runs) != width * height:
        raise WatershedError(f"the runs of a mask cover {sum(runs):,} pixels", f"cover all {width * height:,} pixels")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask = flat.reshape((width, height)).T
    if not mask.any():
        raise WatershedError("a mask is empty", "leave out objects without a pixel")
    return mask


def score_points(  # noqa: PLR0917
    reply: str,
    width: int,
    height: int,
    regions: Sequence[Region],
    points: Sequence[tuple[float, float]] = (),
    rule: str = "molmo1",
) -> dict[str, Any]:
    """Score a reply that names points.

    Args:
        reply: of the model.
        width: of the picture in pixels.
        height: of the picture in pixels.
        regions: of the objects.
        points: a true point of each object in pixels, in the order of `regions`; the centres where there are none.
        rule: `molmo1` reads percent, and a reply that has no published form as a whole scores 0; `molmo2` reads
            thousandths and does not look at the form.

    Returns:
        `precision`, `recall`, `f1`, `hits`, `predicted`, `objects`, `valid`, `outside`.

    Example:
        >>> score_points('<point x="50.0" y="50.0">a</point>', 10, 10, [Region(box=(4, 4, 7, 7))])["f1"]
        1.0
    """
    found = read_points(reply, "molmo1" if rule == "molmo1" else "molmo2")
    predicted = [(x * width, y * height) for x, y in found.points[:MOST_POINTS]]
    shape = {"predicted": len(found.points), "objects": len(regions), "valid": found.valid, "outside": found.outside}
    if rule == "molmo1" and not found.valid:
        return {"precision": 0.0, "recall": 0.0, "f1": 0.0, "hits": 0, **shape}
    if not regions:
        right = float(found.valid and not found.points and not found.outside)
        return {"precision": right, "recall": right, "f1": right, "hits": 0, **shape}
    hits = _hits(predicted, regions, points or [region.centre() for region in regions])
    precision, recall = hits / len(found.points) if found.points else 0.0, hits / len(regions)
    f1 = 2 * hits / (len(found.points) + len(regions))
    return {"precision": precision, "recall": recall, "f1": f1, "hits": hits, **shape}


def _hits(
    predicted: Sequence[tuple[float, float]], regions: Sequence[Region], points: Sequence[tuple[float, float]]
) -> int:
    if not predicted:
        return 0
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    rows, columns = linear_sum_assignment(cdist(np.array(predicted), np.array(points)))
    return sum(
        regions[column].holds(round(predicted[row][0]), round(predicted[row][1]))
        for row, column in zip(rows, columns, strict=True)
    )
