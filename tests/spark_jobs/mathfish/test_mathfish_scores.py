"""Replies to MathFish's prompts and their metrics, beside slow computations."""

from __future__ import annotations

import random
from typing import Any

import pytest

from spark_jobs.mathfish.replies import LETTERS, read_tags, read_yes_no
from spark_jobs.mathfish.scores import score_tagging, score_verification, summarise_tagging, summarise_verification

MALFORMED = None
LISTS: list[tuple[str, str | None]] = [
    *(
        ("A", "A"),
        ("A.", "A"),
        ("(A)", "A"),
        ("**A**", "A"),
        ("A, B", "AB"),
        ("A,B", "AB"),
        ("A, A", "A"),
        ("B, A", "AB"),
    ),
    *(("A and B", "AB"), ("A, B, and C", "ABC"), ("A; C", "AC"), ("A & C", "AC"), ("A\nB", "AB"), ("- A\n- B", "AB")),
    *(
        ("A. Count to 100\nB. Count on", "AB"),
        ("1. A\n2. C", "AC"),
        ("A) first\nC) third", "AC"),
        ("none", ""),
        ("None.", ""),
    ),
    *(("None of the above.", ""), ("none of these", ""), ("NONE", ""), ("Answer: A, B", "AB"), ("Answer: none", "")),
    *(
        ("Let us see.\nAnswer: C", "C"),
        ("**Answer:** A, D", "AD"),
        ("Final answer: B", "B"),
        ('{"answer": "A, B"}', "AB"),
    ),
    *(('{"answer": ["A", "B"]}', "AB"), ('{"answer": null}', ""), ('{"answer": "None"}', ""), ('{"answer": []}', "")),
    *(('```json\n{"answer": "C"}\n```', "C"), ("[A, B]", MALFORMED), ('["A", "B"]', "AB"), ("A, C. They count.", "AC")),
    *(("A: it counts", "A"), ("A - it counts", "A"), ("B\n\nBecause it counts.", "B"), ("I think A", MALFORMED)),
    *(
        ("I am sorry, I cannot.", MALFORMED),
        ("A problem about counting", MALFORMED),
        ("", MALFORMED),
        ("a, b", MALFORMED),
    ),
    *(
        ("The best options are A and B.", MALFORMED),
        ("Z", MALFORMED),
        ("A, Z", MALFORMED),
        ("Answer: A\nAnswer: B", MALFORMED),
    ),
    *(("Answer: A\nAnswer: A", "A"), ('{"answer": 5}', MALFORMED), ('{"reply": "A"}', MALFORMED), ("{A}", MALFORMED)),
    *(("Die Antwort ist A", MALFORMED), ("选择 A", MALFORMED), ("Ninguna", MALFORMED), ("K.CC.A.1", MALFORMED)),
    *(("Answer: I am not sure", MALFORMED), ("Answer:", MALFORMED), ("AA", MALFORMED), ("As an AI model", MALFORMED)),
    *(("OA is the domain", MALFORMED), ("None, but A is close", MALFORMED), ("...", MALFORMED), ("A B", MALFORMED)),
]
YES_NO: list[tuple[str, str | None]] = [
    *(("Yes", "yes"), ("No", "no"), ("yes.", "yes"), ("NO!", "no"), ("Yes, it does.", "yes"), ("Yes it does", "yes")),
    *(("**Yes**", "yes"), ("**No**, it does not.", "no"), ("Answer: yes", "yes"), ("It counts.\nAnswer: No", "no")),
    *(('{"answer": "yes"}', "yes"), ('{"answer": false}', "no"), ('```json\n{"answer": "No"}\n```', "no")),
    *(("The problem counts, so yes.", "yes"), ("So the answer is: no", "no"), ("Perhaps", MALFORMED), ("", MALFORMED)),
    *(
        ("Yes and no", MALFORMED),
        ("Yes/No", MALFORMED),
        ("Yes. Wait, no", MALFORMED),
        ("Answer: yes\nAnswer: no", MALFORMED),
    ),
    *(("There is no way to tell.", MALFORMED), ("I cannot answer.", MALFORMED), ("Ja", MALFORMED), ("Sí", MALFORMED)),
    *(("Not at all", MALFORMED), ("Yesterday it was", MALFORMED), ("Nope", MALFORMED), ("是", MALFORMED)),
]
WRAPPED = ("{}", "  {}\n", "\n\n{}", "{}  ")


def test_at_least_200_replies_are_read_or_counted_as_malformed() -> None:
    count = 0
    for text, expected in LISTS:
        for wrap in WRAPPED:
            tags = read_tags(wrap.format(text) if text else text, 10)
            found = None if tags.malformed else "".join(LETTERS[index] for index in tags.chosen)
            assert found == expected, (text, tags)
            count += 1
    for text, expected in YES_NO:
        for wrap in WRAPPED:
            assert read_yes_no(wrap.format(text) if text else text).answer == expected, text
            count += 1
    assert count >= 200


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
    return {
        "acc": sum(pred == label for pred, label in pairs) / len(pairs),
        "weak_acc": len(weak) / len(pairs),
        "weak_label_subset_pred": sum(p != q and q <= p for p, q in weak) / len(weak) if weak else 0,
        "weak_pred_subset_label": sum(p != q and p <= q for p, q in weak) / len(weak) if weak else 0,
        "option_acc": sum(accuracies) / len(accuracies) if accuracies else None,
        "precision_none": tp / (tp + fp) if tp + fp else None,
        "recall_none": tp / (tp + fn) if tp + fn else None,
        "ok_format": len(formed) / len(pairs),
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
        found = summarise_tagging(rows)
        for name, value in slow_tagging(pairs, options).items():
            assert found[name] == (None if value is None else pytest.approx(value)), (seed, name)


def test_verification_equals_a_slow_computation() -> None:
    draw = random.Random(5)
    for _ in range(100):
        pairs = [(draw.choice(["yes", "no", None]), draw.choice(["yes", "no"])) for _ in range(draw.randint(1, 9))]
        found = summarise_verification([score_verification(pred or "Hm.", label) for pred, label in pairs])
        counts = {"tp": 0, "fp": 0, "fn": 0}
        for which in ("yes", "no"):
            counts["tp"] += sum(pred == label == which for pred, label in pairs)
            counts["fp"] += sum(pred == which != label for pred, label in pairs)
            counts["fn"] += sum(label == which != pred for pred, label in pairs)
        total = 2 * counts["tp"] + counts["fp"] + counts["fn"]
        assert found["f1"] == pytest.approx(2 * counts["tp"] / total)
        assert found["ok_format"] == pytest.approx(sum(pred is not None for pred, _ in pairs) / len(pairs))


def test_the_example_of_the_upstream_comment_and_its_wrong_share_of_format() -> None:
    assert score_tagging("B, E", [1], 5)["option_accuracy"] == 0.8
    rows = [score_verification(text, "yes") for text in ["Yes"] * 7 + ["Hm"]]
    assert summarise_verification(rows)["ok_format"] == 0.875
