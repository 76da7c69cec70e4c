"""Picture shards: what spark_jobs writes is what the trainers' side makes of the format's description alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from made_picture_shards import (  # ty: ignore[import-not-found]
    described,
    small_png,
    write_picture_dataset_json,
    write_picture_split,
)
from webdataset.compat import WebDataset

from catalog.errors import WatershedError
from spark_jobs.shards.pictures import Annotation, PictureSample, write_pictures

RED, BLUE = small_png(8, 6, (200, 0, 0)), small_png(8, 6, (0, 0, 200))


def test_both_sides_write_the_same_bytes(tmp_path: Path) -> None:
    caption = Annotation(style="caption", text="Röd.", maker="transcript_merge")
    spoken = Annotation(style="transcript", text="so it is red", maker="person")
    points = Annotation(style="pointing", points=((12.54, 0), (100, 50.0)), label="dot", count=2, maker="person")
    both = {"cap": (RED, (caption, spoken)), "points": (BLUE, (points,))}
    red, blue = (
        PictureSample(picture=picture, source=source, annotations=said, width=8, height=6, ending="png")
        for source, (picture, said) in both.items()
    )
    write_pictures(tmp_path / "ours", {"train": [red, blue]}, fingerprint="made")
    said = [{"text": "Röd.", "maker": "transcript_merge"}, {"style": "transcript", "text": "so it is red"}]
    pointed = [{"style": "pointing", "points": [[12.5, 0.0], [100.0, 50.0]], "label": "dot", "count": 2}]
    theirs = [
        (RED, "png", described(RED, said, maker="transcript_merge")),
        (BLUE, "png", described(BLUE, pointed, source="points")),
    ]
    write_picture_split(tmp_path / "theirs" / "train", theirs)
    write_picture_dataset_json(tmp_path / "theirs")
    for name in ("train/shard_00000000.tar", "train/manifest.jsonl", "dataset.json"):
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes(), name


def test_webdataset_and_the_offsets_give_the_same_samples(tmp_path: Path) -> None:
    caption = Annotation(style="caption", text="A dot.", maker="person")
    samples = [
        PictureSample(picture=picture, ending="png", width=8, height=6, source="cap", annotations=(caption,))
        for picture in (RED, BLUE, RED)
    ]
    lines = write_pictures(tmp_path, {"train": samples}, fingerprint="made", samples_per_shard=2)["train"]
    assert [(line.shard, line.samples) for line in lines] == [("shard_00000000", 2), ("shard_00000001", 1)]
    read = []
    for line in lines:
        tar = tmp_path / "train" / f"{line.shard}.tar"
        data = tar.read_bytes()
        assert hashlib.sha256(data).hexdigest() == line.sha256
        for member, sample in zip(
            line.members, WebDataset([str(tar)], shardshuffle=False, empty_check=False), strict=True
        ):
            assert sample["__key__"] == member.key
            assert sample["png"] == data[member.picture_offset : member.picture_offset + member.picture_bytes]
            assert sample["json"] == data[member.json_offset : member.json_offset + member.json_bytes]
            assert hashlib.sha256(sample["png"]).hexdigest() == json.loads(sample["json"])["image_sha256"]
            read.append(sample["png"])
    assert read == [RED, BLUE, RED]


def test_a_sample_outside_the_format_is_refused() -> None:
    wrongs: list[dict[str, Any]] = [{"style": "song"}, {"maker": "robot"}, {"points": ((50, 100.1),)}]
    for wrong in (*wrongs, {"points": ((-1, 0),)}):
        fields: dict[str, Any] = {"style": "caption", "maker": "person", **wrong}
        with pytest.raises(WatershedError):
            Annotation(**fields)
