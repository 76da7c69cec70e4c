"""Pairs for training encoders, from the answers in a lake."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa

from catalog.lake import Lake
from catalog.tables.scholar import CANDIDATES, PASSAGES
from spark_jobs.scholar.pairs import training_pairs
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
