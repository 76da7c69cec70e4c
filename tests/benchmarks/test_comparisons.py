"""Pairs of folders whose better side is known, as `benchmarks.comparisons` makes and counts them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.comparisons import Outcome, compare_pairs, identical, planted, real_prose, summary


@pytest.mark.parametrize("pair", [identical(0), identical(1), planted("salad", 0), planted("keywords", 1)])
def test_the_sides_of_a_pair_and_its_held_out_text_share_no_document(pair):
    sides = [set(side) for side in (pair.first, pair.second, pair.held)]
    assert len(pair.first) == len(pair.second) == len(sides[0]) == len(sides[1])
    assert len(sides[0] | sides[1] | sides[2]) == sum(map(len, sides))
    assert len(sides[2]) == 60


def test_a_planted_pair_differs_in_the_order_of_words_alone_and_turns_with_its_seed():
    prose = set(real_prose())
    assert len(prose) > 200 and min(map(len, prose)) > 500
    even, odd = planted("keywords", 0), planted("keywords", 1)
    assert (even.better, odd.better) == ("better", "worse")
    assert set(even.first) <= prose and set(odd.second) <= prose
    assert not any("." in text for text in (*even.second, *odd.first))
    salad = planted("salad", 1)
    spoilt = [text for text in salad.first if not text.endswith(".") or not text[0].isupper()]
    assert 0.3 < len(spoilt) / len(salad.first) < 0.6
    assert all(text.endswith(".") and text[0].isupper() for text in salad.second)
    assert planted("salad", 1) == salad


def test_one_identical_pair_in_twenty_may_be_decided_and_every_planted_one_must_be_right():
    one = Outcome(name="a", expected="better", answer="better", probability=1.0, difference=0.1, seconds=1.0)
    same = replace(one, expected="cannot tell", answer="cannot tell")
    decided = replace(same, answer="worse")
    assert summary([one, *[same] * 19, decided]) == (
        ["planted: 1 of 1 decided for the better side", "identical: 1 of 20 decided"],
        True,
    )
    assert not summary([one, *[same] * 18, decided, decided])[1]
    assert not summary([one, replace(one, answer="worse")])[1]
    assert not summary([one, replace(one, answer="cannot tell")])[1]


@pytest.mark.campaign
def test_real_prose_is_told_from_keyword_lists_and_two_draws_of_it_are_not_told_apart(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    outcomes = compare_pairs([planted("keywords", 1), identical(1)], tmp_path)
    assert [each.answer for each in outcomes] == ["worse", "cannot tell"]
