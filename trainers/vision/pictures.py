"""Pictures from strangers' bytes, decoded within bounds, and cut into crops."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainers.process.errors import TrainerError
from trainers.serving.pictures import TooLargePicture
from trainers.vision.crops import CropConfig, Layout, Placed, layout

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 1 << 25
"""Pixels of a picture, 33.5 million: its decoded form is then at most 100 MB."""
MOST_BYTES = 32 << 20
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
GREY = 127
"""The value around a picture that does not fill its crop."""


def decoded(data: bytes, name: str = "the picture") -> Image:
    """A picture in RGB from the bytes of a JPEG, PNG, WebP, GIF or BMP file; of an animation the first frame.

    What is transparent is laid over white, and the orientation that a camera recorded is applied.

    Raises:
        TrainerError: it is too large, damaged, or no picture of these formats.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    mend = f"give a picture of at most {MOST_PIXELS:,} pixels in {', '.join(FORMATS)}"
    if len(data) > MOST_BYTES:
        raise TooLargePicture(f"{name} has {len(data):,} bytes", f"give at most {MOST_BYTES:,} bytes")
    try:
        with warnings.catch_warnings():
            # The size is held against our own bound before a pixel is decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
            if picture.width * picture.height > MOST_PIXELS:
                raise TooLargePicture(f"{name} has {picture.width} x {picture.height} pixels", mend)
            picture.load()
            picture = ImageOps.exif_transpose(picture)
            if picture.has_transparency_data:
                above = picture.convert("RGBA")
                picture = Image.new("RGBA", above.size, (255, 255, 255, 255))
                picture.alpha_composite(above)
            return picture.convert("RGB")
    except TrainerError:
        raise
    except UnidentifiedImageError:
        raise TrainerError(f"{name} is no picture that is known here", mend) from None
    # Pillow's plugins raise these and more for damaged files.
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError) as error:
        cause = " ".join(str(error).split())[:200]
        raise TrainerError(f"{name} is damaged: {cause}", mend) from None


Pixels = NDArray[np.uint8]


def cut(picture: Image, config: CropConfig) -> tuple[Layout, Pixels, NDArray[np.float32]]:
    """A picture as crops.

    Returns:
        The layout, the pixels (crops, crop, crop, 3), and (crops, side^2): which part of each patch the picture covers.

    Raises:
        TrainerError: the picture has no pixel.
    """
    found = layout(picture.height, picture.width, config)
    crops, inside = [], []
    canvases = [(found.whole, (config.crop, config.crop))]
    if found.fine is not None:
        step, margin = config.window * config.patch, sum(config.margins) * config.patch
        canvases.append((found.fine, (found.grid[0] * step + margin, found.grid[1] * step + margin)))
    for number, (place, size) in enumerate(canvases):
        pixels_HW3, covered_HW = _drawn(picture, place, size)
        rows, columns = (1, 1) if number == 0 else found.grid
        for row in range(rows):
            for column in range(columns):
                top, left = row * config.window * config.patch, column * config.window * config.patch
                part = slice(top, top + config.crop), slice(left, left + config.crop)
                crops.append(pixels_HW3[part])
                inside.append(_shares(covered_HW[part], config))
    return found, np.stack(crops), np.stack(inside)


def _drawn(picture: Image, place: Placed, size: tuple[int, int]) -> tuple[Pixels, NDArray[np.float32]]:
    """The picture on its grey canvas, and a mask of where it is."""
    from PIL import Image

    pixels = np.full((*size, 3), GREY, dtype=np.uint8)
    covered = np.zeros(size, dtype=np.float32)
    scaled = picture
    if picture.size != (place.width, place.height):
        scaled = picture.resize((place.width, place.height), Image.Resampling.BILINEAR)
    part = slice(place.top, place.top + place.height), slice(place.left, place.left + place.width)
    pixels[part] = np.asarray(scaled, dtype=np.uint8)
    covered[part] = 1.0
    return pixels, covered


def _shares(covered_HW: NDArray[np.float32], config: CropConfig) -> NDArray[np.float32]:
    side, patch = config.side, config.patch
    return covered_HW.reshape(side, patch, side, patch).mean((1, 3)).reshape(-1)
