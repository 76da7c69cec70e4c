"""Whether bytes are a whole picture of a reasonable size, without trusting them.

The size is read from the header before anything is decoded, so that a decompression bomb costs nothing. Then the whole
picture is decoded, because a truncated one has a sound header.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

MOST_PIXELS = 64_000_000
"""Width times height. A decoded picture of this size takes 192 MB."""
FORMATS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
ENDINGS = {**FORMATS, "MPO": "jpg"}
"""Pillow calls a JPEG with further pictures behind the first, as telephones write them, MPO."""
ORIENTATION = 0x0112
"""EXIF tag; 5 to 8 say that the picture is shown turned by a quarter."""


class NotAPicture(Exception):
    """Bytes that are not a whole picture; `kind` is wrong_type, truncated or bomb."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class Looked:
    """What a picture is."""

    format: str
    """jpg, png or webp."""
    width: int
    """Pixels, after its orientation is applied."""
    height: int
    one_colour: bool
    """Whether all of its pixels are equal."""


def look(picture: bytes | Path, most_pixels: int = MOST_PIXELS) -> Looked:
    """Decode a picture and say what it is.

    Args:
        picture: its bytes, or the file that holds them.
        most_pixels: the largest width times height that is decoded.

    Raises:
        NotAPicture: it is not a JPEG, PNG or WebP, is truncated or broken, or has more pixels.

    Example:
        >>> look(png)
        Looked(format='png', width=8, height=6, one_colour=True)
    """
    from PIL import Image, UnidentifiedImageError

    source = io.BytesIO(picture) if isinstance(picture, bytes) else picture
    try:
        with warnings.catch_warnings():
            # The number of pixels is checked here, for every format alike.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source, formats=tuple(FORMATS)) as image:
                width, height = image.size
                if width * height > most_pixels:
                    raise NotAPicture("bomb", f"{width} x {height} pixels, more than {most_pixels:,}")
                image.load()
                turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
                extrema = image.convert("RGB").getextrema()
                ending = ENDINGS[image.format or ""]
    except UnidentifiedImageError:
        raise NotAPicture("wrong_type", "the bytes are not a JPEG, PNG or WebP") from None
    except Image.DecompressionBombError as error:
        raise NotAPicture("bomb", str(error)[:200]) from None
    except (OSError, ValueError, SyntaxError, KeyError, IndexError, EOFError, MemoryError) as error:
        # Pillow raises all of these for broken files, SyntaxError for PNG among them.
        raise NotAPicture("truncated", f"it cannot be decoded to its end: {str(error)[:150]}") from None
    same = all(isinstance(band, tuple) and band[0] == band[1] for band in extrema)
    return Looked(ending, height if turned else width, width if turned else height, same)
