"""Small files of all eight PixMo datasets with their published fields."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from picture_server import picture

from spark_jobs.pixmo.raw import BY_NAME

SIZE = (640, 480)
Row = dict[str, Any]


def write(folder: Path, dataset: str, rows: list[Row], name: str = "data/train-00000-of-00001.parquet") -> None:
    """Write rows as a Parquet file of a dataset."""
    published = BY_NAME[dataset]
    extra = {"image_url": pa.string(), "image_sha256": pa.string(), "maker": pa.string()}
    extra |= {"image": pa.struct([("bytes", pa.binary()), ("path", pa.string())])}
    fields = {**published.fields, **{name: kind for name, kind in extra.items() if any(name in row for row in rows)}}
    path = folder / published.folders[0] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(list(fields.items()))), path)


def pointing_rows(count: int, image: Row, *, wrong: float = 0.05, unit: str = "percent", seed: int = 1) -> list[Row]:
    """Rows of points, of which a share is in the other unit; each says so in `wrong`."""
    draw, found = random.Random(seed), []
    for number in range(count):
        bad = number % round(1 / wrong) == 0 if wrong else False
        points = [(round(draw.uniform(0, 100), 1), round(draw.uniform(0, 100), 1)) for _ in range(draw.randint(1, 6))]
        if bad == (unit == "percent"):
            points = [(x * SIZE[0] / 100, y * SIZE[1] / 100) for x, y in points]
        pairs = [{"x": x, "y": y} for x, y in points]
        method = "counting" if number % 3 == 0 else "pointing"
        fields = {"label": f"thing {number}", "points": pairs, "count": len(points), "collection_method": method}
        found.append({**image, **fields, "wrong": bad})
    return found


def write_pixmo(folder: Path, host: str, *, points: int = 100) -> list[Row]:
    """Write all eight datasets, whose pictures are at `host`; returns the rows of PixMo-Points."""

    def sha(number: int, size: tuple[int, int] = (40, 30)) -> str:
        return hashlib.sha256(picture(number, size)).hexdigest()

    url = lambda number: f"{host}/p/{number}"  # noqa: E731
    spoken = ["a red bike by a wall", "red bicycle next to the wall", "there is a bike"]
    write(folder, "cap", [{"image_url": url(n), "caption": f"Caption {n}.", "transcripts": spoken} for n in range(8)])
    asked = [{"image_url": url(n), "image_sha256": sha(n), "question": "Who?", "answer": "Ada."} for n in range(4)]
    write(folder, "ask_model_anything", asked)
    turns = "[USER] What is it? [ASSISTANT] A bike. [USER] Which colour? [ASSISTANT]"
    write(folder, "cap_qa", [{"image_url": url(1), "question": turns, "answer": "Red."},
                             {"image_url": f"{host}/gone", "question": "Where?", "answer": "Here."}])  # fmt: skip
    image = {"image": {"bytes": picture(50, SIZE, "JPEG"), "path": None}}
    rows = pointing_rows(points, image)
    write(folder, "points", rows)
    explained: Row = {"question": "Which is larger?", "response": "-", "parsed_response": "The <|POINT|> or <|POINT|>."}
    explained |= {"alt_text": ["door", "cars"], "inline_text": ["door", "cars & vans"]}
    explained |= {"points": [[[10.0, 20.5]], [[30.0, 40.0], [50.0, 60.0]]]}
    write(folder, "point_explanations", [{"image_url": url(2), "image_sha256": sha(2), **explained}])
    centres = {"x": [300.5, 620.0, 12.0], "y": [100.0, 470.0, 400.0]}
    count = {"image": image["image"], "label": "dogs", "count": 3}
    write(folder, "count", [{**count, "points": centres}])
    held = {"image_url": url(3), "image_sha256": sha(3), "label": "cats", "count": 2, "points": None}
    write(folder, "count", [held], "data/validation-00000-of-00001.parquet")
    docs = {"image_id": "chart-1", "questions": {"question": ["How many?", "Why?"], "answer": ["2", "So."]}}
    drawn = {"bytes": picture(60, (80, 60)), "path": "a.png"}
    write(folder, "docs", [{**docs, "image": drawn}], "charts/train-00000-of-00001.parquet")
    clock: Row = dict.fromkeys(("example_id", "watchface_id", "watchface_name", "watch_time", "time_format"), "x")
    clock |= {"shows_seconds": False, "hour_visible": 10, "minute_visible": 9, "second_visible": None}
    lines = [json.dumps({**clock, "text": "The time is 10:09.", "image_url": url(5)})]
    path = folder / "pixmo-clocks" / "clocks.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return rows
