"""Measures of retrieval, beside ir-measures (trec_eval)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from catalog.errors import WatershedError
from spark_jobs.retrieval.metrics import ranking, score_run
from spark_jobs.retrieval.trec import read_judgements, read_run

MEASURES = {"ndcg@10": "nDCG@10", "recall@10": "R@10", "mrr": "RR", "map": "AP", "ndcg@3": "nDCG@3", "recall@3": "R@3"}


def made(seed: int) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Judgements and a run with ties, near ties of 32-bit floats, graded and missing judgements."""
    draw = random.Random(seed)
    documents = [f"d{number}" for number in range(draw.randint(5, 40))] + ["é", "Z", "a b".replace(" ", "_")]
    judgements, run = {}, {}
    for query in (f"q{number}" for number in range(12)):
        judged = draw.sample(documents, draw.randint(1, len(documents)))
        judgements[query] = {document: draw.choice([-1, 0, 0, 0, 1, 1, 2, 3]) for document in judged}
        found = draw.sample(documents, draw.randint(1, len(documents)))
        levels = [1.0, 1.0 + 1e-9, 0.5, 0.25, -3.0, draw.random()]
        run[query] = {document: draw.choice(levels) for document in found}
    del run["q3"], judgements["q7"]
    judgements["q5"] = {documents[0]: 0}
    return judgements, run


@pytest.mark.parametrize("seed", range(50))
def test_measures_equal_ir_measures(seed: int) -> None:
    import ir_measures

    judgements, run = made(seed)
    rows, averages = score_run(run, judgements, (10, 3))
    measures = [ir_measures.parse_measure(name) for name in MEASURES.values()]
    expected = {str(name): value for name, value in ir_measures.calc_aggregate(measures, judgements, run).items()}
    for ours, theirs in MEASURES.items():
        assert averages[ours] == pytest.approx(expected[theirs], abs=1e-9), ours
    each = {row["id"]: row for row in rows}
    for found in ir_measures.iter_calc(measures, judgements, run):
        name = next(ours for ours, theirs in MEASURES.items() if theirs == str(found.measure))
        assert each[found.query_id][name] == pytest.approx(found.value, abs=1e-9)
    answered = [row["ndcg@10"] for row in rows if row["answered"]]
    assert averages["ndcg@10_answered"] == pytest.approx(sum(answered) / len(answered))
    assert (averages["queries"], averages["answered"], averages["unjudged"]) == (11, 10, 1)


def test_ties_are_broken_by_the_id_that_is_last_in_the_alphabet_and_scores_are_32_bit_floats() -> None:
    assert ranking({"a": 1.0, "c": 1.0 + 1e-9, "b": 1.0, "d": 0.5}) == ["c", "b", "a", "d"]


def test_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "qrels").write_text("\ufeffq1 0 d1 2\nq1\t0\td2\t0\n\n")
    (tmp_path / "run").write_text("q1 Q0 d2 1 2.5 mine\nq1 Q0 d1 2 1e-3 mine\n")
    assert read_judgements(tmp_path / "qrels") == {"q1": {"d1": 2, "d2": 0}}
    assert read_run(tmp_path / "run") == {"q1": {"d2": 2.5, "d1": 0.001}}


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("q1 Q0 d1 1 2.5 t\nq1 Q0 d1 2 2.0 t\n", ":2: the document 'd1' stands twice for the query 'q1'"),
        ("q1 Q0 d1 1 nan t\n", ":1: the score 'nan' is not a finite number for the document 'd1' of the query 'q1'"),
        ("q1 Q0 d1 1 inf t\n", "is not a finite number"),
        ("q1 Q0 d1 1 high t\n", "is not a finite number"),
        ("q1 Q0 d1 1\n", ":1: 4 columns, not 6"),
    ],
)
def test_a_malformed_run_is_refused_by_name(text: str, cause: str, tmp_path: Path) -> None:
    (tmp_path / "run").write_text(text)
    with pytest.raises(WatershedError) as error:
        read_run(tmp_path / "run")
    assert cause in error.value.cause
