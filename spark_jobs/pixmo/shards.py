"""pixmo.shards and pixmo.samples: samples in a random order, as tars whose pictures are read one shard at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.progress import track
from catalog.tables.pixmo import SAMPLES, SHARDS
from spark_jobs.pixmo.pictures import store_of
from spark_jobs.pixmo.samples import Picked, Samples, order_of, split_of
from spark_jobs.shards.format import MANIFEST
from spark_jobs.shards.pictures import (
    MAKERS,
    Annotation,
    PictureLine,
    PictureSample,
    write_picture_dataset,
    write_picture_manifest,
    write_picture_shard,
)

SPLITS = ("train", "heldout")

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PictureShardRecipe:
    """How samples become shards."""

    heldout: float = 0.02
    """Share of pictures that are held out, besides those of published validation and test splits."""
    samples_per_shard: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.heldout < 1 or self.samples_per_shard < 1:
            raise WatershedError(
                f"picture shards: {self.heldout} held out, {self.samples_per_shard} samples a shard",
                "set [pixmo] heldout to at least 0 and below 1, and samples_per_shard to at least 1",
            )


def write_shards(lake: Lake, recipe: PictureShardRecipe, fingerprint: str) -> list[Row]:
    """Write the data set `fingerprint`, pixmo.samples and pixmo.shards, and return the rows of the latter.

    Raises:
        WatershedError: no row has a picture, a stored picture has changed, or the disk is full.
    """
    folder, store, samples = lake.folder(SHARDS.name, fingerprint), store_of(lake), Samples(lake)
    parts: dict[str, list[Picked]] = {split: [] for split in SPLITS}
    for sample in sorted(samples.picked(), key=lambda sample: order_of(sample, recipe.seed)):
        parts[split_of(sample, recipe.heldout, recipe.seed)].append(sample)
    shards, rows = list[Row](), list[Row]()
    each = recipe.samples_per_shard
    total = sum(-(-len(part) // each) for part in parts.values())
    with track("writing picture shards", total, "shards") as task:
        for split, part in parts.items():
            # Its presence would mark the split as complete.
            (folder / split / MANIFEST).unlink(missing_ok=True)
            lines: list[PictureLine] = []
            for start in range(0, len(part), each):
                made = [(sample, *samples.annotations_of(sample)) for sample in part[start : start + each]]
                made = [one for one in made if one[1]]
                task.advance(1)
                if not made:
                    continue
                pictures = [_sample(sample, annotations, *store.read(sample.sha256)) for sample, annotations, _ in made]
                line = write_picture_shard(folder / split, split, len(lines), pictures)
                rows += [
                    _sample_row(line, place, sample, annotations, used)
                    for place, (sample, annotations, used) in enumerate(made)
                ]
                lines.append(line)
                shards.append(_shard_row(line, lake.relative(folder / split / f"{line.shard}.tar"), fingerprint))
            write_picture_manifest(folder / split, lines)
    if not shards:
        raise WatershedError(
            "no row of the PixMo tables has a picture that is stored",
            'look at `watershed sql "FROM pixmo.lost"`, and materialise pixmo.pictures again',
        )
    write_picture_dataset(folder, fingerprint=fingerprint, seed=recipe.seed)
    lake.replace(SAMPLES, pa.Table.from_pylist(rows, schema=SAMPLES.schema), fingerprint)
    lake.replace(SHARDS, pa.Table.from_pylist(shards, schema=SHARDS.schema), fingerprint)
    return shards


def _sample(picked: Picked, annotations: tuple[Annotation, ...], data: bytes, ending: str) -> PictureSample:
    return PictureSample(
        picture=data,
        ending=ending,
        width=picked.width,
        height=picked.height,
        source=picked.dataset,
        annotations=annotations,
    )


def _sample_row(
    line: PictureLine, place: int, sample: Picked, annotations: Sequence[Annotation], rows: Sequence[str]
) -> Row:
    return {
        "split": line.split,
        "shard": line.shard,
        "sample": line.members[place].key,
        "dataset": sample.dataset,
        "image_sha256": sample.sha256,
        "place": sample.place,
        "maker": max((each.maker for each in annotations), key=MAKERS.index),
        "annotations": len(annotations),
        "rows": list(rows),
    }


def _shard_row(line: PictureLine, path: str, fingerprint: str) -> Row:
    return {
        "split": line.split,
        "shard": line.shard,
        "dataset": fingerprint,
        "path": path,
        "bytes": line.bytes,
        "sha256": line.sha256,
        "samples": line.samples,
        "annotations": line.annotations,
    }
