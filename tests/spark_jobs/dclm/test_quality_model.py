"""The quality classifier."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from made_documents import RECIPE, curated_lake, examples, listing, prose

from catalog.errors import WatershedError
from catalog.files import sha256_of
from catalog.lake import Lake
from spark_jobs.classifiers.labels import GOOD, OTHER
from spark_jobs.classifiers.quality import QualityRecipe, line_of, train_classifier
from spark_jobs.classifiers.training import load
from spark_jobs.dclm.quality_model import write_quality_model

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SMALL = QualityRecipe(at_least=30, dim=8, bucket=2_000, per_class=80)
TEXTS = [prose(seed) if seed % 2 else listing(seed) for seed in range(200)]
REJECTED = tuple(range(0, 20))
COPIES = tuple(range(20, 40))


@pytest.fixture(scope="module")
def taught(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, dict[str, Any]]:
    lake = curated_lake(tmp_path_factory.mktemp("quality"), TEXTS, rejected=REJECTED, copies=COPIES)
    return lake, write_quality_model(spark, lake, RECIPE, SMALL, "a" * 16)


def test_training_twice_gives_the_same_file_whatever_the_order_of_examples(tmp_path: Path) -> None:
    table = examples(TEXTS)
    first = train_classifier(table, SMALL, tmp_path / "first.bin")
    backwards = table.take(list(range(table.num_rows - 1, -1, -1)))
    second = train_classifier(backwards, SMALL, tmp_path / "second.bin")
    assert (tmp_path / "first.bin").read_bytes() == (tmp_path / "second.bin").read_bytes()
    assert first == second


def test_earlier_contents_of_memory_do_not_change_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_classifier(examples(TEXTS), SMALL, tmp_path / "clean.bin")
    monkeypatch.setenv("MALLOC_PERTURB_", "170")
    train_classifier(examples(TEXTS), SMALL, tmp_path / "dirty.bin")
    assert (tmp_path / "clean.bin").read_bytes() == (tmp_path / "dirty.bin").read_bytes()


def test_another_seed_teaches_another_model(tmp_path: Path) -> None:
    one = train_classifier(examples(TEXTS), SMALL, tmp_path / "one.bin")
    other = train_classifier(examples(TEXTS), QualityRecipe(dim=8, bucket=2_000, seed=1), tmp_path / "other.bin")
    assert one.sha256 != other.sha256


def test_two_hundred_examples_that_differ_in_degree_are_enough_for_the_default_recipe(tmp_path: Path) -> None:
    stop_words = "the be to of and that have with".split()
    draw = random.Random(0)

    def document(share: float) -> str:
        vocabulary = [f"word{draw.randrange(3_000)}" for _ in range(80)]
        words = (draw.choice(stop_words if draw.random() < share else vocabulary) for _ in range(250))
        return " ".join(words)

    rows = [
        {"key": draw.random(), "label": label, "text": document(share)}
        for label, share in ((GOOD, 0.25), (OTHER, 0.1))
        for _ in range(118)
    ]
    trained = train_classifier(pa.Table.from_pylist(rows), QualityRecipe(heldout_share=0.2), tmp_path / "model.bin")
    assert trained.accuracy >= 0.85


def test_a_document_is_one_line_and_never_a_label() -> None:
    assert line_of("  first\nsecond\r\nthird\u2028fourth \n") == "first second third fourth"
    assert not any(word.startswith("__label__") for word in line_of("x __label__hq y").split())


def test_the_classifier_separates_prose_from_listings(taught: tuple[Lake, dict[str, Any]]) -> None:
    lake, counts = taught
    model = load(lake.folder("dclm.quality_model") / f"{'a' * 16}.bin")
    assert counts["heldout_accuracy"] >= 0.9
    assert model.predict(line_of(prose(1001)))[0][0] == GOOD
    assert model.predict(line_of(listing(1001)))[0][0] == OTHER


def test_the_row_names_the_file_and_what_it_learnt_from(taught: tuple[Lake, dict[str, Any]]) -> None:
    lake, _ = taught
    (row,) = lake.read("dclm.quality_model").to_pylist()
    path = lake.files / row["path"]
    assert row["sha256"] == sha256_of(path)
    assert row["model_id"] == row["sha256"][:16]
    assert row["bytes"] == path.stat().st_size
    assert (row["positives"], row["negatives"]) == (SMALL.positives, SMALL.negatives)
    # A tenth of 80 a class is held out.
    assert (row["positive_documents"], row["negative_documents"], row["heldout_documents"]) == (72, 72, 16)
    assert lake.written("dclm.quality_model")[""].fingerprint == "a" * 16
    assert sorted(path.parent.iterdir()) == [path]


def test_only_survivors_are_examples(taught: tuple[Lake, dict[str, Any]]) -> None:
    _, counts = taught
    gone = len(REJECTED) // 2 + len(COPIES) // 2
    assert (counts["positives_found"], counts["negatives_found"]) == (100 - gone, 100 - gone)


def test_too_few_examples_are_an_error_that_counts_them(spark: SparkSession, taught: tuple[Lake, Any]) -> None:
    lake, _ = taught
    version = lake.version("dclm.quality_model")
    with pytest.raises(WatershedError, match=r"80 documents are positives and 80 negatives.*500.*`positives`"):
        write_quality_model(spark, lake, RECIPE, QualityRecipe(at_least=500), "b" * 16)
    assert lake.version("dclm.quality_model") == version


def test_an_invalid_sql_predicate_is_named_in_the_error(spark: SparkSession, taught: tuple[Lake, Any]) -> None:
    lake, _ = taught
    with pytest.raises(WatershedError, match=r"'no_such_column > 1'.*not a predicate over dclm.documents"):
        write_quality_model(spark, lake, RECIPE, QualityRecipe(positives="no_such_column > 1"), "b" * 16)
    with pytest.raises(WatershedError, match=r"'words >'.*not a predicate over dclm.documents"):
        write_quality_model(spark, lake, RECIPE, QualityRecipe(positives="words >"), "b" * 16)
