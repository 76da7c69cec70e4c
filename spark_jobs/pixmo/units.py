"""The unit of published coordinates, row by row: percent of the picture, or pixels.

The card of PixMo-Points says pixels, Molmo's code reads percent, and PixMo-Count has pixels; rows of the other unit in
a set would teach a model to point at the wrong place. A row shows its unit in three ways.

- Range: a coordinate above 100 is not a percentage, and one beyond the width or height is not a pixel.
- Area: all points of a picture of 640 x 480 lie in its upper left 100 x 100 pixels by chance in 3% of rows of a point.
- Digits: percentages are published with one decimal, pixels whole or with many. How often is counted in the rows of the
  set whose range decides.

The set's unit is that of most rows. Rows that are known, with a probability of CERTAIN at least, to
be in the other unit are set apart, and so are rows of no certain unit and rows with points outside the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENT, PIXEL, NONE, UNKNOWN = "percent", "pixel", "none", "unknown"
CERTAIN = 0.9
"""Probability from which on a unit counts as known."""
PRIOR = 0.95
"""Probability that a row is in the unit of its set, before it is looked at."""
SLACK = 1.0
"""Pixels by which a point may lie beyond the picture: annotators click on its edge."""
TYPICAL = (640.0, 480.0)
"""Width and height that pictures of unknown size are taken to have."""
INDEPENDENT = 4
"""Coordinates of a row whose digits count as evidence of their own; those of a row are written alike."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Placed:
    """Rows of a set that hold points.

    points_N2 are x and y of all rows in order; row i has points_N2[starts[i]:starts[i + 1]]. sizes_R2 are width and
    height of each row's picture, 0 where they are unknown.
    """

    points_N2: NDArray[np.float64]
    starts: NDArray[np.int64]
    sizes_R2: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Sequence[Sequence[Row]], sizes: Sequence[tuple[int, int] | None]) -> Placed:
        """From lists of {x, y} and of (width, height)."""
        starts = np.concatenate(([0], np.cumsum([len(points) for points in rows]))).astype(np.int64)
        flat = [(point["x"], point["y"]) for points in rows for point in points]
        known = np.array([size or (0, 0) for size in sizes], dtype=np.float64).reshape(-1, 2)
        return cls(np.array(flat, dtype=np.float64).reshape(-1, 2), starts, known)

    def each(self, values: NDArray[Any], how: Any, empty: float) -> NDArray[np.float64]:
        """`how` (a ufunc) over the values of each row's points; `empty` for a row without points."""
        found = np.full(len(self.starts) - 1, empty, dtype=np.float64)
        filled = np.flatnonzero(np.diff(self.starts))
        if len(filled):
            found[filled] = how.reduceat(values, self.starts[:-1][filled])
        return found


@dataclass(frozen=True)
class Units:
    """The unit of each row."""

    unit: list[str]
    known_by: list[str]
    """stated, range, likelihood, set or none."""
    certainty: NDArray[np.float64]
    """Probability of the unit."""
    why: list[str]
    """Why the row is set apart: unit, outside, unknown, size or number; empty if it is not."""
    set_unit: str


def decide_units(placed: Placed, declared: str, stated: Sequence[str | None] | None = None) -> Units:
    """Decide the unit of every row of a set.

    A row that states its unit is in that unit, whatever the set is in, if its points are possible in it.

    Args:
        placed: the rows.
        declared: percent or pixel: the unit of the set if no row decides.
        stated: the unit that each row states; None where it states none.

    Example:
        >>> rows = [[{"x": 12.5, "y": 50.0}], [{"x": 300.0, "y": 40.0}]]
        >>> found = decide_units(Placed.of(rows, [(640, 480)] * 2), "percent")
        >>> found.unit, found.why
        (['percent', 'pixel'], ['', 'unit'])
    """
    counts = np.diff(placed.starts)
    finite = np.isfinite(placed.points_N2).min(axis=1, initial=True).astype(np.float64)
    numbers = placed.each(finite, np.minimum, 1.0) > 0
    points = np.where(np.isfinite(placed.points_N2), placed.points_N2, 0.0)
    sized: NDArray[np.bool_] = placed.sizes_R2.min(axis=1, initial=np.inf) > 0
    low = placed.each(points.min(axis=1, initial=np.inf), np.minimum, 0.0)
    high = np.stack([placed.each(points[:, axis], np.maximum, 0.0) for axis in (0, 1)], axis=1)
    may_percent = (low >= 0) & (high <= 100).all(axis=1)
    may_pixel = (low >= -SLACK) & ((high <= placed.sizes_R2 + SLACK).all(axis=1) | ~sized)
    some = (counts > 0) & numbers
    only_percent, only_pixel = some & may_percent & ~may_pixel, some & may_pixel & ~may_percent
    corner = _log_corner(placed, sized)
    set_unit = _set_unit(corner[some & may_percent], int(only_pixel.sum()), declared)
    percent = _probability(placed, points, corner, only_pixel, set_unit)
    percent[only_percent], percent[only_pixel] = 1.0, 0.0
    found = _units(
        counts,
        numbers,
        sized,
        may_percent,
        may_pixel,
        decided=only_percent | only_pixel,
        percent=percent,
        unit=set_unit,
    )
    return found if stated is None else _with_stated(found, stated, {PERCENT: may_percent, PIXEL: may_pixel}, sized)


def _set_unit(corner: NDArray[np.float64], pixels: int, declared: str) -> str:
    """The unit of most rows: those that only pixels explain against those that percent explains and pixels hardly.

    Args:
        corner: of rows that can be percent, the log of the chance that they look so in pixels.
        pixels: rows that cannot be percent.
        declared: the unit if neither has more.
    """
    percents = float((1 - np.exp(corner)).sum())
    return declared if percents == pixels else PERCENT if percents > pixels else PIXEL


def _log_corner(placed: Placed, sized: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Log of the chance that all of a row's points, in pixels, are in the corner where they could be percentages."""
    sizes = np.where(sized[:, None], np.maximum(placed.sizes_R2, 1.0), TYPICAL)
    return np.diff(placed.starts) * np.log(np.minimum(100.0, sizes) / sizes).sum(axis=1)


def _probability(
    placed: Placed,
    points: NDArray[np.float64],
    corner: NDArray[np.float64],
    only_pixel: NDArray[np.bool_],
    set_unit: str,
) -> NDArray[np.float64]:
    """The probability of each row to be in percent, by area and digits."""
    owner = np.repeat(np.arange(len(corner)), np.diff(placed.starts))
    kind_N2 = np.where(points == np.round(points), 0, np.where(np.isclose(points * 10, np.round(points * 10)), 1, 2))
    # Of rows that are certain: in pixels by their range, in percent because all would lie in the corner by chance.
    surely_percent = ~only_pixel & (corner < np.log(1e-3))
    logs = np.zeros(len(corner))
    counted = np.maximum(np.diff(placed.starts) * 2, 1)
    for sign, certain in ((1.0, surely_percent), (-1.0, only_pixel)):
        seen = np.bincount(kind_N2[certain[owner]].reshape(-1), minlength=3)[:3] if len(owner) else np.zeros(3)
        chance = np.log((seen + 1.0) / (seen.sum() + 3.0))
        total = placed.each(chance[kind_N2].sum(axis=1) if len(owner) else np.zeros(0), np.add, 0.0)
        logs += sign * total * np.minimum(1.0, INDEPENDENT / counted)
    prior = np.log(PRIOR / (1 - PRIOR)) * (1.0 if set_unit == PERCENT else -1.0)
    return 1.0 / (1.0 + np.exp(-np.clip(prior - corner + logs, -500, 500)))


def _units(
    counts: NDArray[np.int64],
    numbers: NDArray[np.bool_],
    sized: NDArray[np.bool_],
    may_percent: NDArray[np.bool_],
    may_pixel: NDArray[np.bool_],
    *,
    decided: NDArray[np.bool_],
    percent: NDArray[np.float64],
    unit: str,
) -> Units:
    units, known_by, certainty, why = [], [], np.ones(len(counts)), []
    for row, count in enumerate(counts):
        chance = float(percent[row])
        likely = PERCENT if chance >= 0.5 else PIXEL
        certainty[row] = max(chance, 1 - chance)
        if count == 0:
            found, by, reason, certainty[row] = NONE, "none", "", 1.0
        elif not numbers[row]:
            found, by, reason = UNKNOWN, "none", "number"
        elif not may_percent[row] and not may_pixel[row]:
            found, by, reason = UNKNOWN, "none", "outside"
        elif decided[row]:
            found, by, reason = likely, "range", "" if likely == unit else "unit"
        elif certainty[row] < CERTAIN:
            found, by, reason = UNKNOWN, "none", "unknown"
        else:
            found, by, reason = likely, "likelihood" if sized[row] else "set", "" if likely == unit else "unit"
        if not reason and found == PIXEL and not sized[row]:
            reason = "size"
        units.append(found)
        known_by.append(by)
        why.append(reason)
    return Units(units, known_by, certainty, why, unit)


def _with_stated(
    units: Units,
    stated: Sequence[str | None],
    possible: dict[str, NDArray[np.bool_]],
    sized: NDArray[np.bool_],
) -> Units:
    """The units, with those that rows state where their points are possible in them."""
    for row, unit in enumerate(stated):
        if unit is None or units.unit[row] == NONE or units.why[row] == "number":
            continue
        units.certainty[row] = 1.0
        if not possible[unit][row]:
            units.unit[row], units.known_by[row], units.why[row] = UNKNOWN, "none", "outside"
        else:
            units.unit[row], units.known_by[row] = unit, "stated"
            units.why[row] = "size" if unit == PIXEL and not sized[row] else ""
    return units


def to_percent(points: Sequence[Row], unit: str, size: tuple[int, int] | None) -> list[Row]:
    """Points in percent with one decimal, moved onto the picture where they lie a pixel beyond its edge.

    Args:
        points: {x, y} in `unit`.
        unit: percent, pixel or none.
        size: width and height of the picture; needed for pixels.
    """
    if unit == PIXEL:
        assert size is not None
        scales = (100 / size[0], 100 / size[1])
    else:
        scales = (1.0, 1.0)
    return [
        {axis: round(min(max(point[axis] * scale, 0.0), 100.0), 1) for axis, scale in zip("xy", scales, strict=True)}
        for point in points
    ]
