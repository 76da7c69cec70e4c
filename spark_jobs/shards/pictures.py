"""The format of picture shards that trainers read: plain WebDataset tars of pictures and their annotations.

    train/shard_00000000.tar    for each sample two members, KEY.jpg (or .png, .webp) and KEY.json, next to each other
    train/manifest.jsonl        a line a shard, in order: counts, digest, and each member's byte offset and size
    heldout/...                 the same
    dataset.json                {"kind": "pictures", "format": 1, "fingerprint": ..., "seed": ...}

KEY is `00000000-000000`: the number of the shard and that of the sample within it. The bytes of a picture are those
that were stored, whose SHA-256 is `image_sha256`. KEY.json is one JSON object in UTF-8:

    {
      "image_sha256": "9f86...",         of the bytes of the picture
      "width": 640, "height": 480,       in pixels, as the picture is shown (its orientation is applied)
      "source": "cap",                   the data set
      "maker": "person",                 who made the text: the last of MAKERS among the annotations
      "annotations": [
        {
          "style": "caption",            one of STYLES
          "prompt": null,                what was asked; null where the style says it
          "text": "A red bicycle ...",   what is to be answered; null where points and label say it
          "points": [[12.5, 50.0]],      x and y in percent of width and height, 0-100 with one decimal; [] for none
          "label": null,                 what is pointed at or counted; null where nothing is
          "count": null,                 how many there are; null where nothing was counted
          "maker": "transcript_merge"    one of MAKERS
        }
      ]
    }

`point_explanation` has one annotation a picture and question. Its text holds the points inline, in Molmo's form
(`<point x="12.5" y="50.0" alt="a">a</point>`), and `points` holds them again, in order. A picture has a sample for each
data set that annotates it. The bytes of a tar depend on its samples alone: headers carry no time, owner or host.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.files import write_whole
from spark_jobs.shards.format import DATASET, MANIFEST, shard_name

KIND = "pictures"
FORMAT = 1
ENDINGS = ("jpg", "png", "webp")
STYLES = ("caption", "transcript", "question", "pointing", "counting", "point_explanation", "doc", "clock")
MAKERS = ("person", "transcript_merge", "program", "vision_model")
"""Who wrote a text: a person; a language model that read texts of people and saw no picture; a program (a renderer, or
a detector of objects that counts); a model that saw the picture and wrote."""
MEND = "write the sample as spark_jobs/shards/pictures.py describes it"


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """What one annotator said of a picture; the fields are those of the format."""

    style: str
    prompt: str | None = None
    text: str | None = None
    points: tuple[tuple[float, float], ...] = ()
    """x and y in percent, 0-100; written with one decimal."""
    label: str | None = None
    count: int | None = None
    maker: str

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise WatershedError(f"an annotation has the style {self.style!r}", f"use one of {', '.join(STYLES)}")
        if self.maker not in MAKERS:
            raise WatershedError(f"an annotation has the maker {self.maker!r}", f"use one of {', '.join(MAKERS)}")
        if any(not 0 <= number <= 100 for point in self.points for number in point):
            raise WatershedError("a point lies outside the picture", "give x and y in percent, 0 to 100")


@dataclass(frozen=True, kw_only=True)
class PictureSample:
    """A picture and what one data set says of it."""

    picture: bytes
    ending: str
    """jpg, png or webp, as the bytes are."""
    width: int
    height: int
    source: str
    annotations: tuple[Annotation, ...]

    def described(self) -> dict[str, Any]:
        """The object of KEY.json."""
        return {
            "image_sha256": hashlib.sha256(self.picture).hexdigest(),
            "width": self.width,
            "height": self.height,
            "source": self.source,
            "maker": max((each.maker for each in self.annotations), key=MAKERS.index),
            "annotations": [
                {**asdict(each), "points": [[round(float(x), 1), round(float(y), 1)] for x, y in each.points]}
                for each in self.annotations
            ],
        }


@dataclass(frozen=True, kw_only=True)
class PictureMember:
    """Where a sample lies in its tar."""

    key: str
    ending: str
    picture_offset: int
    """Byte of the tar where the picture begins, after the header."""
    picture_bytes: int
    json_offset: int
    json_bytes: int


@dataclass(frozen=True, kw_only=True)
class PictureLine:
    """The manifest's entry for a shard."""

    shard: str
    split: str
    samples: int
    annotations: int
    bytes: int
    sha256: str
    sources: dict[str, int]
    """Samples by data set, by name."""
    styles: dict[str, int]
    """Annotations by style, by name."""
    members: tuple[PictureMember, ...]


def picture_tar(number: int, samples: Sequence[PictureSample]) -> tuple[bytes, tuple[PictureMember, ...]]:
    """The tar of shard `number`, and where each of its samples lies.

    Raises:
        WatershedError: a sample has no annotation, or its picture has another ending than those of the format.
    """
    buffer, members = io.BytesIO(), []
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for place, sample in enumerate(samples):
            key = f"{number:08d}-{place:06d}"
            if sample.ending not in ENDINGS or not sample.annotations:
                raise WatershedError(
                    f"sample {key} is a .{sample.ending} of {len(sample.annotations)} annotations", MEND
                )
            described = json.dumps(sample.described(), ensure_ascii=False, separators=(",", ":")).encode()
            offsets = []
            for ending, data in ((sample.ending, sample.picture), ("json", described)):
                # TarInfo's own defaults are time 0, owner 0 and mode 0644.
                header = tarfile.TarInfo(f"{key}.{ending}")
                header.size = len(data)
                offsets.append(buffer.tell() + tarfile.BLOCKSIZE)
                tar.addfile(header, io.BytesIO(data))
            sizes = {"picture_bytes": len(sample.picture), "json_bytes": len(described)}
            offset = dict(zip(("picture_offset", "json_offset"), offsets, strict=True))
            members.append(PictureMember(key=key, ending=sample.ending, **offset, **sizes))
    return buffer.getvalue(), tuple(members)


def write_picture_shard(folder: Path, split: str, number: int, samples: Sequence[PictureSample]) -> PictureLine:
    """Write `folder`/shard_NNNNNNNN.tar, whole or not at all; returns its entry for the manifest.

    Raises:
        WatershedError: see `picture_tar`; or the disk is full.
    """
    data, members = picture_tar(number, samples)
    write_whole(folder / f"{shard_name(number)}.tar", data)
    return PictureLine(
        shard=shard_name(number),
        split=split,
        samples=len(samples),
        annotations=sum(len(sample.annotations) for sample in samples),
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        sources=dict(sorted(Counter(sample.source for sample in samples).items())),
        styles=dict(sorted(Counter(each.style for sample in samples for each in sample.annotations).items())),
        members=members,
    )


def write_picture_manifest(folder: Path, lines: Iterable[PictureLine]) -> None:
    """`folder`/manifest.jsonl, sorted by shard; its presence marks the split as complete."""
    texts = (json.dumps(asdict(line), separators=(",", ":")) for line in sorted(lines, key=lambda line: line.shard))
    write_whole(folder / MANIFEST, "".join(f"{line}\n" for line in texts).encode())


def write_picture_dataset(folder: Path, *, fingerprint: str, seed: int) -> None:
    """`folder`/dataset.json."""
    fields = {"kind": KIND, "format": FORMAT, "fingerprint": fingerprint, "seed": seed}
    write_whole(folder / DATASET, (json.dumps(fields, indent=2) + "\n").encode())


def write_pictures(
    folder: Path,
    splits: dict[str, Sequence[PictureSample]],
    *,
    fingerprint: str,
    seed: int = 0,
    samples_per_shard: int = 1000,
) -> dict[str, list[PictureLine]]:
    """Write a whole data set of samples that fit into memory; returns the manifests.

    Args:
        folder: the folder of the data set.
        splits: the samples of each split, train and heldout, in the order in which they are written.
        fingerprint: what identifies the samples.
        seed: of the order, which is recorded.
        samples_per_shard: most samples of a tar.

    Example:
        >>> from pathlib import Path
        >>> from spark_jobs.shards.pictures import Annotation, PictureSample, write_pictures
        >>> caption = Annotation(style="caption", text="A dot.", maker="person")
        >>> sample = PictureSample(
        ...     picture=png, ending="png", width=8, height=8, source="cap", annotations=(caption,)
        ... )
        >>> write_pictures(Path("pictures"), {"train": [sample]}, fingerprint="made")["train"][0].samples
        1
    """
    lines: dict[str, list[PictureLine]] = {}
    for split, samples in splits.items():
        starts = range(0, len(samples), samples_per_shard)
        lines[split] = [
            write_picture_shard(folder / split, split, number, samples[start : start + samples_per_shard])
            for number, start in enumerate(starts)
        ]
        write_picture_manifest(folder / split, lines[split])
    write_picture_dataset(folder, fingerprint=fingerprint, seed=seed)
    return lines
