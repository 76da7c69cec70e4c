"""Charts as inline SVG: no script, no request, the colours of the page in light and dark.

Every chart has a text that says what it shows, for readers who do not see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from catalog.cards.site.html import Markup, count, join, tag, text

HISTOGRAM = (132, 34)
"""Width and height of the histogram of a column, in pixels."""
LINES = (680, 260)
MARGIN = (56, 14, 34, 14)
"""Left, top, bottom and right, in pixels, for the axes of a line chart."""


def histogram(bins: Sequence[int], label: str) -> Markup:
    """Bars of equal width. Their heights are the square roots of the counts, so that a long tail is seen."""
    width, height = HISTOGRAM
    most = math.sqrt(max(bins, default=0)) or 1
    step = width / len(bins)
    drawn = "".join(
        f"M{place * step:.1f} {height}v-{max(math.sqrt(each) / most * height, 1.5):.1f}h{step - 1:.1f}V{height}z"
        for place, each in enumerate(bins)
        if each
    )
    return _svg(width, height, label, tag("path", d=drawn, class_="bar"), class_="spark")


def bars(rows: Sequence[tuple[str, float, str]], label: str, *, most: float | None = None) -> Markup:
    """Horizontal bars, a row each: name, value and what is written behind it. It is HTML, so that text wraps."""
    top = most or max((value for _, value, _ in rows), default=0) or 1
    return tag(
        "ul",
        join(
            tag(
                "li",
                tag("span", name, class_="name"),
                tag(
                    "span",
                    tag("span", style=f"width:{100 * min(max(value, 0) / top, 1):.1f}%"),
                    class_="track",
                    aria_hidden="true",
                ),
                tag("span", written, class_="value"),
            )
            for name, value, written in rows
        ),
        class_="bars",
        aria_label=label,
    )


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line or a set of points of a chart."""

    name: str
    points: Sequence[tuple[float, float]]
    style: str = "line"
    """line, points, or band (`points` go there along the lower edge and back along the upper one)."""


def lines(series: Sequence[Line], *, x: str, y: str, label: str, log_x: bool = False) -> Markup:
    """Lines and points over two axes.

    Args:
        x: what the horizontal axis measures, with its unit.
        y: the same of the vertical axis.
        log_x: whether the horizontal axis is logarithmic; all x are then positive.
    """
    points = [point for each in series for point in each.points if all(map(math.isfinite, point))]
    if not points:
        return Markup("")
    scale = math.log10 if log_x else float
    left, top, bottom, right = MARGIN
    width, height = LINES
    low_x, high_x = _span([scale(each[0]) for each in points])
    low_y, high_y = _span([each[1] for each in points])

    def place(point: tuple[float, float]) -> str:
        across = left + (scale(point[0]) - low_x) / (high_x - low_x) * (width - left - right)
        down = top + (high_y - point[1]) / (high_y - low_y) * (height - top - bottom)
        return f"{across:.1f} {down:.1f}"

    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        down = top + share * (height - top - bottom)
        parts.append(tag("path", d=f"M{left} {down:.1f}H{width - right}", class_="grid"))
        parts.append(
            tag(
                "text",
                _tick(high_y - share * (high_y - low_y)),
                x=left - 6,
                y=f"{down + 4:.1f}",
                class_="tick end",
            )
        )
        value = low_x + share * (high_x - low_x)
        across = left + share * (width - left - right)
        anchor = "tick" if share == 0 else "tick end" if share == 1 else "tick middle"
        parts.append(
            tag(
                "text",
                _tick(10**value if log_x else value),
                x=f"{across:.1f}",
                y=height - bottom + 16,
                class_=anchor,
            )
        )
    parts.append(tag("text", x, x=(left + width - right) / 2, y=height - 3, class_="tick middle"))
    for number, each in enumerate(series):
        kept = [place(point) for point in each.points if all(map(math.isfinite, point))]
        if each.style == "points":
            parts += [
                tag("circle", cx=spot.split()[0], cy=spot.split()[1], r=4, class_=f"s{number % 4} dot") for spot in kept
            ]
        else:
            closed = "z" if each.style == "band" else ""
            parts.append(tag("path", d=f"M{' L'.join(kept)}{closed}", class_=f"s{number % 4} {each.style}"))
    legend = tag(
        "p",
        tag("span", f"{y}: ", class_="quiet"),
        join((tag("span", each.name, class_=f"key s{number % 4}") for number, each in enumerate(series)), " "),
        class_="legend",
    )
    return tag("figure", legend, _svg(width, height, label, join(parts), class_="chart"))


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if high > low:
        return low, high
    return low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2


def _tick(value: float) -> str:
    """A number under or beside an axis, in three digits: 0.25, 1,200, 4.9e11."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:.2g}".replace("e+", "e") if abs(rounded) >= 1e6 else count(rounded)


def _svg(width: float, height: float, label: str, inner: Markup, class_: str) -> Markup:
    return Markup(
        f'<svg class="{class_}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'aria-label="{text(label)}">{inner}</svg>'
    )
