"""Evaluation examples are found in the remaining text of documents, in the lake as in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from made_documents import RECIPE, curated_lake, doc_id, prose

from catalog.errors import WatershedError
from catalog.lake import Lake
from spark_jobs.contamination.examples import example_batches
from spark_jobs.contamination.index import build_index
from spark_jobs.contamination.search import find_contamination
from spark_jobs.dclm.contamination import write_contamination

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

QUESTION = " ".join(prose(1, 400).split()[100:130])
TEXTS = [prose(seed, 60) for seed in range(12)]
TEXTS[3] = f"{TEXTS[3]}\n{QUESTION.upper()}!"
TEXTS[5] = f"{' '.join(QUESTION.split()[:15])} and nothing else of it. {TEXTS[5]}"
TEXTS[7] = TEXTS[8] = QUESTION
REJECTED, COPIES = (7,), (8,)


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("evaluations")
    rows = {
        "quiz": [{"query": "Nobody asks this " * 6}, {"query": QUESTION, "choices": ["yes"]}],
        "sums": [{"query": "1 + 1 ="}],
        "unseen": ["a text that stands in no document at all, however long one looks for it in them"],
    }
    for name, examples in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(example) + "\n" for example in examples))
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def found(
    spark: SparkSession, evaluations: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Lake, dict[str, Any]]:
    lake = curated_lake(tmp_path_factory.mktemp("lake"), TEXTS, rejected=REJECTED, copies=COPIES)
    return lake, write_contamination(spark, lake, RECIPE, evaluations, "a" * 16)


def test_remaining_documents_hold_what_is_found_without_spark(
    found: tuple[Lake, dict[str, Any]], evaluations: list[Path]
) -> None:
    rows = found[0].read("dclm.contamination").to_pylist()
    assert {row["doc_id"] for row in rows} == {doc_id(3), doc_id(5)}
    left = [n for n in range(len(TEXTS)) if n not in (*REJECTED, *COPIES)]
    batch = pa.record_batch({"id": [doc_id(n) for n in left], "text": [TEXTS[n] for n in left]})
    (alone,) = find_contamination([batch], build_index(example_batches(evaluations)))
    names = ("evaluation", "example_id", "matched", "ngrams", "share")
    expected = [
        (row["id"], *(match[name] for name in names), match["before"] + match["found"] + match["after"])
        for row in alone.to_pylist()
        for match in row["matches"]
    ]
    assert [tuple(row[name] for name in ("doc_id", *names, "ngram")) for row in rows] == expected
    assert {row["n"] for row in rows} == {5}
    shares = {row["doc_id"]: row["share"] for row in rows}
    # Fifteen of thirty words.
    assert shares == {doc_id(3): 1, doc_id(5): pytest.approx(0.5, abs=0.1)}


def test_each_evaluation_is_reported_found_or_not(found: tuple[Lake, dict[str, Any]]) -> None:
    lake, counts = found
    report = {row["evaluation"]: row for row in lake.read("dclm.contamination_report").to_pylist()}
    assert report["quiz"]["examples"] == 2
    assert (report["quiz"]["examples_overlapping"], report["quiz"]["documents_overlapping"]) == (1, 2)
    assert (report["quiz"]["doc_id"], report["quiz"]["example_id"]) == (doc_id(3), "1")
    assert report["sums"]["examples_without_ngrams"] == 1
    assert (report["unseen"]["documents_overlapping"], report["unseen"]["doc_id"]) == (0, None)
    assert counts["evaluations"] == 3
    assert any("1 of 1 examples of sums cannot be found" in warning for warning in counts["warnings"])


def test_without_evaluations_the_report_is_empty_and_a_damaged_one_is_named(
    spark: SparkSession, tmp_path: Path
) -> None:
    lake = Lake(str(tmp_path / "lake"), tmp_path / "files", {})
    assert write_contamination(spark, lake, RECIPE, [], "b" * 16) == {"evaluations": 0}
    assert lake.read("dclm.contamination").num_rows == lake.read("dclm.contamination_report").num_rows == 0
    (tmp_path / "torn.jsonl").write_text('{"query": "a"}\n{"query": ')
    with pytest.raises(WatershedError, match=r"torn.jsonl:2: not valid JSON"):
        write_contamination(spark, lake, RECIPE, [tmp_path / "torn.jsonl"], "b" * 16)
