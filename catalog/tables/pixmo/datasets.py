"""The eight PixMo datasets, with the fields that are published (arXiv 2409.17146)."""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import boolean, column, integer, text, texts
from catalog.contract import Column, Contract, Expectation, between, matches, one_of
from catalog.tables.pixmo.columns import (
    DECLARED,
    DIGEST,
    FILE,
    MAKER,
    OWNER,
    POINT,
    ROW,
    SPLIT,
    UNIT,
    URL,
    no_vision_model,
)


def _dataset(name: str, description: str, columns: tuple[Column, ...], licence: str, *more: Expectation) -> Contract:
    return Contract(
        name=f"pixmo.{name}",
        description=description,
        columns=(FILE, ROW, SPLIT, URL, DECLARED, *columns, MAKER),
        primary_key=("file", "row"),
        source=f"allenai/pixmo-{name.replace('_', '-')} on Hugging Face, and what was annotated here",
        licence=licence,
        owner=OWNER,
        expectations=(*no_vision_model(), matches("image_sha256", DIGEST), *more),
    )


CAP = _dataset(
    "cap",
    "Dense captions: a row per picture, with what people said of it and the caption that was merged from that.",
    (
        text("caption", "The caption.", personal_data="opinion"),
        texts("transcripts", "What people said, as recognised, unchanged.", personal_data="opinion"),
    ),
    "ODC-By-1.0",
)

ASK_MODEL_ANYTHING = _dataset(
    "ask_model_anything",
    "Questions that people asked about pictures, with answers that people approved: a row each.",
    (text("question", "What was asked."), text("answer", "The answer.")),
    "ODC-By-1.0",
)

CAP_QA = _dataset(
    "cap_qa",
    "Questions and answers that a language model wrote from captions, without the picture: a row each.",
    (
        text("question", "The last question."),
        text("answer", "Its answer."),
        texts("before", "Questions and answers before it in the same conversation, in turn."),
    ),
    "ODC-By-1.0",
)

POINTS = _dataset(
    "points",
    "Places that people pointed at: a row per picture and label. pixmo.coordinates has the places in percent.",
    (
        text("label", "What is pointed at."),
        column("points", pa.list_(POINT), "Places as published, in the unit of the file."),
        UNIT,
        integer("count", "Number of places; 0 if the label is not in the picture."),
        text("collection_method", "pointing, or counting: the picture was chosen for things that are there often."),
    ),
    "ODC-By-1.0",
    between("count", 0),
    one_of("collection_method", ("pointing", "counting")),
)

POINT_EXPLANATIONS = _dataset(
    "point_explanations",
    "Answers that point at parts of the picture as they speak of them: a row per question.",
    (
        text("question", "What was asked."),
        text("response", "The answer as written, with points as tags.", nullable=True),
        text("parsed_response", "The answer with <|POINT|> where a group of points is named.", nullable=True),
        texts("alt_text", "What each group of points shows."),
        texts("inline_text", "The words that stand for each group in the answer."),
        column("points", pa.list_(pa.list_(POINT)), "The places of each group, in the unit of the file."),
        UNIT,
    ),
    "ODC-By-1.0",
)

COUNT = _dataset(
    "count",
    "Numbers of things in pictures: a row per picture and label. People verified validation and test.",
    (
        text("label", "What is counted."),
        integer("count", "How many there are."),
        column(
            "points", pa.list_(POINT), "Centres of the detected things, in the unit of the file; none outside train."
        ),
        UNIT,
    ),
    "ODC-By-1.0",
    between("count", 0),
)

DOCS = _dataset(
    "docs",
    "Questions and answers about charts, tables, diagrams and documents that programs drew: a row per picture.",
    (
        text("kind", "charts, tables, diagrams or other, as the name of the folder says; empty if it says nothing."),
        text("image_id", "Identifier of the picture, as published."),
        texts("questions", "What was asked."),
        texts("answers", "The answer to each question."),
    ),
    "ODC-By-1.0",
)

CLOCKS = _dataset(
    "clocks",
    "Times that drawn watch faces show: a row per face. The published files hold no pictures and no addresses.",
    (
        text("example_id", "Identifier of the row, as published."),
        text("watchface_id", "The face that the picture is drawn from."),
        text("watchface_name", "Name of the face.", nullable=True),
        text("watch_time", "The time that the watch was set to."),
        text("time_format", "The format of the time."),
        boolean("shows_seconds", "Whether the seconds can be read."),
        integer("hour_visible", "The hour that can be read, -1 if none can."),
        integer("minute_visible", "The minute that can be read, -1 if none can."),
        integer("second_visible", "The second that can be read, -1 if none can."),
        text("text", "The time in words."),
    ),
    "Apache-2.0",
)

DATASETS = (CAP, ASK_MODEL_ANYTHING, CAP_QA, POINTS, POINT_EXPLANATIONS, COUNT, DOCS, CLOCKS)
"""In the order of SETS."""
