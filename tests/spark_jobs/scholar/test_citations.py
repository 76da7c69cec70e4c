"""Citations and ScholarQA-CS2, beside slow computations of their own; real files where they are given."""

from __future__ import annotations

import itertools
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import WatershedError
from spark_jobs.scholar.citations import Claim, claims, recorded, score_citations, sentences
from spark_jobs.scholar.cs2 import answer_precision, citation_scores, score_answer

LONG = "This sentence about the growth of plants number {} has more than fifty characters"
SHARED = os.environ.get("WATERSHED_SHARED")


def made_answer(draw: random.Random) -> tuple[str, list[tuple[str, list[int]]]]:
    """An answer of long sentences, and what each cites."""
    said = []
    for number in range(draw.randint(0, 6)):
        cited = draw.sample(range(6), draw.choice([0, 1, 1, 2, 3]))
        said.append((LONG.format(number), cited))
    return " ".join(f"{text}{''.join(f' [{index}]' for index in cited)}." for text, cited in said), said


@pytest.mark.parametrize("rule", ["strict", "published"])
def test_precision_and_recall_equal_a_slow_computation_on_200_answers(rule: Any) -> None:
    for seed in range(200):
        draw = random.Random(seed)
        answer, said = made_answer(draw)
        subsets = [set(each) for size in range(1, 7) for each in itertools.combinations(range(6), size)]
        truth = {(text, frozenset(each)): draw.random() < 0.5 for text, _ in said for each in subsets}
        passages = draw.choice([5, 6])
        found = score_citations(
            answer, passages, lambda claim, cited, truth=truth: truth[claim.rstrip("."), frozenset(cited)], rule
        )
        hits = needed = total = 0
        before: list[int] = []
        for text, own in said:
            cited = own or (before if rule == "published" else [])
            before = cited
            total += len(cited)
            if not cited or max(cited) >= passages or not truth[text, frozenset(cited)]:
                continue
            hits += 1
            for index in cited:
                alone = truth[text, frozenset([index])]
                rest = frozenset(cited) - {index}
                needed += not rest or alone or not truth[text, rest]
        if not said:
            assert found.recall == (None if rule == "published" else 0.0)
            continue
        assert found.recall == pytest.approx(hits / len(said))
        assert found.precision == pytest.approx(needed / total if total else 0.0)


def test_the_rules_differ_in_groups_inheritance_short_sentences_and_truncation() -> None:
    answer = f"{LONG.format(1)} [1, 2-3]. {LONG.format(2)}. Short [4]. {LONG.format(3)} [0][1][2][3]."
    assert [claim.cited for claim in claims(answer)] == [(1, 2, 3), (), (4,), (0, 1, 2, 3)]
    assert [claim.cited for claim in claims(answer, "published")] == [(1,), (1,), (0, 1, 2)]
    assert claims("Cells [0].") == [Claim("Cells.", (0,))]


def test_a_recorded_entailment_is_used_and_a_missing_one_is_named() -> None:
    entails = recorded([{"claim": "A  b.", "citations": [2, 0], "entailed": True}])
    assert entails("A b.", (0, 2))
    with pytest.raises(WatershedError, match=r"no entailment of 'A b.' by \[0\]"):
        entails("A b.", (0,))
    for wrong in ({"claim": "a"}, {"claim": "a", "citations": [0], "entailed": "yes"}, 5):
        with pytest.raises(WatershedError, match="malformed"):
            recorded([wrong])  # ty: ignore[invalid-argument-type]


def test_sentences_keep_abbreviations_and_citations_behind_the_point() -> None:
    assert sentences("See Fig. 2 by Smith et al. [3] for more. [1] Then stop.\nNew line") == [
        "See Fig. 2 by Smith et al. [3] for more. [1]",
        "Then stop.",
        "New line",
    ]


def test_cs2_equals_a_slow_computation_on_200_answers() -> None:
    for seed in range(200):
        draw = random.Random(seed)
        sections: list[dict[str, Any]] = []
        attributable = extrapolatory = halves = 0
        precisions = []
        for _ in range(draw.randint(1, 4)):
            if draw.random() < 0.2:
                sections.append({"text": "One here. Two there."})
                extrapolatory += 2
                continue
            titles = draw.sample("abcd", 2)
            listed = []
            for _ in range(draw.randint(0, 4)):
                ids = draw.sample("abcdef", draw.randint(0, 4))
                cut = draw.randint(0, len(ids))
                supporting, others, full = ids[:cut], ids[cut:], draw.random() < 0.7
                listed.append({"supporting": supporting, "non_supporting": others, "is_fully_supported": full})
                good, credit = full and cut > 0, sum(each in titles for each in supporting)
                attributable, extrapolatory = attributable + good, extrapolatory + (not good)
                halves += bool(good and credit == cut)
                if ids:
                    precisions.append((cut - credit / 2) / len(ids))
            sections.append({"claims": listed, "title_only": [f"[{each}]" for each in titles]})
        total = attributable + extrapolatory
        recall, precision = citation_scores(sections)
        assert recall == pytest.approx((attributable - halves / 2) / total if total else 0.0)
        assert precision == pytest.approx(sum(precisions) / len(precisions) if precisions else 0.0)
        row = {"response": "On cats.\n\nOn dogs.", "ingredients": [{"score": 0.5}], "sections": sections}
        found = score_answer({**row, "irrelevant": ["On dogs!"]})
        assert found["score"] == pytest.approx((0.5 + 0.5 + recall + precision) / 4)


def test_an_empty_answer_scores_nothing() -> None:
    assert score_answer({"response": " ", "ingredients": [{"score": 1}], "sections": []})["score"] == 0.0
    assert answer_precision("", []) == 0.0


@pytest.mark.skipif(not SHARED, reason="WATERSHED_SHARED names no folder of published files")
def test_the_human_answers_of_scholarqabench_score_with_recorded_entailments() -> None:
    answers = json.loads((Path(str(SHARED)) / "data/scholarqabench/scholarqa_multi/human_answers.json").read_text())
    outside = 0
    for item in answers:
        found = score_citations(item["output"], len(item["ctxs"]), lambda claim, cited: True, "published")
        outside += found.out_of_range
        assert found.recall is None or 0 <= found.recall <= 1
    assert len(answers) == 108
    assert outside > 0
