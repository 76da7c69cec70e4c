"""The metrics of replies beside slow computations that are written another way, on 500 random cases each."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest

from spark_jobs.mathfish.agreement import cohen_kappa, fleiss_kappa
from spark_jobs.mathfish.replies import LETTERS
from spark_jobs.mathfish.scores import score_tagging, score_verification, summarise_tagging, summarise_verification


def slow_tagging(pairs: list[tuple[set[int] | None, set[int]]], options: int) -> dict[str, Any]:
    """The definitions, written out one option at a time. A prediction of None is malformed."""
    formed = [(pred, label) for pred, label in pairs if pred is not None]
    weak = [(pred, label) for pred, label in formed if pred & label]
    accuracies = []
    for pred, label in formed:
        accuracies.append(sum((option in pred) == (option in label) for option in range(options)) / options)
    tp = sum(not pred and not label for pred, label in formed)
    fp = sum(not pred and bool(label) for pred, label in formed)
    fn = sum(not label and pred != set() for pred, label in pairs)
    f1s = []
    for pred, label in formed:
        hits = sum(option in label for option in pred)
        precision = hits / len(pred) if pred else float(not label)
        recall = hits / len(label) if label else float(not pred)
        f1s.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return {
        "acc": sum(pred == label for pred, label in pairs) / len(pairs),
        "weak_acc": len(weak) / len(pairs),
        "weak_label_subset_pred": sum(p != q and q <= p for p, q in weak) / len(weak) if weak else 0,
        "weak_pred_subset_label": sum(p != q and p <= q for p, q in weak) / len(weak) if weak else 0,
        "option_acc": sum(accuracies) / len(accuracies) if accuracies else None,
        "precision_none": tp / (tp + fp) if tp + fp else None,
        "recall_none": tp / (tp + fn) if tp + fn else None,
        "f1": sum(f1s) / len(f1s) if f1s else None,
        "ok_format": len(formed) / len(pairs),
        "malformed": sum(pred is None for pred, _ in pairs),
    }


def test_metrics_equal_a_slow_computation_on_500_cases() -> None:
    for seed in range(500):
        draw = random.Random(seed)
        options = draw.randint(2, 34)
        pairs: list[tuple[set[int] | None, set[int]]] = []
        rows = []
        for _ in range(draw.randint(1, 8)):
            label = set(draw.sample(range(options), draw.randint(0, 2)))
            pred = draw.choice([None, set(), label, set(draw.sample(range(options), draw.randint(1, 2)))])
            text = "Hm." if pred is None else ", ".join(LETTERS[index] for index in pred) or "None"
            pairs.append((pred, label))
            rows.append(score_tagging(text, sorted(label), options))
        found, slow = summarise_tagging(rows), slow_tagging(pairs, options)
        assert found.keys() == slow.keys()
        for name, value in slow.items():
            assert found[name] == (None if value is None else pytest.approx(value)), (seed, name)


def slow_verification(pairs: list[tuple[str | None, str]]) -> dict[str, Any]:
    """The definitions over the table of counts of replies and labels, in exact fractions."""
    table = Counter(pairs)
    total = len(pairs)
    true = {label: table[label, label] for label in ("yes", "no")}
    of = {label: sum(count for (_, right), count in table.items() if right == label) for label in ("yes", "no")}
    said = {label: sum(count for (reply, _), count in table.items() if reply == label) for label in ("yes", "no")}
    precision = Fraction(sum(true.values()), sum(said.values())) if sum(said.values()) else Fraction(0)
    recall = Fraction(sum(true.values()), total)
    found: dict[str, Any] = {
        "acc": recall,
        "f1": 2 * precision * recall / (precision + recall) if precision + recall else Fraction(0),
        "ok_format": Fraction(total - table[None, "yes"] - table[None, "no"], total),
        "malformed": table[None, "yes"] + table[None, "no"],
    }
    if of["yes"] and of["no"]:
        found["balanced_acc"] = (Fraction(true["yes"], of["yes"]) + Fraction(true["no"], of["no"])) / 2
    return found


def test_verification_equals_a_slow_computation_on_500_cases() -> None:
    balanced = 0
    for seed in range(500):
        draw = random.Random(seed)
        # Ties, cases without a well-formed reply, and cases with one label alone are among them.
        replies, labels = (
            draw.choice([("yes", "no", None), (None,), ("yes",), ("no", None)]),
            draw.choice(["yn", "y", "n"]),
        )
        pairs = [
            (draw.choice(replies), {"y": "yes", "n": "no"}[draw.choice(labels)]) for _ in range(draw.randint(1, 9))
        ]
        found = summarise_verification([score_verification(reply or "Hm.", label) for reply, label in pairs])
        slow = slow_verification(pairs)
        assert found == {name: pytest.approx(float(value)) for name, value in slow.items()}, (seed, pairs)
        balanced += "balanced_acc" in found
    assert 100 < balanced < 450


def test_kappas_equal_a_slow_computation_on_500_cases() -> None:
    verdicts = ("full", "partial", "none", "not_math")
    for seed in range(500):
        draw = random.Random(seed)
        chosen = verdicts[: draw.randint(1, 4)]
        pairs = [(draw.choice(chosen), draw.choice(chosen)) for _ in range(draw.randint(0, 8))]
        found = cohen_kappa(pairs)
        # Chance is how often a verdict of the one rater equals one of the other when all are paired with all.
        by_chance = [one == other for one, _ in pairs for _, other in pairs]
        if not pairs or all(by_chance):
            assert found is None
        else:
            chance = Fraction(sum(by_chance), len(by_chance))
            seen = Fraction(sum(one == other for one, other in pairs), len(pairs))
            assert found == pytest.approx(float((seen - chance) / (1 - chance))), seed
        raters = draw.randint(2, 4)
        things = [[draw.choice(chosen) for _ in range(raters)] for _ in range(draw.randint(1, 6))]
        every = [verdict for thing in things for verdict in thing]
        alike = [a == b for thing in things for i, a in enumerate(thing) for j, b in enumerate(thing) if i != j]
        chance = Fraction(sum(a == b for a in every for b in every), len(every) ** 2)
        seen = Fraction(sum(alike), len(alike))
        expected = None if chance == 1 else pytest.approx(float((seen - chance) / (1 - chance)))
        assert fleiss_kappa(things) == expected, seed


def test_the_example_of_the_upstream_comment_and_its_wrong_share_of_format() -> None:
    assert score_tagging("B, E", [1], 5)["option_accuracy"] == 0.8
    rows = [score_verification(text, "yes") for text in ["Yes"] * 7 + ["Hm"]]
    assert summarise_verification(rows)["ok_format"] == 0.875
