"""Plots that Dagster shows in the page of a table itself.

Dagster shows Markdown of fewer than 1,000 characters in the page, and longer Markdown behind a link. These plots are
SVG images of at most 40 points, whose data URLs stay below that limit.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

INLINE = 999
"""Most characters of Markdown that Dagster shows in the page."""
WIDTH, HEIGHT, ABOVE = 300, 70, 14
"""Size of the area of a plot, and of the line of text above it, in pixels."""
MOST_POINTS = 40
BLUE, ORANGE = "#27a", "#d72"


@dataclass(frozen=True)
class Interval:
    """A forecast with its band, and what was measured, if anything was; all 0 to 1."""

    name: str
    low: float
    middle: float
    high: float
    measured: float | None = None


def line_plot(title: str, xs: Sequence[float], ys: Sequence[float], unit: str = "") -> dg.MarkdownMetadataValue:
    """Return a plot of y over x, with the first and the last y in its title. Values that are not finite are left out.

    Args:
        title: What y is; a few words of letters.
        xs: The values of x, in increasing order.
        ys: The values of y.
        unit: The unit of y.
    """
    points = [(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(x) and math.isfinite(y)]
    if len(points) < 2:
        return dg.MetadataValue.md(f"{title}: fewer than two points")
    text = f"{title}: {points[0][1]:.3g} to {points[-1][1]:.3g} {unit}".strip()
    for most in range(MOST_POINTS, 1, -4):
        chosen = _thinned(points, most)
        drawn = f'<path d="{_path(chosen)}" fill="none" stroke="{BLUE}"/>'
        if len(found := _picture(text, drawn, HEIGHT)) <= INLINE:
            break
    return dg.MetadataValue.md(found)


def curve_and_points(
    title: str, curve: Sequence[tuple[float, float]], points: Sequence[tuple[float, float]]
) -> dg.MarkdownMetadataValue:
    """Return a plot of a fitted curve and of the points that it was fitted to."""
    finite = [point for point in (*curve, *points) if all(map(math.isfinite, point))]
    if len(finite) < 2:
        return dg.MetadataValue.md(f"{title}: fewer than two points")
    for most in range(24, 1, -4):
        place = _scale(finite)
        line = " ".join(f"{x} {y}" for x, y in map(place, _thinned(list(curve), most)))
        dots = "".join(f"M{x} {y}h0" for x, y in map(place, _thinned(list(points), most)))
        drawn = (
            f'<path d="M{line}" fill="none" stroke="{BLUE}"/>'
            f'<path d="{dots}" stroke="{ORANGE}" stroke-width="5" stroke-linecap="round"/>'
        )
        if len(found := _picture(title, drawn, HEIGHT)) <= INLINE:
            break
    return dg.MetadataValue.md(found)


def interval_plot(title: str, intervals: Sequence[Interval]) -> dg.MarkdownMetadataValue:
    """Return a plot of forecasts with their bands from 0 to 1, a row each, and of what was measured, in orange."""
    for most in range(min(len(intervals), 8), 0, -1):
        rows = []
        for at, each in enumerate(intervals[:most]):
            y = 16 * at + 8
            low, middle, high = (round(WIDTH * value) for value in (each.low, each.middle, each.high))
            rows.append(f'<path d="M{low} {y}H{high}M{middle} {y - 4}v8" stroke="{BLUE}"/>')
            if each.measured is not None:
                rows.append(f'<path d="M{round(WIDTH * each.measured)} {y}h0" class="m"/>')
            rows.append(f'<text x="304" y="{y + 4}">{_letters(each.name)[:16]}</text>')
        left_out = f", {len(intervals) - most} more not shown" if most < len(intervals) else ""
        found = _picture(f"{title}{left_out}", "".join(rows), 16 * most)
        if len(found) <= INLINE:
            return dg.MetadataValue.md(found)
    return dg.MetadataValue.md(f"{title}: nothing to show")


def _thinned(points: list[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """Return at most `most` of the points, evenly spaced, with the first and the last."""
    if len(points) <= most:
        return points
    return [points[round(at * (len(points) - 1) / (most - 1))] for at in range(most)]


def _path(points: list[tuple[float, float]]) -> str:
    place = _scale(points)
    return "M" + " ".join(f"{x} {y}" for x, y in map(place, points))


def _scale(points: Sequence[tuple[float, float]]):
    """Return the function from a point to its pixels."""
    (left, right), (low, high) = (
        (min(values), max(values)) for values in ([x for x, _ in points], [y for _, y in points])
    )

    def place(point: tuple[float, float]) -> tuple[int, int]:
        x, y = (point[0] - left) / ((right - left) or 1), (point[1] - low) / ((high - low) or 1)
        return round(x * WIDTH), ABOVE + 3 + round((1 - y) * (HEIGHT - 6))

    return place


def _picture(title: str, drawn: str, height: int) -> str:
    style = f"text{{font:11px sans-serif}}.m{{stroke:{ORANGE};stroke-width:5;stroke-linecap:round}}"
    style = style if "class" in drawn else "text{font:11px sans-serif}"
    title = _letters(title)
    shifted = drawn if "304" not in drawn else f'<g transform="translate(0 {ABOVE})">{drawn}</g>'
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + 110}" height="{height + ABOVE + 4}">'
        f'<style>{style}</style><text y="11">{title}</text>{shifted}</svg>'
    )
    return f"![{title}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _letters(text: str) -> str:
    """Return `text` without the characters that mean something in SVG or Markdown."""
    return "".join(each for each in text if each.isalnum() or each in " .,:;+-/%")[:60]
