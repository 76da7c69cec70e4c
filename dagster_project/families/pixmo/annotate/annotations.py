"""What people say of pictures: rows in the published fields of PixMo, each on the disk before it is confirmed.

A row is appended to a JSON-lines file of `[pixmo] annotations`, which the assets read beside the published files, and
to the table of its dataset. Coordinates are in percent, and each row says so.
"""

from __future__ import annotations

import datetime
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.files import alone
from catalog.fingerprint import fingerprint
from catalog.lake import Lake
from spark_jobs.pictures.look import NotAPicture, look
from spark_jobs.pixmo.loading import load, pixmo_files
from spark_jobs.pixmo.pictures import store_of
from spark_jobs.pixmo.raw import BY_NAME

FILE, LOCK = "annotated.jsonl", ".writing"
LONGEST_TEXT, MOST_POINTS, MOST_TRANSCRIPTS = 20_000, 1_000, 20
MOST_PICTURES = 100_000
ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
DATASETS = ("cap", "ask_model_anything", "points")

Row = dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """A picture that is annotated."""

    path: Path
    name: str
    width: int
    height: int
    format: str
    sha256: str


def pictures_of(places: Sequence[Path], lake: Lake) -> list[Picture]:
    """The pictures of files and folders, in the order of their names, each stored in the lake.

    Raises:
        WatershedError: there are none, or a file that was named is not a picture.
    """
    paths: list[tuple[Path, bool]] = []
    for place in places:
        if place.is_dir():
            inside = (path for path in sorted(place.rglob("*")) if path.suffix.lower() in ENDINGS)
            paths += [(path, False) for path in inside if path.is_file()]
        else:
            paths.append((place, True))
    found: dict[str, Picture] = {}
    store = store_of(lake)
    for path, named in paths[:MOST_PICTURES]:
        try:
            data = path.read_bytes()
            looked = look(data)
        except (OSError, NotAPicture) as error:
            if named:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                raise WatershedError(f"{path}: {reason}", "give JPEG, PNG or WebP files, or folders of them") from None
            continue
        digest = store.put(data, looked).digest
        found.setdefault(digest, Picture(path, path.name, looked.width, looked.height, looked.format, digest))
    if not found:
        raise WatershedError("no picture was found", "give JPEG, PNG or WebP files, or folders of them")
    return list(found.values())


@dataclass
class Annotations:
    """The annotations of a lake. Threads and processes write one after another."""

    lake: Lake
    folder: Path
    pictures: Sequence[Picture]

    def saved(self, picture: Picture) -> dict[str, list[Row]]:
        """The rows that were written here for a picture, by dataset."""
        return {name: [row for row in self._rows(name) if row["image_sha256"] == picture.sha256] for name in DATASETS}

    def caption(self, place: int, text: str, transcripts: Sequence[str]) -> None:
        """Save a description, and what was recognised of a spoken one.

        Raises:
            WatershedError: there is no such picture, or no text.
        """
        if len(transcripts) > MOST_TRANSCRIPTS:
            raise WatershedError("there are too many transcripts", f"give at most {MOST_TRANSCRIPTS}")
        spoken = [_text(each, "transcript") for each in transcripts]
        self._save("cap", place, {"caption": _text(text, "description"), "transcripts": spoken})

    def question(self, place: int, question: str, answer: str) -> None:
        """Save a question and its answer.

        Raises:
            WatershedError: there is no such picture, or a text is missing.
        """
        row = {"question": _text(question, "question"), "answer": _text(answer, "answer")}
        self._save("ask_model_anything", place, row)

    def points(self, place: int, label: str, points: Sequence[Sequence[float]]) -> None:
        """Save places of a thing, in percent; none says that it is not in the picture.

        Raises:
            WatershedError: there is no such picture, no label, or a point outside the picture.
        """
        if len(points) > MOST_POINTS:
            raise WatershedError("there are too many points", f"give at most {MOST_POINTS:,}")
        pairs = [{"x": _percent(x), "y": _percent(y)} for x, y in points]
        fields = {"points": pairs, "count": len(pairs), "collection_method": "pointing", "unit": "percent"}
        self._save("points", place, {"label": _text(label, "name of the thing"), **fields})

    def _path(self, dataset: str) -> Path:
        return self.folder / BY_NAME[dataset].folders[0] / FILE

    def _rows(self, dataset: str) -> list[Row]:
        path = self._path(dataset)
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def _save(self, dataset: str, place: int, fields: Mapping[str, Any]) -> None:
        if not 0 <= place < len(self.pictures):
            raise WatershedError("there is no such picture", "reload the page")
        picture = self.pictures[place]
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        row = {"image_url": None, "image_sha256": picture.sha256, **fields, "maker": "person", "at": at}
        path = self._path(dataset)
        try:
            # The row that is added to the table must still be the last one of the file.
            with alone(self.folder / LOCK):
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("ab") as file:
                    file.write(json.dumps(row, ensure_ascii=True).encode() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                self._append(dataset, path)
        except OSError as error:
            raise WatershedError(f"{path} was not written: {error.strerror}", "free some space") from error

    def _append(self, dataset: str, path: Path) -> None:
        """Add the last row of a file to the table, as the asset would read it."""
        contract = BY_NAME[dataset].contract
        files = [file for file in pixmo_files(self.folder) if file.path == path]
        rows = load(dataset, files, store_of(self.lake)).slice(len(self._rows(dataset)) - 1)
        self.lake.append(contract, rows, fingerprint(contract.name, rows.to_pylist()))


def _text(text: Any, what: str) -> str:
    if not isinstance(text, str) or len(text) > LONGEST_TEXT:
        raise WatershedError(f"the {what} is not a text, or too long", f"write at most {LONGEST_TEXT:,} characters")
    clean = text.encode("utf-8", "replace").decode().strip()
    if not clean:
        raise WatershedError(f"the {what} is empty", "write it, and save again")
    return clean


def _percent(number: Any) -> float:
    if not isinstance(number, int | float) or isinstance(number, bool) or not math.isfinite(number):
        raise WatershedError("a point is not a number", "reload the page")
    if not 0 <= number <= 100:
        raise WatershedError("a point lies outside the picture", "place it on the picture")
    return round(float(number), 1)
