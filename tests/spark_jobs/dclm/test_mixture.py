"""The mixture: which documents it takes, which it holds out, and how often it reads each."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import made_documents as made
import pytest
from made_documents import doc_id, prose, replace, scored_lake

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.tables.dclm import CONTAMINATION, CONTAMINATION_REPORT, SCORES
from spark_jobs.dclm.mixture import write_mixture
from spark_jobs.hash_order import hash_key, key_of_share
from spark_jobs.selection.recipe import MixtureRecipe, Threshold, TopFraction, Within

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

COUNT = 400
TEXTS = [prose(seed, 20 if seed % 3 else 60) for seed in range(COUNT)]
BUCKETS = [seed % 10 for seed in range(COUNT)]
RECIPE = MixtureRecipe(keep=TopFraction(top_fraction=0.5), heldout_share=0.1, curve=((0, 1), (0.8, 2), (0.9, 3)))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return scored_lake(tmp_path_factory.mktemp("mixture"), TEXTS, BUCKETS)


@pytest.fixture(scope="module")
def mixed(spark: SparkSession, lake: Lake) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    counts = write_mixture(spark, lake, RECIPE, "a" * 16)
    return lake.read("dclm.mixture").to_pylist(), counts


def test_the_best_buckets_are_taken_whole(mixed: tuple[list[dict[str, Any]], Any]) -> None:
    rows, _ = mixed
    assert {row["doc_id"] for row in rows} == {doc_id(n) for n in range(COUNT) if BUCKETS[n] >= 5}
    assert len(rows) == COUNT // 2


def test_training_documents_are_read_as_often_as_their_bucket_says_and_held_out_ones_once(
    mixed: tuple[list[dict[str, Any]], Any],
) -> None:
    rows, _ = mixed
    for row in rows:
        assert row["repeats"] == (max(1, row["bucket"] - 6) if row["split"] == "train" else 1)


def test_the_split_is_a_hash_of_the_document_alone(mixed: tuple[list[dict[str, Any]], Any]) -> None:
    rows, _ = mixed
    for row in rows:
        held = hash_key(RECIPE.seed, "split", row["doc_id"]) < key_of_share(RECIPE.heldout_share)
        assert row["split"] == ("heldout" if held else "train")
    assert 0.05 < sum(row["split"] == "heldout" for row in rows) / len(rows) < 0.16


def test_the_split_can_be_made_again_in_sql(mixed: tuple[list[dict[str, Any]], Any]) -> None:
    rows, _ = mixed
    key = "substr(sha256(concat_ws(chr(31), '0', 'split', ?)), 1, 16)"
    for row in rows[:20]:
        (key_in_sql,) = duckdb.execute(f"SELECT {key}", [row["doc_id"]]).fetchall()[0]
        assert key_in_sql == hash_key(0, "split", row["doc_id"])


def test_the_counts_are_the_tables(mixed: tuple[list[dict[str, Any]], dict[str, Any]]) -> None:
    rows, counts = mixed
    train = [row for row in rows if row["split"] == "train"]
    assert counts["train_documents"] == len(train)
    assert counts["heldout_documents"] == len(rows) - len(train)
    assert counts["train_read_bytes"] == sum(row["text_bytes"] * row["repeats"] for row in train)


@pytest.mark.slow
def test_no_source_gives_more_than_its_share(spark: SparkSession, lake: Lake) -> None:
    # Host 0's documents are three times as long as those of the two others: 60% of the bytes.
    counts = write_mixture(
        spark, lake, MixtureRecipe(keep=TopFraction(top_fraction=1.0), max_source_share=0.4), "b" * 16
    )
    rows = lake.read("dclm.mixture").to_pylist()
    largest = sum(row["text_bytes"] for row in rows if row["source"] == "docs.host0.example")
    assert 0.3 < largest / (counts["train_bytes"] + counts["heldout_bytes"]) < 0.5
    others = {row["doc_id"] for row in rows if row["source"] != "docs.host0.example"}
    assert len(others) == sum(number % 3 != 0 for number in range(COUNT))


TOPICS = ("rivers", "lakes", None)
RICH = MixtureRecipe(
    keep=TopFraction(top_fraction=0.6),
    curve=((0, 0.25), (0.5, 1.5), (0.95, 4)),
    quantiles=Within.TOPIC,
    topic_weights=(("rivers", 1.5), ("lakes", 0.4)),
    max_contamination=0.5,
    seed=3,
)


def topic_of(number: int) -> str | None:
    return TOPICS[number % 7 % 3]


def score_of(number: int) -> float:
    """Many documents of one score."""
    return (number * 37 % 101) // 4 / 25


@pytest.fixture(scope="module")
def rich(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = scored_lake(tmp_path_factory.mktemp("rich"), TEXTS, BUCKETS)
    rows = [made.row(SCORES, doc_id=doc_id(n), score=score_of(n), topic=topic_of(n)) for n in range(COUNT)]
    replace(lake, SCORES, rows)
    held = [(n, 0.4 + 0.2 * (n % 2)) for n in range(0, COUNT, 5)]
    found = [made.row(CONTAMINATION, doc_id=doc_id(n), evaluation="quiz", share=share) for n, share in held]
    replace(lake, CONTAMINATION, found)
    replace(lake, CONTAMINATION_REPORT, [made.row(CONTAMINATION_REPORT, evaluation="quiz")])
    return lake


def quantile_rank(number: int, among: list[int], cut: Fraction) -> bool:
    """Whether the document is in the top, sorted plainly by score and id."""
    ordered = sorted(among, key=lambda n: (score_of(n), doc_id(n)))
    return ordered.index(number) >= int(cut * len(ordered))


def times_of(number: int) -> Fraction:
    """How often RICH reads a document, computed step by step."""
    among = [n for n in range(COUNT) if topic_of(n) == topic_of(number)]
    if number % 10 == 5 or not quantile_rank(number, among, Fraction(4, 10)):
        return Fraction(0)
    curve = ((Fraction(95, 100), Fraction(4)), (Fraction(1, 2), Fraction(3, 2)), (Fraction(0), Fraction(1, 4)))
    times = next(times for quantile, times in curve if quantile_rank(number, among, quantile))
    return times * {"rivers": Fraction(3, 2), "lakes": Fraction(2, 5), None: Fraction(1)}[topic_of(number)]


def test_a_document_is_read_as_often_as_topic_and_quality_say(spark: SparkSession, rich: Lake) -> None:
    write_mixture(spark, rich, RICH, "e" * 16)
    found = {row["doc_id"]: row for row in rich.read("dclm.mixture").to_pylist()}
    expected = {}
    for number in range(COUNT):
        times, id_ = times_of(number), doc_id(number)
        again = hash_key(3, "part of a time", id_) < key_of_share(float(times % 1))
        repeats = int(times) + again
        if hash_key(3, "split", id_) < key_of_share(0.1):
            repeats = min(repeats, 1)
        if repeats:
            expected[id_] = (topic_of(number), repeats)
    assert {id_: (row["topic"], row["repeats"]) for id_, row in found.items()} == expected
    assert {repeats for _, repeats in expected.values()} >= {1, 2, 3, 4, 6}


def test_each_bucket_reports_the_requested_and_the_actual_share(spark: SparkSession, rich: Lake) -> None:
    buckets = rich.read("dclm.mixture_buckets").to_pylist()
    mixture = rich.read("dclm.mixture").to_pylist()
    assert {(row["topic"], row["from_quantile"]) for row in buckets} == {
        (topic, quantile) for topic in ("rivers", "lakes", "all") for quantile in (0, 0.4, 0.5, 0.95)
    }
    assert sum(row["documents"] for row in buckets) == COUNT
    for row in buckets:
        asked = {0: 0, 0.4: 0.25, 0.5: 1.5, 0.95: 4}[row["from_quantile"]]
        assert row["requested_repeats"] == pytest.approx(asked * {"rivers": 1.5, "lakes": 0.4, "all": 1}[row["topic"]])
        assert abs(row["effective_repeats"] - row["requested_repeats"]) < 0.45
        assert (row["effective_repeats"] == 0) == (row["requested_repeats"] == 0 or row["trained_documents"] == 0)
    for topic in TOPICS:
        own = [row for row in buckets if row["topic"] == (topic or "all")]
        read = [row for row in mixture if row["topic"] == topic and row["split"] == "train"]
        assert sum(row["read_bytes"] for row in own) == sum(row["repeats"] * row["text_bytes"] for row in read)
        assert sum(row["trained_documents"] for row in own) == len(read)
    for share in ("requested_share", "effective_share"):
        assert sum(row[share] for row in buckets) == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize("comparison", [">=", ">"])
def test_a_threshold_keeps_what_scores_so_much(spark: SparkSession, rich: Lake, comparison: str) -> None:
    recipe = MixtureRecipe(keep=Threshold(threshold=0.52, comparison=comparison), curve=((0, 1),))
    write_mixture(spark, rich, recipe, "f" * 16)
    least = 0.52 if comparison == ">=" else 0.56
    kept = {doc_id(number) for number in range(COUNT) if score_of(number) >= least}
    assert set(rich.read("dclm.mixture")["doc_id"].to_pylist()) == kept
    buckets = rich.read("dclm.mixture_buckets").to_pylist()
    assert [(row["effective_repeats"], row["requested_repeats"]) for row in buckets] == [(1, 1)] * len(TOPICS)
    assert sum(row["good_documents"] for row in buckets) == len(kept) < COUNT


def test_recipes_that_would_be_silently_without_effect_are_refused(spark: SparkSession, rich: Lake) -> None:
    with pytest.raises(WatershedError, match="weights the topic 'seas', which no document has"):
        write_mixture(spark, rich, MixtureRecipe(topic_weights=(("seas", 2),)), "a" * 16)
    replace(rich, CONTAMINATION_REPORT, [])
    with pytest.raises(WatershedError, match="no evaluation is declared; name a folder"):
        write_mixture(spark, rich, RICH, "a" * 16)
    with pytest.raises(WatershedError, match="stored to a millionth"):
        Threshold(threshold=0.0181123)
    with pytest.raises(WatershedError, match="write >= or >"):
        Threshold(threshold=0.5, comparison="<")


def test_shares_that_no_mixture_keeps_are_refused(spark: SparkSession, lake: Lake) -> None:
    with pytest.raises(WatershedError, match=r"too few sources for none to give more than 30%.*max_source_share"):
        write_mixture(spark, lake, MixtureRecipe(max_source_share=0.3), "c" * 16)


@pytest.mark.parametrize(
    "wrong",
    [
        {"heldout_share": 0.0},
        {"curve": ()},
        {"curve": ((0.5, 1),)},
        {"curve": ((0, 1), (0.9, 2), (0.8, 3))},
        {"curve": ((0, -1), (0.9, 2))},
        {"curve": ((0, 0),)},
        {"curve": ((0, 60),), "topic_weights": (("rivers", 2),)},
        {"topic_weights": (("rivers", 2), ("rivers", 3))},
        {"max_contamination": 1.5},
        {"max_source_share": 0.0},
    ],
)
def test_an_inconsistent_recipe_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(WatershedError, match=next(iter(wrong))):
        MixtureRecipe(**wrong)


@pytest.mark.slow
def test_a_split_without_documents_is_an_error(spark: SparkSession, tmp_path: Path) -> None:
    lake = scored_lake(tmp_path, TEXTS[:3], [9, 9, 9])
    with pytest.raises(WatershedError, match="no document is left for heldout"):
        write_mixture(spark, lake, MixtureRecipe(heldout_share=0.0001), "d" * 16)
    assert not lake.exists("dclm.mixture")
