"""pixmo.coordinates: the places of every row that points, in percent, with the unit that they were written in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from catalog.lake import Lake
from catalog.tables.pixmo.pictures import POINTED
from spark_jobs.pixmo.pictures import HELD
from spark_jobs.pixmo.raw import BY_NAME
from spark_jobs.pixmo.units import Placed, decide_units, to_percent

Row = dict[str, Any]
Size = tuple[int, int]


def place_of(row: Mapping[str, Any]) -> str:
    """The place of a row's picture, as pixmo.pictures names it; empty if the row names none."""
    if row["image_url"] is not None:
        return row["image_url"]
    return f"{HELD}{row['image_sha256']}" if row["image_sha256"] else ""


def sizes_of(lake: Lake) -> dict[str, Size]:
    """Width and height of every picture that is known, by place."""
    rows = lake.read("pixmo.pictures", ["place", "width", "height"]).to_pylist()
    return {row["place"]: (row["width"], row["height"]) for row in rows if row["width"] and row["height"]}


def coordinate_rows(lake: Lake) -> list[Row]:
    """The rows of pixmo.coordinates."""
    sizes, found = sizes_of(lake), []
    for dataset in POINTED:
        names = ["file", "row", "image_url", "image_sha256", "points", "unit"]
        found += rows_of_set(dataset, lake.read(f"pixmo.{dataset}", names).to_pylist(), sizes)
    return found


def rows_of_set(dataset: str, rows: Sequence[Row], sizes: Mapping[str, Size]) -> list[Row]:
    """The rows of one set.

    Args:
        dataset: points, point_explanations or count.
        rows: of its table: `file`, `row`, `image_url`, `image_sha256`, `points` and `unit`.
        sizes: width and height of pictures, by place.
    """
    declared = BY_NAME[dataset].unit
    written = [_flat(row["points"]) for row in rows]
    known = [sizes.get(place_of(row)) for row in rows]
    units = decide_units(Placed.of(written, known), declared, [row.get("unit") for row in rows])
    found = []
    for place, row in enumerate(rows):
        size, why, unit = known[place], units.why[place], units.unit[place]
        found.append(
            {
                "dataset": dataset,
                "file": row["file"],
                "row": row["row"],
                "width": size[0] if size else None,
                "height": size[1] if size else None,
                "points": [] if why else to_percent(written[place], unit, size),
                "written": written[place],
                "unit": unit,
                "known_by": units.known_by[place],
                "certainty": float(units.certainty[place]),
                "declared": declared,
                "set_unit": units.set_unit,
                "apart": bool(why),
                "why": why,
            }
        )
    return found


def _flat(points: Sequence[Any]) -> list[Row]:
    """Points of a row; those of an explanation's groups one after another."""
    flat: list[Row] = []
    for point in points:
        flat += point if isinstance(point, list) else [point]
    return flat
