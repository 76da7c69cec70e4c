"""The benchmark of decontamination: what each rule finds of planted examples, on made evaluations and pages."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.decontamination import SEED, compare, made_evaluations, made_pages


def test_examples_are_found_as_the_documentation_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(SEED)
    files = made_evaluations(tmp_path, draw)
    shares = compare(files, made_pages(draw, pages=60), number=20, rounds=1)
    fields, ngram = ({name: row[place] for name, row in shares.items()} for place in (0, 1))
    # Sums are numbers alone: one of the four evaluations.
    assert fields["can be found at all"] == 0.75
    for name in (
        "passage, question and right answer",
        "the same in capitals, other punctuation",
        "the same with ’, ligatures, soft hyphens, decomposed",
        "question alone",
        "answer before the question",
    ):
        assert fields[name] == 0.75, name
    assert ngram["the same with ’, ligatures, soft hyphens, decomposed"] < 0.5
    assert fields["one word in ten replaced"] > 0.2
    assert fields["one word in three replaced"] < 0.2
    assert fields["paraphrase by a person"] == ngram["paraphrase by a person"] == 0
    shown = capsys.readouterr().out
    # Three of sixty pages have a navigation bar of numbers.
    assert "documents dropped as they are                                  0         3" in shown
    assert "of these without two words in what is found                  0         3" in shown
