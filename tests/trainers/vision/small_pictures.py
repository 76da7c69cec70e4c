"""A small data set of pictures: squares of some colours on grey, with captions, points and counts."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COLOURS = {"red": (220, 30, 30), "blue": (30, 60, 220), "green": (30, 180, 60)}
SIZE = 32
SHAPE: dict[str, Any] = {
    "vision": {"width": 32, "layers": 2, "heads": 2, "hidden": 48, "stem": [8, 16]},
    "connector": {"layers": [-1, -2], "heads": 2, "places": True},
    "decoder": {"width": 32, "layers": 2, "heads": 2, "hidden": 48, "sequence_length": 256, "tied": True},
    "crops": {"crop": 32, "patch": 4, "pool": 2, "mode": "global", "margins": [0, 0]},
}


def drawn(number: int) -> tuple[bytes, dict[str, list[list[float]]]]:
    """A PNG and the points of each colour in percent."""
    chance = np.random.default_rng(number)
    page = np.full((SIZE, SIZE, 3), 120, dtype=np.uint8)
    points: dict[str, list[list[float]]] = {}
    for cell in chance.permutation(16)[: chance.integers(1, 5)]:
        colour = list(COLOURS)[chance.integers(3)]
        top, left = 8 * (cell // 4) + 1, 8 * (cell % 4) + 1
        page[top : top + 6, left : left + 6] = COLOURS[colour]
        points.setdefault(colour, []).append([round(100 * (left + 3) / SIZE, 1), round(100 * (top + 3) / SIZE, 1)])
    written = io.BytesIO()
    Image.fromarray(page).save(written, "PNG")
    return written.getvalue(), points


def annotations(points: dict[str, list[list[float]]], dataset: str) -> list[dict[str, Any]]:
    empty = {"prompt": None, "text": None, "points": [], "label": None, "count": None, "maker": "program"}
    if dataset == "cap":
        named = " and ".join(f"{len(at)} {colour}" for colour, at in sorted(points.items()))
        return [{**empty, "style": "caption", "text": f"There are {named} squares."}]
    style = "pointing" if dataset == "points" else "counting"
    return [
        {**empty, "style": style, "points": at, "label": f"{colour} squares", "count": len(at)}
        for colour, at in sorted(points.items())
    ]


def write_shard(
    path: Path,
    numbers: range,
    datasets: tuple[str, ...] = ("cap", "points", "count"),
    *,
    digests: bool = True,
) -> str:
    """A tar with a sample a number and data set, with the digests of their pictures if `digests`; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in numbers:
            picture, points = drawn(number)
            for dataset in datasets:
                digest = hashlib.sha256(picture).hexdigest() if digests else None
                about = {"image_sha256": digest, "width": SIZE, "height": SIZE, "source": dataset, "maker": "program"}
                about["annotations"] = annotations(points, dataset)
                for ending, data in (("png", picture), ("json", json.dumps(about).encode())):
                    member = tarfile.TarInfo(f"{number:06d}-{dataset}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return str(path)
