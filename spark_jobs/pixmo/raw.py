"""The published files of the PixMo datasets: their folders, their fields, and the rows of the tables made of them.

A dataset is a folder of Parquet files as published (`pixmo-points/data/train-00000-of-00001.parquet`), or of JSON lines
with the same fields. Besides the published fields, a file may hold `image` (the bytes of the picture, or Hugging Face's
`{bytes, path}`), which is stored by its digest; `maker`, where a row was made otherwise than the dataset says; and
`unit` of its points, percent or pixel, where it is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from catalog.contract import Contract
from catalog.tables.pixmo import (
    ASK_MODEL_ANYTHING,
    CAP,
    CAP_QA,
    CLOCKS,
    COUNT,
    DOCS,
    POINT_EXPLANATIONS,
    POINTS,
)

TEXT, TEXTS, WHOLE = pa.string(), pa.list_(pa.string()), pa.int64()
XY = pa.struct([("x", pa.float64()), ("y", pa.float64())])
PAIRS = pa.list_(pa.float64())
MARKS = re.compile(r"\s*\[(USER|ASSISTANT)\]\s*")
"""What separates the turns of a conversation in `question` of PixMo-CapQA."""

Row = dict[str, Any]
Make = Callable[[Row], Row]


class Malformed(Exception):
    """A row that is not one of the dataset; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """How a dataset is published."""

    contract: Contract
    folders: tuple[str, ...]
    """Names of its folders in `[pixmo] data`."""
    fields: Mapping[str, pa.DataType]
    """Published fields that a file must have."""
    maker: str
    """Who wrote its text, where a row does not say."""
    verified_by: str = ""
    """Who verified the rows outside train, and so counts as their maker; empty if nobody did."""
    unit: str = ""
    """Unit of its coordinates, as Molmo's code reads them: percent, pixel, or empty if it has none."""
    make: Make = field(default=lambda row: row)
    """Turns a row of published fields into the columns of the contract; raises Malformed."""

    @property
    def name(self) -> str:
        """The name of its table within the family."""
        return self.contract.table


def _cap(row: Row) -> Row:
    return {"caption": _required(row, "caption"), "transcripts": _texts(row, "transcripts")}


def _ask(row: Row) -> Row:
    return {"question": _required(row, "question"), "answer": _required(row, "answer")}


def _cap_qa(row: Row) -> Row:
    """The last turn, and those before it.

    The published question is a whole conversation, `[USER] q1 [ASSISTANT] a1 [USER] q2 [ASSISTANT]`, whose last answer
    is `answer`.
    """
    question, answer = _required(row, "question"), _required(row, "answer")
    parts = MARKS.split(question)
    if len(parts) == 1:
        return {"question": question.strip(), "answer": answer, "before": []}
    roles, turns = parts[1::2], [part.strip() for part in parts[2::2]]
    expected = ["USER", "ASSISTANT"] * (len(roles) // 2)
    if parts[0].strip() or roles != expected or turns[-1] or not all(turns[:-1]):
        raise Malformed("its question is not a conversation of [USER] and [ASSISTANT] in turn")
    return {"question": turns[-2], "answer": answer, "before": turns[:-2]}


def _points(row: Row) -> Row:
    points = _pairs(row.get("points") or [])
    method = row.get("collection_method") or "pointing"
    if method not in ("pointing", "counting"):
        raise Malformed(f"its collection_method is {method[:40]!r}")
    count = len(points) if row.get("count") is None else row["count"]
    own = {"label": _required(row, "label"), "points": points, "count": count, "collection_method": method}
    return {**own, "unit": _unit(row)}


def _explanations(row: Row) -> Row:
    groups = [_pairs(group) for group in row.get("points") or []]
    names = {"alt_text": _texts(row, "alt_text"), "inline_text": _texts(row, "inline_text")}
    text = {"response": row.get("response"), "parsed_response": row.get("parsed_response")}
    return {"question": _required(row, "question"), **text, **names, "points": groups, "unit": _unit(row)}


def _count(row: Row) -> Row:
    points = row.get("points") or {}
    xs, ys = points.get("x") or [], points.get("y") or []
    if len(xs) != len(ys):
        raise Malformed(f"its points have {len(xs)} x and {len(ys)} y")
    pairs = [{"x": x, "y": y} for x, y in zip(xs, ys, strict=True)]
    if row.get("count") is None:
        raise Malformed("it has no count")
    return {"label": _required(row, "label"), "count": row["count"], "points": _pairs(pairs), "unit": _unit(row)}


def _docs(row: Row) -> Row:
    asked = row.get("questions") or {}
    questions, answers = asked.get("question") or [], asked.get("answer") or []
    if len(questions) != len(answers) or None in (*questions, *answers):
        raise Malformed(f"it has {len(questions)} questions and {len(answers)} answers")
    return {"image_id": _required(row, "image_id"), "questions": questions, "answers": answers}


def _clocks(row: Row) -> Row:
    names = ("example_id", "watchface_id", "watch_time", "time_format", "text")
    visible = {name: _or(row.get(name), -1) for name in ("hour_visible", "minute_visible", "second_visible")}
    own = {name: _required(row, name) for name in names}
    return {
        **own,
        "watchface_name": row.get("watchface_name"),
        "shows_seconds": bool(row.get("shows_seconds")),
        **visible,
    }


def _unit(row: Row) -> str | None:
    unit = row.get("unit")
    if unit not in (None, "percent", "pixel"):
        raise Malformed(f"its unit is {str(unit)[:40]!r}, neither percent nor pixel")
    return unit


def _or(value: Any, other: Any) -> Any:
    return other if value is None else value


def _required(row: Row, name: str) -> str:
    value = row.get(name)
    if not value:
        raise Malformed(f"it has no {name}")
    return value


def _texts(row: Row, name: str) -> list[str]:
    return [value for value in row.get(name) or [] if value is not None]


def _pairs(points: list[Any]) -> list[Row]:
    """Points as {x, y}, from these or from pairs of numbers; both are published."""
    found = []
    for point in points:
        x, y = (point.get("x"), point.get("y")) if isinstance(point, dict) else _two(point)
        if x is None or y is None:
            raise Malformed("a point has no x or no y")
        found.append({"x": float(x), "y": float(y)})
    return found


def _two(point: Any) -> tuple[Any, Any]:
    if not isinstance(point, (list, tuple)) or len(point) != 2:
        raise Malformed("a point is not a pair of numbers")
    return point[0], point[1]


PUBLISHED = (
    Published(
        contract=CAP,
        folders=("pixmo-cap",),
        fields={"caption": TEXT, "transcripts": TEXTS},
        maker="transcript_merge",
        make=_cap,
    ),
    Published(
        contract=ASK_MODEL_ANYTHING,
        folders=("pixmo-ask-model-anything",),
        fields={"question": TEXT, "answer": TEXT},
        maker="person",
        make=_ask,
    ),
    Published(
        contract=CAP_QA,
        folders=("pixmo-cap-qa",),
        fields={"question": TEXT, "answer": TEXT},
        maker="transcript_merge",
        make=_cap_qa,
    ),
    Published(
        contract=POINTS,
        folders=("pixmo-points",),
        fields={"label": TEXT, "points": pa.list_(XY), "count": WHOLE, "collection_method": TEXT},
        maker="person",
        unit="percent",
        make=_points,
    ),
    Published(
        contract=POINT_EXPLANATIONS,
        folders=("pixmo-point-explanations",),
        fields={
            **{"question": TEXT, "response": TEXT, "parsed_response": TEXT, "alt_text": TEXTS, "inline_text": TEXTS},
            "points": pa.list_(pa.list_(PAIRS)),
        },
        maker="person",
        unit="percent",
        make=_explanations,
    ),
    Published(
        contract=COUNT,
        folders=("pixmo-count",),
        fields={
            "label": TEXT,
            "count": WHOLE,
            "points": pa.struct([("x", PAIRS), ("y", PAIRS)]),
        },
        maker="program",
        verified_by="person",
        unit="pixel",
        make=_count,
    ),
    Published(
        contract=DOCS,
        folders=("pixmo-docs",),
        fields={"image_id": TEXT, "questions": pa.struct([("question", TEXTS), ("answer", TEXTS)])},
        maker="program",
        make=_docs,
    ),
    Published(
        contract=CLOCKS,
        folders=("pixmo-clocks",),
        fields={
            **dict.fromkeys(("example_id", "watchface_id", "watchface_name", "watch_time", "time_format"), TEXT),
            "shows_seconds": pa.bool_(),
            **dict.fromkeys(("hour_visible", "minute_visible", "second_visible"), WHOLE),
            "text": TEXT,
        },
        maker="program",
        make=_clocks,
    ),
)
"""The datasets, in the order of the paper."""

BY_NAME = {each.name: each for each in PUBLISHED}
