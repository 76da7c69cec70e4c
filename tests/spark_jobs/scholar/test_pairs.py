"""Pairs for training encoders, from the answers in a lake."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.tables.scholar import CANDIDATES, PASSAGES, TRAINING
from spark_jobs.scholar.pairs import held_out, training_pairs
from tests.small_lake import good_rows, row, write_lake

TABLES = ("answers", "candidates", "citations", "passages", "references")


def test_a_pair_is_a_question_and_a_passage_that_supported_its_answer(tmp_path: Path) -> None:
    settings = write_lake(tmp_path, tuple(f"scholar.{name}" for name in TABLES))
    lake = Lake.of(settings)
    (answer,) = good_rows()["scholar.answers"]
    (pair,) = training_pairs(lake)
    assert pair["query"] == answer["question"] and pair["positive"].endswith("Water runs downhill.")
    assert pair["negatives"] == []

    named = {name: hashlib.sha256(name.encode()).hexdigest()[:32] for name in ("other", "retracted", "same")}
    papers = {"other": "salt", "retracted": "trap", "same": "water"}
    passages = [
        row(PASSAGES, passage=named[name], paper=papers[name], title=None, text=f"The {name} one.") for name in named
    ]
    found = {"answer": answer["answer"], "round": 0, "span": {"begin": 0, "end": 3}}
    candidates = [
        row(CANDIDATES, **found, passage=named[name], paper=papers[name], dropped=dropped)
        for name, dropped in (("other", "rank"), ("retracted", "retracted"), ("same", None))
    ]
    for contract, more in ((PASSAGES, passages), (CANDIDATES, candidates)):
        lake.append(contract, pa.Table.from_pylist(more, schema=contract.schema), "f" * 64)
    (pair,) = training_pairs(lake)
    assert pair["negatives"] == ["The other one."]


def test_only_answers_that_pass_the_filters_are_kept(tmp_path: Path) -> None:
    lake = Lake.of(write_lake(tmp_path, tuple(f"scholar.{name}" for name in TABLES)))
    with pytest.raises(WatershedError, match=r"scholar\.training has not been made"):
        training_pairs(lake, kept=True)
    (answer,) = good_rows()["scholar.answers"]
    for kept in (False, True):
        judged = row(TRAINING, id="a-final", answer=answer["answer"], kind="answer", papers=["water"], kept=kept)
        lake.replace(TRAINING, pa.Table.from_pylist([judged], schema=TRAINING.schema), "f" * 64)
        assert len(training_pairs(lake, kept=True)) == kept and len(training_pairs(lake)) == 1


def test_a_question_is_held_out_with_all_its_pairs() -> None:
    pairs = [{"query": f"Why {n // 3}?", "positive": f"{n}"} for n in range(600)]
    train, held = held_out(pairs, 0.2)
    assert len(train) + len(held) == 600 and 60 <= len(held) <= 180
    assert not {row["query"] for row in train} & {row["query"] for row in held}
    assert held_out([{**row, "query": f"  {row['query'].upper()} "} for row in held], 0.2)[0] == []
    assert held_out(pairs, 0.0) == (pairs, [])
