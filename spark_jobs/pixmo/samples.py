"""Samples of the picture shards: each picture with what one dataset says of it, in the words that a model is to answer.

What is left out: rows whose picture could not be had, and rows whose coordinates were set apart.
"""

from __future__ import annotations

import hashlib
import html
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalog.lake import Lake
from catalog.tables.pixmo.columns import SETS
from catalog.tables.pixmo.pictures import POINTED
from spark_jobs.pixmo.coordinates import place_of
from spark_jobs.pixmo.pictures import GIVEN
from spark_jobs.shards.pictures import Annotation

MARK = "<|POINT|>"
"""Where `parsed_response` names a group of points."""

Row = dict[str, Any]
Say = Callable[[Row, Sequence[tuple[float, float]]], Iterator[Annotation]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Picked:
    """A sample before its rows and its picture are read."""

    dataset: str
    sha256: str
    place: str
    width: int
    height: int
    rows: tuple[int, ...]
    """Positions of its rows in the table of the dataset."""
    held_out: bool
    """Whether a row of the picture, in any dataset, is of a published validation or test split."""


def _cap(row: Row, points: Sequence[tuple[float, float]]) -> Iterator[Annotation]:
    yield Annotation(style="caption", text=row["caption"], maker=row["maker"])
    for spoken in row["transcripts"]:
        yield Annotation(style="transcript", text=spoken, maker="person")


def _question(row: Row, points: Sequence[tuple[float, float]]) -> Iterator[Annotation]:
    yield Annotation(style="question", prompt=row["question"], text=row["answer"], maker=row["maker"])


def _cap_qa(row: Row, points: Sequence[tuple[float, float]]) -> Iterator[Annotation]:
    turns = [*row["before"], row["question"], row["answer"]]
    # Every answer of a conversation is learned once, after the turns before it.
    for place in range(0, len(turns), 2):
        asked = "\n".join(turns[: place + 1])
        yield Annotation(style="question", prompt=asked, text=turns[place + 1], maker=row["maker"])


def _points(row: Row, points: Sequence[tuple[float, float]]) -> Iterator[Annotation]:
    style = row["collection_method"]
    yield Annotation(style=style, points=tuple(points), label=row["label"], count=row["count"], maker=row["maker"])


def _count(row: Row, points: Sequence[tuple[float, float]]) -> Iterator[Annotation]:
    yield Annotation(style="counting", points=tuple(points), label=row["label"], count=row["count"], maker=row["maker"])


def _explanation(row: Row, points: Sequence[tuple[float, float]]) -> Iterator[Annotation]:
    if not row["parsed_response"]:
        return
    text = explained(row["parsed_response"], row["inline_text"], row["alt_text"], _grouped(row["points"], points))
    if text is not None:
        yield Annotation(
            style="point_explanation", prompt=row["question"], text=text, points=tuple(points), maker=row["maker"]
        )


def _grouped(groups: Sequence[Sequence[Any]], points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    found, start = [], 0
    for group in groups:
        found.append(list(points[start : start + len(group)]))
        start += len(group)
    return found


def explained(
    parsed: str, inline: Sequence[str], alt: Sequence[str], groups: Sequence[Sequence[tuple[float, float]]]
) -> str | None:
    """An explanation with its points inline, in Molmo's form; None if its marks and its groups differ in number.

    Example:
        >>> explained("The <|POINT|> is red.", ["door"], ["a door"], [[(50.0, 25.0)]])
        'The <point x="50.0" y="25.0" alt="a door">door</point> is red.'
    """
    parts = parsed.split(MARK)
    if not len(parts) - 1 == len(inline) == len(alt) == len(groups) or not all(groups):
        return None
    text = parts[0]
    for part, words, name, group in zip(parts[1:], inline, alt, groups, strict=True):
        shown, label = html.escape(words), html.escape(name)
        if len(group) == 1:
            text += f'<point x="{group[0][0]:.1f}" y="{group[0][1]:.1f}" alt="{label}">{shown}</point>'
        else:
            pairs = " ".join(f'x{number}="{x:.1f}" y{number}="{y:.1f}"' for number, (x, y) in enumerate(group, 1))
            text += f'<points {pairs} alt="{label}">{shown}</points>'
        text += part
    return text


def _docs(row: Row, points: Sequence[tuple[float, float]]) -> Iterator[Annotation]:
    for question, answer in zip(row["questions"], row["answers"], strict=True):
        yield Annotation(style="doc", prompt=question, text=answer, maker=row["maker"])


def _clocks(row: Row, points: Sequence[tuple[float, float]]) -> Iterator[Annotation]:
    yield Annotation(style="clock", text=row["text"], maker=row["maker"])


SAY: dict[str, Say] = {
    "cap": _cap,
    "ask_model_anything": _question,
    "cap_qa": _cap_qa,
    "points": _points,
    "point_explanations": _explanation,
    "count": _count,
    "docs": _docs,
    "clocks": _clocks,
}


class Samples:
    """The samples of the datasets of a lake.

    Columns are held as Arrow, and rows become Python objects when a sample is asked for.
    """

    def __init__(self, lake: Lake, datasets: Sequence[str] = SETS) -> None:
        self.datasets = tuple(datasets)
        self._tables = {name: lake.read(f"pixmo.{name}") for name in datasets}
        self._pictures = {
            row["place"]: row
            for row in lake.read(
                "pixmo.pictures", ["place", "outcome", "observed_sha256", "width", "height"]
            ).to_pylist()
            if row["outcome"] in GIVEN
        }
        self._coordinates = lake.read("pixmo.coordinates", ["dataset", "file", "row", "points", "apart"])
        keys = zip(*(self._coordinates[name].to_pylist() for name in ("dataset", "file", "row")), strict=True)
        self._placed = {key: position for position, key in enumerate(keys)}

    def picked(self) -> list[Picked]:
        """Every picture of every dataset, sorted by dataset and digest."""
        by_set: dict[str, dict[str, list[int]]] = {}
        held_out: set[str] = set()
        for name, table in self._tables.items():
            groups: dict[str, list[int]] = defaultdict(list)
            columns = [table[column].to_pylist() for column in ("image_url", "image_sha256", "split")]
            for number, (url, digest, split) in enumerate(zip(*columns, strict=True)):
                place = place_of({"image_url": url, "image_sha256": digest})
                if place in self._pictures:
                    groups[place].append(number)
                    if split != "train":
                        held_out.add(self._pictures[place]["observed_sha256"])
            by_set[name] = groups
        return [sample for name, groups in by_set.items() for sample in self._of_set(name, groups, held_out)]

    def _of_set(self, name: str, groups: Mapping[str, Sequence[int]], held_out: set[str]) -> list[Picked]:
        # Several addresses can give the same picture.
        by_digest: dict[str, list[str]] = defaultdict(list)
        for place in sorted(groups):
            by_digest[self._pictures[place]["observed_sha256"]].append(place)
        found = []
        for digest, places in sorted(by_digest.items()):
            picture = self._pictures[places[0]]
            found.append(
                Picked(
                    dataset=name,
                    sha256=digest,
                    place=places[0],
                    width=picture["width"],
                    height=picture["height"],
                    rows=tuple(sorted(number for place in places for number in groups[place])),
                    held_out=digest in held_out,
                )
            )
        return found

    def annotations_of(self, sample: Picked) -> tuple[tuple[Annotation, ...], tuple[str, ...]]:
        """What a dataset says of a picture, and the rows that say it, as FILE:ROW; both empty if all are set apart."""
        annotations: list[Annotation] = []
        used = []
        for row in self._tables[sample.dataset].take(list(sample.rows)).to_pylist():
            points: list[tuple[float, float]] = []
            if sample.dataset in POINTED:
                position = self._placed[sample.dataset, row["file"], row["row"]]
                (where,) = self._coordinates.slice(position, 1).to_pylist()
                if where["apart"]:
                    continue
                points = [(point["x"], point["y"]) for point in where["points"]]
            found = list(SAY[sample.dataset](row, points))
            annotations += found
            used += [f"{row['file']}:{row['row']}"] if found else []
        return tuple(annotations), tuple(used)


def split_of(sample: Picked, heldout: float, seed: int) -> str:
    """train or heldout: by the digest of the picture, so that a picture is in one split alone, in all datasets.

    Args:
        sample: the sample.
        heldout: the share of pictures that are held out besides those of published validation and test splits.
        seed: of the draw.
    """
    return "heldout" if sample.held_out or _chance(seed, "split", sample.sha256) < heldout else "train"


def order_of(sample: Picked, seed: int) -> bytes:
    """The place of a sample in the order in which samples are written, which is random and the same everywhere."""
    return hashlib.sha256(f"{seed} order {sample.dataset} {sample.sha256}".encode()).digest()


def _chance(seed: int, what: str, digest: str) -> float:
    return int.from_bytes(hashlib.sha256(f"{seed} {what} {digest}".encode()).digest()[:8], "big") / 2**64
