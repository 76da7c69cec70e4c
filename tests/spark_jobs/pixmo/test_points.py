"""Points in replies, and pointing, counting, VQA and ANLS beside independent computations."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from catalog.errors import WatershedError
from spark_jobs.pixmo.answers import anls, levenshtein, read_count, vqa_accuracy, vqa_normal
from spark_jobs.pixmo.pointing import Region, mask_from_runs, score_points
from spark_jobs.pixmo.points import NONE, Dialect, format_points, read_points

DIALECTS: tuple[Dialect, ...] = ("molmo1", "molmo2", "molmo2-tab")
ONE = '<point x="10.0" y="20.0" alt="a">a</point>'
MANY = '<points x1="10.0" y1="20.0" x2="30.5" y2="40.0" alt="a">a</points>'
TWO = '<points coords="1 1 100 200 2 305 400">a</points>'
MOLMO1 = [
    *((ONE, 1, True), (MANY, 2, True), (NONE, 0, True), (f"Counting the {MANY} shows a total of 2.", 2, True)),
    *(
        (f"Here: {ONE}", 1, False),
        (f"{ONE} {ONE}", 2, False),
        ("", 0, False),
        ("none", 0, False),
        ("I see a cat", 0, False),
    ),
    *(
        (ONE.replace("10.0", "110.0"), 0, True),
        (ONE.replace("10.0", "-1.0"), 0, False),
        (ONE.replace('"', "'"), 0, False),
    ),
    *(
        (ONE.replace(' alt="a"', ""), 1, True),
        (ONE.removesuffix("</point>"), 0, False),
        (ONE.replace("x=", "z="), 0, False),
    ),
    *(
        (MANY.replace('y2="40.0"', ""), 1, False),
        (ONE.replace("10.0", "1e1"), 0, False),
        (ONE.replace("10.0", "100"), 1, True),
    ),
    *(
        (ONE.replace("10.0", "100.1"), 0, True),
        (ONE.replace("10.0", "nan"), 0, False),
        (TWO, 0, False),
        ("<point>", 0, False),
    ),
    *((f"{MANY[:-9]}<b></points>", 0, False), (ONE.upper(), 0, False), (ONE.replace("10.0", "10.25"), 1, True)),
    *((ONE.replace('x="10.0" ', ""), 0, False), (" " + ONE + "\n", 1, True), (ONE.replace("10.0", "9" * 50), 0, False)),
]
MOLMO2 = [
    *((TWO, 2), (NONE, 0), (f"There are 2 {TWO}.", 2), (f"Here: {TWO}", 2), (TWO.replace("100", "5"), 1), ("", 0)),
    *((TWO.replace("2 305 400", "2 305"), 1), (TWO.replace("100", "1000"), 2), (TWO.replace("100", "1001"), 1)),
    *(('<points alt="a" coords="1 1 100 200;2 2 300 400">a</points>', 2), (ONE, 0), (MANY, 0)),
    *(('<points alt="a" coords="1 1 100 200\t2 2 300 400">a</points>', 2), (TWO.replace("100", "-10"), 1)),
    *((TWO.replace("100", "10.5"), 1), (TWO.replace('coords="', 'coords="x '), 0), ('<points coords="">a</points>', 0)),
]


def test_at_least_150_replies_are_read_as_they_should() -> None:
    count = 0
    for text, points, valid in MOLMO1:
        for wrapped in (text, f"{text}\n", f"\n{text}", f"  {text}  "):
            found = read_points(wrapped)
            assert (len(found.points), found.valid) == (points, valid), text
            count += 1
    for text, points in MOLMO2:
        for wrapped in (text, f"{text}\n", f"  {text}"):
            assert len(read_points(wrapped, "molmo2").points) == points, text
            count += 1
    assert count >= 150


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("counting", [False, True])
def test_points_survive_formatting_and_parsing(dialect: Dialect, counting: bool) -> None:
    draw = random.Random(1)
    scale = 100 if dialect == "molmo1" else 1000
    for _ in range(10_000 // 6 + 1):
        points = [(draw.random(), draw.choice([0.0, 1.0, draw.random()])) for _ in range(draw.randint(0, 12))]
        found = read_points(format_points(points, 'a "b" <c>\n', dialect, counting=counting), dialect)
        digits = 1 if dialect == "molmo1" else 0
        expected = sorted((round(x * scale, digits), round(y * scale, digits)) for x, y in points)
        assert sorted((round(x * scale, digits), round(y * scale, digits)) for x, y in found.points) == expected
        assert (found.valid, found.outside) == (True, 0)


def slow_hits(predicted: list[tuple[float, float]], true: list[tuple[float, float]], boxes: list[list[int]]) -> int:
    """Hits of the assignment of the smallest total distance, found by trying all of them."""
    few, many = sorted((range(len(predicted)), range(len(true))), key=len)
    best: tuple[float, int] = (float("inf"), 0)
    for order in itertools.permutations(many, len(few)):
        pairs = [(a, b) if few == range(len(predicted)) else (b, a) for a, b in zip(few, order, strict=True)]
        distance = sum(float(np.hypot(*np.subtract(predicted[a], true[b]))) for a, b in pairs)
        hits = 0
        for a, b in pairs:
            x, y = round(predicted[a][0]), round(predicted[a][1])
            hits += boxes[b][0] <= x < boxes[b][2] and boxes[b][1] <= y < boxes[b][3]
        best = min(best, (distance, hits))
    return best[1]


def test_pointing_equals_trying_every_assignment() -> None:
    for seed in range(120):
        draw = random.Random(seed)
        width, height = draw.randint(50, 400), draw.randint(50, 400)
        true = [(draw.uniform(0, width), draw.uniform(0, height)) for _ in range(draw.randint(1, 5))]
        boxes = [[int(x) - draw.randint(1, 20), int(y) - 9, int(x) + draw.randint(1, 20), int(y) + 9] for x, y in true]
        predicted = [
            (min(max(x + draw.gauss(0, 9), 0), width) / width, y / height) for x, y in true if draw.random() < 0.8
        ]
        predicted += [(draw.random(), draw.random()) for _ in range(draw.randint(0, 2))]
        reply = format_points(predicted, "a")
        if not predicted:
            continue
        read = [(x * width, y * height) for x, y in read_points(reply).points]
        hits = slow_hits(read, true, boxes)
        found = score_points(reply, width, height, [Region(box=tuple(box)) for box in boxes], true)  # ty: ignore[invalid-argument-type]
        assert found["precision"] == pytest.approx(hits / len(read))
        assert found["recall"] == pytest.approx(hits / len(true))
        assert found["f1"] == pytest.approx(2 * hits / (len(read) + len(true)))


def test_none_is_right_where_there_is_nothing_and_wrong_where_there_is_something() -> None:
    box = [Region(box=(0, 0, 10, 10))]
    assert score_points(NONE, 100, 100, [])["f1"] == 1.0
    assert score_points(ONE, 100, 100, [])["f1"] == 0.0
    assert score_points("", 100, 100, [])["f1"] == 0.0
    assert score_points(NONE, 100, 100, box)["f1"] == 0.0


def test_the_form_of_the_whole_reply_matters_to_molmo1_alone() -> None:
    region = [Region(box=(5, 15, 15, 25))]
    assert score_points(f"Here: {ONE}", 100, 100, region)["f1"] == 0.0
    assert score_points('Here: <points coords="1 1 100 200">a</points>', 100, 100, region, rule="molmo2")["f1"] == 1.0


def test_ends_of_boxes_are_exclusive_and_masks_go_down_the_columns() -> None:
    box = Region(box=(10, 10, 20, 20))
    assert [box.holds(x, 10) for x in (9, 10, 19, 20)] == [False, True, True, False]
    mask = mask_from_runs({"size": [2, 3], "counts": [2, 1, 3]}, 3, 2)
    assert mask.tolist() == [[False, True, False], [False, False, False]]
    assert Region(mask_HW=mask).holds(1, 0)
    assert not Region(mask_HW=mask).holds(3, 0)
    for runs in ([1], [7], "abc", [6], {"size": [3, 2], "counts": [5, 1]}):
        with pytest.raises(WatershedError):
            mask_from_runs(runs, 3, 2)


@pytest.mark.parametrize(
    ("reply", "count"),
    [
        *(("3", 3), ("There are 3.", 3), ("three", 3), ("There are none.", 0), ("none", 0), ("There are no cats", 0)),
        *((f"Counting the {MANY} shows a total of 2.", 2), (f"Counting the {MANY} shows a total of 5.", 5)),
        *((MANY, 2), (TWO, 2), (f"There are 2 {TWO}.", 2), ("The answer is 12.", 12), ("", None), ("many", None)),
        *(("2 cats and 3 dogs", None), ("2 cats, so there are 2", 2), ("3.5", None), ("-3", None), ("I see 4 cats", 4)),
    ],
)
def test_the_number_that_a_reply_states(reply: str, count: int | None) -> None:
    assert read_count(reply) == count


def test_vqa_equals_leaving_each_person_out() -> None:
    draw = random.Random(3)
    for _ in range(300):
        answers = [draw.choice(["cat", "The cat", "dog", "2", "two"]) for _ in range(10)]
        for reply in ("cat", "a cat!", "2", "bird"):
            mine = vqa_normal(reply)
            each = [
                min(1.0, sum(vqa_normal(other) == mine for index, other in enumerate(answers) if index != left) / 3)
                for left in range(10)
            ]
            assert vqa_accuracy(reply, answers) == pytest.approx(sum(each) / 10)
    assert vqa_accuracy("", ["", ""]) == 0.0


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Yes.", "yes"),
        ("a man", "man"),
        ("3,000", "3000"),
        ("dont", "don't"),
        ("ten", "10"),
        ("none", "0"),
        ("1.5", "1.5"),
    ],
)
def test_vqa_normalises_as_the_official_evaluation(text: str, normal: str) -> None:
    assert vqa_normal(text) == normal


def test_anls_equals_its_definition() -> None:
    draw = random.Random(4)
    for _ in range(300):
        one, other = ("".join(draw.choice("ab c") for _ in range(draw.randint(1, 9))) for _ in range(2))
        a, b = " ".join(one.split()), " ".join(other.split())
        if not a:
            continue
        distance = levenshtein(a, b) / max(len(a), len(b))
        assert anls(one, [other]) == pytest.approx(1 - distance if distance < 0.5 else 0.0)
    assert levenshtein("", "abc") == 3
    assert anls("a" * 1_000_000, ["b"]) == 0.0
    assert anls("a" * 100_000, ["b" * 100_000]) == 0.0
    assert anls("", [""]) == 0.0
