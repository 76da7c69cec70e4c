"""A recipe that selects by a quality model: the selected documents, how often they are read, and the reports."""

from __future__ import annotations

import json
import math
import random
import re
import struct
from pathlib import Path
from typing import Any

import fasttext
import pyarrow.parquet as pq
import pytest

from catalog.errors import WatershedError
from spark_jobs.classifiers.training import Hyperparameters, train
from spark_jobs.curate.explain import explain_document
from spark_jobs.curate.inputs import find_sources
from spark_jobs.curate.report import funnel, write_report
from spark_jobs.curate.run import Outcome, curate
from spark_jobs.hash_order import hash_key, key_of_share
from spark_jobs.recipes.reader import load_recipe
from spark_jobs.recipes.recipe import Recipe

RIVER, PARTS = ("river stone water bank bridge mill".split(), "code test build branch merge commit".split())
SPAM = "buy cheap offer click win prize".split()
DOCUMENTS = 120

RECIPE = """\
name: made
description: The best of what has words.
source: made here
steps:
  - rule: words_minimum
    statistic: words
    keep: ">="
    threshold: 5
    source: made here
select:
  model: quality.bin
  source: made here
"""
BY_TOPIC = """\
  top_fraction: 0.5
  topics: topics.bin
  quantiles: topic
  curve: [[0, 0.5], [0.75, 2]]
  topic_weights: {code: 2}
  seed: 3
"""


def text_of(number: int) -> str:
    """Water or code by turns, the more of it spam the higher the number."""
    draw = random.Random(number)
    good = (RIVER, PARTS)[number % 2]
    return " ".join(draw.choice(SPAM if draw.random() < number / DOCUMENTS else good) for _ in range(30))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents in one file and in three, and the two models."""
    made = tmp_path_factory.mktemp("selection")
    rows = [json.dumps({"id": f"d{number:03}", "text": text_of(number)}) for number in range(DOCUMENTS)]
    rows.append(json.dumps({"id": "short", "text": "river stone"}))
    (made / "all.jsonl").write_text("\n".join(rows))
    for part in range(3):
        (made / f"part-{part}.jsonl").write_text("\n".join(rows[part::3]))
    settings = Hyperparameters(dim=8, epoch=20, bucket=1_000)
    draw = random.Random(0)
    for name, labels in (
        ("quality", {"hq": RIVER + PARTS, "cc": SPAM}),
        ("topics", {"water": RIVER, "code": PARTS, "shop": SPAM}),
    ):
        lines = [f"__label__{label} {' '.join(draw.choices(words, k=12))}" for label, words in labels.items()] * 60
        (made / f"{name}.txt").write_text("\n".join(lines) + "\n")
        train(made / f"{name}.txt", made / f"{name}.bin", settings)
    return made


def run(folder: Path, selection: str, out: Path, inputs: str = "all.jsonl", workers: int = 1) -> tuple[Recipe, Outcome]:
    path = folder / "made.yaml"
    path.write_text(RECIPE + selection)
    recipe = load_recipe(path)
    return recipe, curate(find_sources([str(folder / inputs)]), recipe, out, workers=workers)


def probability(folder: Path, number: int) -> float:
    """The probability of good text, as fastText itself computes it."""
    model = fasttext.load_model(str(folder / "quality.bin"))
    labels, probabilities = model.predict(text_of(number), k=2)
    return dict(zip(labels, probabilities, strict=True))["__label__hq"]


def table(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


def test_the_best_share_is_taken_by_fasttexts_own_probability(folder: Path, tmp_path: Path) -> None:
    recipe, outcome = run(folder, "  top_fraction: 0.25\n", tmp_path)
    best = sorted(range(DOCUMENTS), key=lambda number: (round(probability(folder, number), 6), number))[-30:]
    assert {row["id"] for row in table(tmp_path / "kept.parquet")} == {f"d{number:03}" for number in best}
    scores = {row["id"]: row for row in table(tmp_path / "scores.parquet")}
    assert len(scores) == DOCUMENTS
    assert scores["d007"]["score"] == pytest.approx(probability(folder, 7), abs=2e-6)
    assert funnel(recipe, outcome)[-2:] == [("quality model", DOCUMENTS, 90, 90), ("kept", 30, 0, 0)]


@pytest.mark.parametrize("comparison", [">=", ">"])
def test_a_threshold_is_of_the_score_as_stored(folder: Path, tmp_path: Path, comparison: str) -> None:
    run(folder, "  top_fraction: 1\n", tmp_path / "all")
    score = sorted(row["score"] for row in table(tmp_path / "all" / "scores.parquet"))[60]
    run(folder, f"  threshold: {score}\n  comparison: '{comparison}'\n", tmp_path / "some")
    rows = table(tmp_path / "all" / "scores.parquet")
    kept = {row["id"] for row in rows if row["score"] > score or (comparison == ">=" and row["score"] == score)}
    assert {row["id"] for row in table(tmp_path / "some" / "kept.parquet")} == kept
    assert 0 < len(kept) < DOCUMENTS


def test_the_curve_and_the_topics_say_how_often_a_document_is_read(folder: Path, tmp_path: Path) -> None:
    run(folder, BY_TOPIC, tmp_path)
    rows = table(tmp_path / "scores.parquet")
    topics = {row["topic"] for row in rows}
    assert topics == {"water", "code", "shop"}
    for topic in topics:
        mine = sorted((row for row in rows if row["topic"] == topic), key=lambda row: (row["score"], row["id"]))
        for rank, row in enumerate(mine):
            quantile = 0.75 if rank >= int(0.75 * len(mine)) else 0.5 if rank >= int(0.5 * len(mine)) else 0.0
            assert row["from_quantile"] == quantile
            weight = 2 if topic == "code" else 1
            asked = {0.0: 0.0, 0.5: 0.5, 0.75: 2.0}[quantile] * weight
            part = hash_key(3, "part of a time", row["id"]) < key_of_share(asked % 1) if asked % 1 else False
            assert row["times"] == int(asked) + part
    assert {row["id"] for row in table(tmp_path / "kept.parquet")} == {row["id"] for row in rows if row["times"]}


def test_buckets_report_the_requested_and_the_actual_share(folder: Path, tmp_path: Path) -> None:
    run(folder, BY_TOPIC, tmp_path)
    scores, buckets = table(tmp_path / "scores.parquet"), table(tmp_path / "buckets.parquet")
    assert sum(bucket["documents"] for bucket in buckets) == DOCUMENTS
    read = sum(row["times"] * row["text_bytes"] for row in scores)
    assert sum(bucket["effective_share"] for bucket in buckets) == pytest.approx(1)
    assert sum(bucket["requested_share"] for bucket in buckets) == pytest.approx(1)
    for bucket in buckets:
        mine = [
            row for row in scores if (row["topic"], row["from_quantile"]) == (bucket["topic"], bucket["from_quantile"])
        ]
        here = sum(row["times"] * row["text_bytes"] for row in mine)
        assert bucket["read_bytes"] == here
        assert bucket["read_documents"] == sum(row["times"] > 0 for row in mine)
        assert bucket["effective_share"] == pytest.approx(here / read)


def test_the_choice_depends_neither_on_files_nor_on_workers(folder: Path, tmp_path: Path) -> None:
    run(folder, BY_TOPIC, tmp_path / "one")
    run(folder, BY_TOPIC, tmp_path / "three", "part-*.jsonl", workers=2)

    def by_id(out: str) -> list[dict[str, Any]]:
        return sorted(table(tmp_path / out / "scores.parquet"), key=lambda row: row["id"])

    assert by_id("one") == by_id("three")


def test_a_missing_optional_model_is_a_warning(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "mine.yaml"
    here.write_text(RECIPE + "  top_fraction: 0.1\n  optional: true\n")
    sources = find_sources([str(folder / "all.jsonl")])
    outcome = curate(sources, load_recipe(here), tmp_path / "out", workers=1)
    assert any(
        "selection by a quality model: the file quality.bin is missing" in warning for warning in outcome.warnings
    )
    assert outcome.selected is None
    assert len(table(tmp_path / "out" / "kept.parquet")) == DOCUMENTS
    monkeypatch.setenv("WATERSHED_LISTS", str(folder))
    outcome = curate(sources, load_recipe(here), tmp_path / "out", workers=1)
    assert outcome.selected is not None
    assert len(table(tmp_path / "out" / "kept.parquet")) == DOCUMENTS // 10


@pytest.mark.parametrize(
    ("selection", "cause"),
    [
        ("", "keeps by one thing"),
        ("  top_fraction: 0.1\n  threshold: 0.5\n", "keeps by one thing"),
        ("  top_fraction: 1.5\n", r"top_fraction 1.5 is not in \(0, 1\]"),
        ("  threshold: 0.12345678\n", "is not a score"),
        ("  top_fraction: 0.1\n  curve: [[0.5, 1]]\n", "does not begin at quantile 0"),
        ("  top_fraction: 0.1\n  curve: often\n", "select: "),
        ("  top_fraction: 0.1\n  quantiles: shelf\n", "'shelf' is not a valid Within"),
        ("  top_fraction: 0.1\n  topic_weights: {code: 2}\n", "by topic without topics"),
        ("  top_fraction: 0.1\n  topics: nowhere.bin\n", "the file nowhere.bin is missing"),
        ("  top_fraction: 0.1\n  best: 3\n", "unknown field 'best'"),
    ],
)
def test_a_selection_that_makes_no_sense_is_refused_with_its_line(folder: Path, selection: str, cause: str) -> None:
    path = folder / "wrong.yaml"
    path.write_text(RECIPE + selection)
    with pytest.raises(WatershedError, match=cause) as refused:
        load_recipe(path)
    assert re.match(r".*wrong\.yaml:\d+: ", refused.value.cause)


def test_an_unusable_model_is_refused_and_leaves_earlier_results(folder: Path, tmp_path: Path) -> None:
    run(folder, "  top_fraction: 0.1\n", tmp_path)
    before = (tmp_path / "kept.parquet").read_bytes()
    with pytest.raises(WatershedError, match="has no probability of __label__best"):
        run(folder, "  top_fraction: 0.1\n  label: __label__best\n", tmp_path)
    path = folder / "other.yaml"
    path.write_text(RECIPE.replace("quality.bin", "topics.bin") + "  top_fraction: 0.1\n")
    with pytest.raises(WatershedError, match="expected a softmax of two labels"):
        curate(find_sources([str(folder / "all.jsonl")]), load_recipe(path), tmp_path)
    weights = bytearray((folder / "quality.bin").read_bytes())
    weights[-4:] = struct.pack("<f", math.nan)
    (folder / "nan.bin").write_bytes(weights)
    path.write_text(RECIPE.replace("quality.bin", "nan.bin") + "  top_fraction: 0.1\n")
    with pytest.raises(WatershedError, match="some of its weights are not finite"):
        curate(find_sources([str(folder / "all.jsonl")]), load_recipe(path), tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(WatershedError, match="weights the topic 'poems', which no document has"):
        run(folder, BY_TOPIC.replace("code", "poems"), tmp_path)
    assert (tmp_path / "kept.parquet").read_bytes() == before


def test_the_report_draws_the_scores_and_the_explanation_names_the_bucket(folder: Path, tmp_path: Path) -> None:
    recipe, outcome = run(folder, BY_TOPIC, tmp_path)
    page = write_report(tmp_path, recipe, outcome).read_text()
    assert "<h2>Selection</h2>" in page
    assert page.count("<tr><td><code>water</code>") == 3
    row = next(row for row in table(tmp_path / "scores.parquet") if row["times"] == 2)
    lines = list(explain_document(find_sources([str(folder / "all.jsonl")]), recipe, row["id"], tmp_path))
    verdict = f"quality model: {row['score']:.6f}, topic {row['topic']}, of the bucket from {row['from_quantile']:g}"
    assert lines[-1] == f"{verdict}: read 2 times"
