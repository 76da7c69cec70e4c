"""Points in replies, parsed and formatted, in the dialects of Molmo and Molmo 2.

- `molmo1`: `<point x="10.0" y="20.0" alt="l">l</point>` and `<points x1="10.0" y1="20.0" x2=... alt="l">l</points>`;
  percent of width and height with one decimal, sorted by x * 10000 + y after rounding. Counting:
  `Counting the {points} shows a total of N.`
- `molmo2-tab` and `molmo2`: `<points alt="l" coords="1 1 100 200 2 ...">l</points>`; thousandths with three digits at
  least, so that `5` is written `005` and not read otherwise; a group a picture, separated by a tab or by `;`, each with
  the number of the picture, then index, x and y of each point, sorted by x, then y. Counting: `There are N {points}.`

No point is `There are none.` in all of them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Dialect = Literal["molmo1", "molmo2", "molmo2-tab"]
Point = tuple[float, float]
NONE = "There are none."
LONGEST = 200_000
"""Characters of a reply. The points of a longer one are not read."""
NUMBER = r"\d{1,4}(?:\.\d{1,8})?"
TAG = re.compile(r"<points? ([^<>]{1,100000})>([^<>]{0,10000})</points?>")
ATTRIBUTE = re.compile(r"([a-z]{1,10}\d{0,6})\s?=\s?\"([^\"<>]*)\"")
MOLMO1 = re.compile(rf"([xy])(\d{{0,6}})=\"\s*({NUMBER})\s*\"")
VALID = re.compile(
    rf'<point x="{NUMBER}" y="{NUMBER}"(?: alt="[^"<>]*")?>[^<>]*</point>'
    rf'|<points(?: x\d+="{NUMBER}" y\d+="{NUMBER}")+(?: alt="[^"<>]*")?>[^<>]*</points>'
)
COUNTING = re.compile(r"Counting the (<.*>) shows a total of (\d{1,6})\.", flags=re.S)
COORDINATE = re.compile(r"\d{3,4}")


@dataclass(frozen=True)
class Points:
    """The points of a reply, in fractions of width and height."""

    points: tuple[Point, ...]
    outside: int
    """Points beyond the picture, which are left out."""
    valid: bool
    """Whether the whole reply has a published form."""


def read_points(reply: str, dialect: Dialect = "molmo1") -> Points:
    """The points that a reply names.

    Example:
        >>> read_points('<point x="10.0" y="20.0" alt="cat">cat</point>').points
        ((0.1, 0.2),)
    """
    text = reply.strip()
    if len(text) > LONGEST:
        return Points((), 0, False)
    if text == NONE:
        return Points((), 0, True)
    found: list[Point] = []
    outside = 0
    scale = 100.0 if dialect == "molmo1" else 1000.0
    for tag in TAG.finditer(text):
        for x, y in _of_molmo1(tag[1]) if dialect == "molmo1" else _of_molmo2(tag[1]):
            if x <= scale and y <= scale:
                found.append((x / scale, y / scale))
            else:
                outside += 1
    return Points(tuple(found), outside, _is_valid(text, len(found), dialect))


def _of_molmo1(attributes: str) -> list[Point]:
    axes: dict[str, dict[str, float]] = {"x": {}, "y": {}}
    for axis, index, number in MOLMO1.findall(attributes):
        axes[axis].setdefault(index, float(number))
    return [(x, axes["y"][index]) for index, x in axes["x"].items() if index in axes["y"]]


def _of_molmo2(attributes: str) -> list[Point]:
    coordinates = dict(ATTRIBUTE.findall(attributes)).get("coords", "")
    found = []
    for group in re.split(r"[\t;]", coordinates):
        pieces = group.split()[1:]
        for _, x, y in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=False):
            if COORDINATE.fullmatch(x) and COORDINATE.fullmatch(y):
                found.append((float(x), float(y)))
    return found


def _is_valid(text: str, count: int, dialect: Dialect) -> bool:
    if dialect != "molmo1":
        return count > 0
    counting = COUNTING.fullmatch(text)
    return VALID.fullmatch(counting[1] if counting else text) is not None


def format_points(points: Sequence[Point], label: str, dialect: Dialect = "molmo1", *, counting: bool = False) -> str:
    """Points of one picture, in fractions, as the text that a model is trained to write.

    Example:
        >>> format_points([(0.5, 0.25)], "cat", "molmo2")
        '<points alt="cat" coords="1 1 500 250">cat</points>'
    """
    if not points:
        return NONE
    name = html.escape(" ".join(label.split()), quote=True)
    if dialect == "molmo1":
        rounded = sorted(
            ((round(x * 100, 1), round(y * 100, 1)) for x, y in points), key=lambda at: at[0] * 10_000 + at[1]
        )
        if len(rounded) == 1:
            tag = f'<point x="{rounded[0][0]:.1f}" y="{rounded[0][1]:.1f}" alt="{name}">{name}</point>'
        else:
            pairs = " ".join(f'x{number}="{x:.1f}" y{number}="{y:.1f}"' for number, (x, y) in enumerate(rounded, 1))
            tag = f'<points {pairs} alt="{name}">{name}</points>'
        return f"Counting the {tag} shows a total of {len(points)}." if counting else tag
    whole = sorted((round(x * 1000), round(y * 1000)) for x, y in points)
    coordinates = " ".join(f"{number} {x:03d} {y:03d}" for number, (x, y) in enumerate(whole, 1))
    tag = f'<points alt="{name}" coords="1 {coordinates}">{name}</points>'
    return f"There are {len(points)} {tag}." if counting else tag
