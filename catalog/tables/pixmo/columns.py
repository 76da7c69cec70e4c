"""Columns and expectations that the tables of PixMo share."""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import integer, text
from catalog.contract import Expectation, mostly, one_of

OWNER = "vision"
MAKERS = ("person", "transcript_merge", "program", "vision_model")
"""Who wrote a text: a person; a language model that read texts of people and saw no picture; a program (a renderer, or
a detector of objects that counts); a model that saw the picture and wrote."""
SETS = ("cap", "ask_model_anything", "cap_qa", "points", "point_explanations", "count", "docs", "clocks")
SPLITS = ("train", "validation", "test")
POINT = pa.struct([("x", pa.float64()), ("y", pa.float64())])
DIGEST = r"^[0-9a-f]{64}$"

FILE = text("file", "File that the row was read from, relative to `[pixmo] data`.")
ROW = integer("row", "Position of the row in its file, from 0.")
SPLIT = text("split", "train, validation or test, as the name of the file says; train if it says nothing.")
URL = text("image_url", "Address of the picture; null if the file held the picture itself.", nullable=True)
DECLARED = text(
    "image_sha256",
    "SHA-256 that the picture must have, as published; of the stored picture if the file held it; null if unknown.",
    nullable=True,
)
UNIT = text(
    "unit", "Unit of the points that the row itself states: percent or pixel; null if it states none.", nullable=True
)
MAKER = text("maker", "Who wrote the text: person, transcript_merge, program or vision_model.")


def no_vision_model() -> tuple[Expectation, Expectation]:
    """The promise of a set that no vision-language model wrote any of its texts.

    It is no constraint of the Delta table, so that rows which break it are stored and can be looked at.
    """
    promised = tuple(maker for maker in MAKERS if maker != "vision_model")
    return (
        one_of("split", SPLITS),
        mostly(one_of("maker", promised, why="the set promises that no vision-language model wrote its text"), 1.0),
    )
