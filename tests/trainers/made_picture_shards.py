"""Small folders of picture shards, written by the format alone: no code of the data side is used."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def small_png(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    """A PNG of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes(colour) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def described(picture: bytes, annotations: Sequence[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """The JSON object of a sample; annotations may leave out fields that are null."""
    empty = {"prompt": None, "text": None, "points": [], "label": None, "count": None, "maker": "person"}
    about: dict[str, Any] = {
        "image_sha256": hashlib.sha256(picture).hexdigest(),
        "width": 8,
        "height": 6,
        "source": "cap",
    }
    about |= {"maker": "person", "annotations": [{"style": "caption", **empty, **each} for each in annotations]}
    return {**about, **fields}


def write_picture_split(folder: Path, samples: Sequence[tuple[bytes, str, dict[str, Any]]], number: int = 0) -> None:
    """Write `samples` (picture, its ending, JSON object) as one tar with a manifest."""
    folder.mkdir(parents=True)
    name, members = f"shard_{number:08d}", []
    with tarfile.open(folder / f"{name}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        for place, (picture, ending, about) in enumerate(samples):
            key = f"{number:08d}-{place:06d}"
            text = json.dumps(about, ensure_ascii=False, separators=(",", ":")).encode()
            member: dict[str, Any] = {"key": key, "ending": ending}
            for what, suffix, data in (("picture", ending, picture), ("json", "json", text)):
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size, info.mtime, info.mode = len(data), 0, 0o644
                member |= {f"{what}_offset": tar.offset + tarfile.BLOCKSIZE, f"{what}_bytes": len(data)}
                tar.addfile(info, io.BytesIO(data))
            members.append(member)
    data = (folder / f"{name}.tar").read_bytes()
    each = [annotation for *_, about in samples for annotation in about["annotations"]]
    line = {
        "shard": name,
        "split": folder.name,
        "samples": len(samples),
        "annotations": len(each),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "sources": dict(sorted(Counter(about["source"] for *_, about in samples).items())),
        "styles": dict(sorted(Counter(annotation["style"] for annotation in each).items())),
        "members": members,
    }
    (folder / "manifest.jsonl").write_text(json.dumps(line, separators=(",", ":")) + "\n")


def write_picture_dataset_json(folder: Path) -> None:
    """dataset.json of a folder of picture shards."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"kind": "pictures", "format": 1, "fingerprint": "made", "seed": 0}
    (folder / "dataset.json").write_text(json.dumps(about, indent=2) + "\n")
