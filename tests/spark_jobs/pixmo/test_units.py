"""Percent or pixels: rows of the wrong unit are found by range, area and digits."""

from __future__ import annotations

import random
from typing import Any

import pytest
from made_pixmo import SIZE, pointing_rows

from spark_jobs.pixmo.coordinates import rows_of_set
from spark_jobs.pixmo.units import Placed, decide_units, to_percent

Row = dict[str, Any]


def decided(
    rows: list[list[tuple[float, float]]], declared: str = "percent", size: Any = SIZE
) -> list[tuple[str, str]]:
    written = [[{"x": x, "y": y} for x, y in points] for points in rows]
    found = decide_units(Placed.of(written, [size] * len(rows)), declared)
    return list(zip(found.unit, found.why, strict=True))


@pytest.mark.parametrize("unit", ["percent", "pixel"])
@pytest.mark.parametrize("whole", [False, True])
def test_five_in_a_hundred_rows_of_the_wrong_unit_are_found_and_set_apart(unit: str, whole: bool) -> None:
    rows = pointing_rows(4000, {"image_url": "u", "image_sha256": None}, unit=unit)
    for row in rows:
        if whole and row["wrong"] == (unit == "percent"):
            row["points"] = [{axis: float(round(point[axis])) for axis in "xy"} for point in row["points"]]
    placed = [{**row, "file": "f", "row": number} for number, row in enumerate(rows)]
    # The set is read as declared by the other unit: most of its rows say that this is wrong.
    found = rows_of_set("count" if unit == "percent" else "points", placed, {"u": SIZE})
    assert {row["set_unit"] for row in found} == {unit}
    wrong = {number for number, row in enumerate(rows) if row["wrong"]}
    apart = {row["row"] for row in found if row["apart"]}
    assert len(wrong) == 200
    # A pixel row whose few points all lie in the corner, at whole numbers, can look like percent.
    assert len(wrong - apart) <= 2 and len(apart - wrong) <= 20
    missed = {row["row"] for row in found if row["row"] in wrong - apart or (row["why"] == "unknown")}
    assert all(rows[number]["count"] <= 3 for number in missed)
    for row in found:
        if not row["apart"]:
            source = rows[row["row"]]["points"]
            scale = SIZE if unit == "pixel" else (100, 100)
            expected = [
                (round(point["x"] * 100 / scale[0], 1), round(point["y"] * 100 / scale[1], 1)) for point in source
            ]
            if row["row"] not in wrong:
                assert [(point["x"], point["y"]) for point in row["points"]] == expected


def test_the_range_decides_where_it_can() -> None:
    many = [[(12.5, 99.9), (50.0, 3.1), (88.8, 70.7)]] * 20
    assert decided([*many, [(101.0, 5.0)]])[-1] == ("pixel", "unit")
    assert decided([*many, [(700.0, 5.0)]])[-1] == ("unknown", "outside")
    assert decided([*many, [(-5.0, 5.0)]])[-1] == ("unknown", "outside")
    assert decided([*many, [(float("nan"), 5.0)]])[-1] == ("unknown", "number")
    assert decided([*many, []])[-1] == ("none", "")
    # A picture of 60 x 50 pixels has no pixel at 90.
    small = [[(30.0, 20.0)], [(55.0, 44.0)]]
    assert decided([*small, [(90.0, 80.0)]], "pixel", (60, 50))[-1][0] == "percent"
    assert decided([*[[(300.0, 20.0)]] * 9, [(5.5, 44.1), (70.2, 3.0)]])[-1] == ("percent", "unit")


def test_a_picture_of_unknown_size_is_judged_by_range_and_by_its_set() -> None:
    rows = [[(12.5, 99.9)]] * 30 + [[(400.0, 30.0)]]
    found = decided(rows, "percent", None)
    assert set(found[:-1]) == {("percent", "")} and found[-1] == ("pixel", "unit")
    # Pixels cannot become percent without the size.
    assert decided([[(400.0, 30.0)]] * 5, "pixel", None) == [("pixel", "size")] * 5


def test_pixels_become_percent_with_one_decimal_within_the_picture() -> None:
    points = [{"x": 320.0, "y": 240.0}, {"x": 640.9, "y": -0.4}]
    assert to_percent(points, "pixel", SIZE) == [{"x": 50.0, "y": 50.0}, {"x": 100.0, "y": 0.0}]


def test_the_order_of_rows_does_not_matter_and_an_empty_set_has_none() -> None:
    rows = pointing_rows(300, {"image_url": "u", "image_sha256": None})
    written = [[(point["x"], point["y"]) for point in row["points"]] for row in rows]
    order = list(range(len(written)))
    random.Random(3).shuffle(order)
    straight, shuffled = decided(written), decided([written[place] for place in order])
    assert [straight[place] for place in order] == shuffled
    assert decided([]) == []
    assert len(decide_units(Placed.of([], []), "percent").certainty) == 0


def test_a_row_that_states_its_unit_is_in_it_if_it_can_be() -> None:
    rows: list[Row] = [{"points": [{"x": 300.0, "y": 20.0}], "unit": None} for _ in range(9)]
    rows += [
        {"points": [{"x": 30.0, "y": 20.0}], "unit": "percent"},
        {"points": [{"x": 101.0, "y": 1.0}], "unit": "percent"},
    ]
    placed = [{**row, "file": "f", "row": n, "image_url": "u", "image_sha256": None} for n, row in enumerate(rows)]
    found = rows_of_set("count", placed, {"u": SIZE})
    stated, impossible = found[-2:]
    assert (stated["known_by"], stated["points"], stated["apart"]) == ("stated", [{"x": 30.0, "y": 20.0}], False)
    assert (impossible["unit"], impossible["why"]) == ("unknown", "outside")
