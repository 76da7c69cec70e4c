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


@dataclass(frozen=True, kw_only=True)
class Picked:
    """A sample before its picture is read."""

    dataset: str
    sha256: str
    place: str
    width: int
    height: int
    annotations: tuple[Annotation, ...]
    rows: tuple[str, ...]
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


def picked_samples(lake: Lake, datasets: Sequence[str] = SETS) -> list[Picked]:
    """Every sample of the datasets, sorted by dataset and digest; texts are held in memory, pictures are not."""
    pictures = {
        row["place"]: row
        for row in lake.read("pixmo.pictures", ["place", "outcome", "observed_sha256", "width", "height"]).to_pylist()
        if row["outcome"] in GIVEN
    }
    rows = {name: lake.read(f"pixmo.{name}").to_pylist() for name in datasets}
    held_out = {
        pictures[place]["observed_sha256"]
        for each in rows.values()
        for row in each
        if row["split"] != "train" and (place := place_of(row)) in pictures
    }
    placed = {
        (row["dataset"], row["file"], row["row"]): row
        for row in lake.read("pixmo.coordinates", ["dataset", "file", "row", "points", "apart"]).to_pylist()
    }
    return [
        sample
        for name in datasets
        for sample in _of_set(name, rows[name], pictures=pictures, placed=placed, held_out=held_out)
    ]


def _of_set(
    name: str,
    rows: Sequence[Row],
    *,
    pictures: Mapping[str, Row],
    placed: Mapping[tuple[str, str, int], Row],
    held_out: set[str],
) -> list[Picked]:
    by_digest: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if (place := place_of(row)) in pictures:
            by_digest[pictures[place]["observed_sha256"]].append(row)
    found = []
    for digest, each in sorted(by_digest.items()):
        annotations: list[Annotation] = []
        used = []
        for row in each:
            where = placed.get((name, row["file"], row["row"])) if name in POINTED else None
            if where is not None and where["apart"]:
                continue
            points = [(point["x"], point["y"]) for point in where["points"]] if where else []
            said = list(SAY[name](row, points))
            annotations += said
            used += [f"{row['file']}:{row['row']}"] if said else []
        if annotations:
            picture = pictures[place_of(each[0])]
            found.append(
                Picked(
                    dataset=name,
                    sha256=digest,
                    place=picture["place"],
                    width=picture["width"],
                    height=picture["height"],
                    annotations=tuple(annotations),
                    rows=tuple(used),
                    held_out=digest in held_out,
                )
            )
    return found


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
