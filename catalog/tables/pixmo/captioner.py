"""Scenes of which everything is known, models that are trained on pictures, and what these answer."""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import boolean, column, integer, real, text
from catalog.contract import Contract, between, matches, one_of, references
from catalog.tables.pixmo.columns import DIGEST, OWNER

SCENE_SPLITS = ("train", "heldout", "pairs", "places")
STAGES = ("dense", "captions", "mixture", "blind")
TASKS = ("pointing", "counting", "caption", "question", "clock")
SHOWN_FILE, MOST_SHOWN, SHOWN_BYTES = "shown.json", 8, 6_000
"""Small pictures with predicted points for the data card: a file in the folder of `pixmo.replies`, and how many of how
many bytes it holds at most."""
_LICENCE = "CC-BY-SA-4.0"
_OBJECT = pa.struct(
    [
        ("kind", pa.string()),
        ("colour", pa.string()),
        ("x", pa.float64()),
        ("y", pa.float64()),
        ("box", pa.list_(pa.int64())),
        ("mask", pa.list_(pa.int64())),
    ]
)

SCENES = Contract(
    name="pixmo.scenes",
    description="Composed pictures with all that is true of them: a row per scene. `pairs` and `places` have "
    "combinations of kind, colour and place that training never has.",
    columns=(
        text("scene", "Name of the scene."),
        text("split", "train, heldout, pairs (a colour that the kind never has in training) or places (a half of the "
             "picture where training never has the kind in this colour)."),
        text("image_sha256", "Digest of the picture."),
        text("texture", "The background."),
        text("caption", "A caption that names everything."),
        text("word", "What the sign says; empty without a sign."),
        text("time", "What the clock shows; empty without a clock."),
        text("colour", "Colour of the objects that are counted."),
        text("kind", "Kind of the objects that are counted."),
        integer("count", "How many of them there are."),
        integer("width", "Width in pixels."),
        integer("height", "Height in pixels."),
        column("objects", pa.list_(_OBJECT), "All objects: a point in pixels, a box with exclusive ends, and a mask as "
               "run lengths down the columns."),
    ),
    primary_key=("scene",),
    source="composed of drawings of OpenMoji",
    licence=_LICENCE,
    owner=OWNER,
    expectations=(one_of("split", SCENE_SPLITS), matches("image_sha256", DIGEST), between("count", 1, 10)),
)  # fmt: skip

CAPTIONERS = Contract(
    name="pixmo.captioners",
    description="Models of pictures that were trained on the shards: a row per stage, and one for the baseline that "
    "never sees a picture.",
    columns=(
        text("stage", "dense; captions or mixture, which go on from the stage before them; or blind."),
        integer("steps", "Optimiser steps."),
        integer("tokens", "Tokens read, those of pictures with them."),
        integer("parameters", "Parameters of the model."),
        real("train_loss", "Mean loss of the last steps, in nats a token; in the stage dense, in nats a point."),
        real("seconds", "Time in training."),
        text("path", "The checkpoint, relative to the lake's files."),
        text("sha256", "Digest of the weights."),
        text("dataset", "Fingerprint of the picture shards that it was trained on."),
    ),
    primary_key=("stage",),
    upstream=("pixmo.shards", "pixmo.samples"),
    licence=_LICENCE,
    owner=OWNER,
    expectations=(one_of("stage", STAGES), matches("sha256", DIGEST), between("steps", 1)),
)

REPLIES = Contract(
    name="pixmo.replies",
    description="What a model answered about scenes that it was not trained on, with the score of each answer.",
    columns=(
        text("model", "mixture, or the baseline blind."),
        text("scene", "The scene."),
        text("split", "Split of the scene."),
        text("task", "pointing, counting, caption, question or clock."),
        text("question", "What was asked."),
        text("expected", "The right answer."),
        text("reply", "The reply."),
        real("score", "F1 of points; 1 or 0 for a count, question or clock; F1 of what a caption names."),
        real("precision", "Of points; null for other tasks.", nullable=True),
        real("recall", "Of points; null for other tasks.", nullable=True),
        boolean("valid", "Whether the reply has the published form; true for tasks without one."),
    ),
    primary_key=("model", "scene", "task", "question"),
    upstream=("pixmo.scenes", "pixmo.captioners"),
    licence=_LICENCE,
    owner=OWNER,
    expectations=(
        one_of("model", ("mixture", "blind")),
        one_of("task", TASKS),
        between("score", 0, 1),
        references("scene", "pixmo.scenes.scene"),
    ),
)

SCORES = Contract(
    name="pixmo.scores",
    description="The mean score of each task and split, beside that of the baseline that never sees a picture.",
    columns=(
        text("split", "heldout, pairs or places."),
        text("task", "As in pixmo.replies."),
        integer("rows", "Answers."),
        real("score", "Mean score of the model."),
        real("low", "Lower end of its 95% interval, by a bootstrap of the scenes."),
        real("high", "Upper end."),
        real("baseline", "Mean score of the baseline on the same scenes."),
    ),
    primary_key=("split", "task"),
    upstream=("pixmo.replies",),
    licence=_LICENCE,
    owner=OWNER,
    expectations=(one_of("task", TASKS), between("score", 0, 1), between("baseline", 0, 1)),
)
