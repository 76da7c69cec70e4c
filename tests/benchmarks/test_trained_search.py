"""The pairs of `python -m benchmarks.trained_search`; training on pairs is tested beside the trainers."""

from __future__ import annotations

from benchmarks.trained_search import pairs_of
from spark_jobs.scholar.documentation import Document


def test_a_question_is_a_summary_that_its_passage_does_not_have() -> None:
    text = " ".join(f"word{number}" for number in range(200))
    given = [
        Document("module:a.b", "a.b", text, "Count the drops of rain."),
        Document("module:copy", "copy", text, "count the drops of RAIN."),
        Document("module:said", "said", f"Measure  the\nrain at night. {text}", "Measure the rain at night."),
        Document("module:none", "none", text),
        Document("package:c", "c", text, "A package of clouds."),
        Document("module:d", "d", "Drops fall.", "What falls in the rain."),
    ]
    assert pairs_of(given, 9, 6) == [
        {"query": "Count the drops of rain.", "positive": "a.b word0 word1 word2 word3 word4 word5"},
        {"query": "What falls in the rain.", "positive": "d Drops fall."},
    ]
    assert len(pairs_of(given, 1, 6)) == 1
