"""Pictures in requests: data URLs, and what a model of pictures makes of them.

The engine knows no model of pictures. It is given what stands at the beginning of a prompt: its tokens, and a function
for their embeddings, which is called in the engine's thread when the prompt is read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from trainers.process.errors import TrainerError

TYPES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp")
LONGEST_HEADER = 64
"""Characters of a data URL before its comma."""


class RefusedPicture(Exception):
    """A picture that is not read; the text says why, `code` and `status` say it to programs."""

    def __init__(self, why: str, *, code: str, status: int = 400) -> None:
        super().__init__(why)
        self.code, self.status = code, status


class TooLargePicture(TrainerError):
    """A picture with more bytes or pixels than are read."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as a prompt begins with it."""

    tokens: tuple[int, ...]
    """Of the beginning."""
    name: int
    """Below 0 and another for every picture. It stands for each of the tokens where prompts are compared: the tokens
    of two pictures are often the same."""
    both_ways: bool
    """Whether the tokens look at each other in both directions, so that they are read in one step."""
    embed: Embed

    @property
    def names(self) -> tuple[int, ...]:
        """What stands for the tokens where prompts are compared."""
        return (self.name,) * len(self.tokens)


class Embed(Protocol):
    """Computes the embeddings (S, D) of a beginning, in the thread and on the device of the engine."""

    def __call__(self) -> Tensor: ...


class PictureReader(Protocol):
    """What a model of pictures adds to a server."""

    most: int
    """Pictures of a request."""
    most_bytes: int
    most_pixels: int
    opening: tuple[int, ...]
    """Tokens that a prompt without a picture begins with."""
    asks: Mapping[str, str]
    """Questions that the model was trained on, by what they ask for; {label} stands for the name of a thing."""

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the parts of the model that read pictures."""
        ...

    def picture(self, data: bytes) -> Picture:
        """The beginning of a prompt with a picture.

        Raises:
            TooLargePicture: it has too many bytes or pixels.
            TrainerError: it is damaged, or of another format.
        """
        ...


def bytes_of(url: str) -> bytes:
    """The bytes in a data URL of a picture.

    No other URL is followed: the server would ask wherever a stranger says.

    Raises:
        RefusedPicture: it is another URL, names another type, or is not whole base64.

    Example:
        >>> bytes_of("data:image/png;base64,iVBORw==")
        b'\\x89PNG'
    """
    if url[:5].lower() != "data:":
        raise RefusedPicture(
            "a picture is read from a data: URL alone (data:image/png;base64,...); this server follows no address",
            code="invalid_image_url",
        )
    comma = url.find(",", 0, LONGEST_HEADER)
    kind, *options = url[5 : max(comma, 5)].lower().split(";")
    if comma < 0 or options != ["base64"]:
        raise RefusedPicture("the data: URL does not begin as data:image/png;base64,", code="invalid_image_url")
    if kind not in TYPES:
        raise RefusedPicture(f"a picture is one of {', '.join(TYPES)}", code="unsupported_image_media_type")
    try:
        return base64.b64decode(url[comma + 1 :], validate=True)
    except (binascii.Error, ValueError):
        raise RefusedPicture("the picture is not whole base64", code="invalid_base64_image") from None


def read_picture(reader: PictureReader | None, urls: Sequence[str]) -> Picture | None:
    """The picture that a conversation begins with; None for one without a picture.

    Args:
        reader: of the model; None for a model of text.
        urls: of the pictures, in order.

    Raises:
        RefusedPicture: the model reads no pictures, or fewer; or the picture is not one that is read.
    """
    if not urls:
        return None
    if reader is None:
        raise RefusedPicture("this model reads no pictures", code="unsupported_content")
    if len(urls) > reader.most:
        raise RefusedPicture(
            f"the messages hold {len(urls)} pictures; the model reads {reader.most} a conversation",
            code="too_many_images",
        )
    try:
        return reader.picture(bytes_of(urls[0]))
    except TooLargePicture as error:
        raise RefusedPicture(f"{error.cause}: {error.mend}", code="image_too_large", status=413) from None
    except TrainerError as error:
        raise RefusedPicture(f"{error.cause}: {error.mend}", code="image_parse_error") from None
