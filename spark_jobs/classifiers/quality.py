"""The quality classifier: fastText that separates two classes of text, as DCLM-Baseline's does (arXiv 2406.11794, 4.4).

DCLM's positives are instruction answers and forum posts that it collected. Here both classes are SQL predicates over
dclm.documents, so the classifier is trained on the crawl itself. The classes are balanced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from catalog.files import sha256_of, whole_file
from spark_jobs.classifiers.labels import GOOD, OTHER, without_labels
from spark_jobs.classifiers.training import Hyperparameters, load, train

CONTINUOUS_PROSE = "stop_words >= 0.15 * words AND no_alphabetic_word_ratio <= 0.1 AND words >= 100"
"""Running English text: the eight stop words are some 17% of it, and a far smaller share of lists and listings."""


@dataclass(frozen=True, kw_only=True)
class QualityRecipe:
    """Which documents are positives and negatives, and how the classifier is trained on them."""

    positives: str = CONTINUOUS_PROSE
    """SQL predicate over dclm.documents: the good examples."""
    negatives: str = "true"
    """SQL predicate over dclm.documents: the other examples, less the positives."""
    per_class: int = 2_000
    """Most documents to take of a class; DCLM takes 200,000."""
    at_least: int = 100
    """Fewest documents of a class; with fewer, training fails."""
    heldout_share: float = 0.1
    """Share of the examples that is held out to measure accuracy."""
    seed: int = 0
    epochs: int = 25
    """DCLM has 5 for a hundred times as many examples. fastText makes one update for each example in each epoch; at 10
    epochs a classifier of two hundred examples is hardly better than chance."""
    learning_rate: float = 1.0
    """DCLM has 0.1, for more updates."""
    dim: int = 32
    """Size of the word vectors; DCLM's is 100."""
    word_ngrams: int = 2
    min_count: int = 1
    bucket: int = 100_000
    """Rows for hashed bigrams."""

    @property
    def hyperparameters(self) -> Hyperparameters:
        """The same by fastText's names."""
        return Hyperparameters(
            epoch=self.epochs,
            lr=self.learning_rate,
            dim=self.dim,
            wordNgrams=self.word_ngrams,
            minCount=self.min_count,
            bucket=self.bucket,
            # fastText replaces the seed 0 by 1.
            seed=self.seed + 1,
        )


@dataclass(frozen=True)
class TrainedClassifier:
    """A classifier file and its accuracy on the held-out examples."""

    sha256: str
    bytes: int
    trained_on: dict[str, int]
    """Documents by label."""
    heldout: int
    accuracy: float


def line_of(text: str) -> str:
    """A document as one line for fastText (DCLM's `" ".join(strip().splitlines())`), without label prefixes."""
    return without_labels(" ".join(text.strip().splitlines()))


def train_classifier(examples: pa.Table, recipe: QualityRecipe, path: Path) -> TrainedClassifier:
    """Train on `examples` and save the model at `path`; the last `heldout_share` of each class is held out.

    Args:
        examples: rows of `key` (hash order), `label` (GOOD or OTHER) and `text`.

    Raises:
        WatershedError: the file cannot be written, or fastText fails.
    """
    examples = examples.sort_by([("key", "ascending"), ("text", "ascending")])
    taught, heldout = _held_apart(examples, recipe.heldout_share)
    with whole_file(path) as fresh, TemporaryDirectory(prefix="watershed-quality-") as scratch:
        lines = Path(scratch, "examples.txt")
        with lines.open("w", encoding="utf-8") as file:
            file.writelines(f"{row['label']} {line_of(row['text'])}\n" for row in _rows(taught))
        train(lines, fresh, recipe.hyperparameters)
    return TrainedClassifier(
        sha256=sha256_of(path),
        bytes=path.stat().st_size,
        trained_on=Counter(taught["label"].to_pylist()),
        heldout=heldout.num_rows,
        accuracy=_accuracy(load(path), heldout),
    )


def _held_apart(examples: pa.Table, share: float) -> tuple[pa.Table, pa.Table]:
    taught, heldout = [], []
    for label in (GOOD, OTHER):
        rows = examples.filter(pc.field("label") == label)
        count = max(1, round(rows.num_rows * share))
        taught.append(rows.slice(0, rows.num_rows - count))
        heldout.append(rows.slice(rows.num_rows - count))
    # If one class followed the other, fastText would forget the first.
    return pa.concat_tables(taught).sort_by([("key", "ascending"), ("text", "ascending")]), pa.concat_tables(heldout)


def _rows(table: pa.Table) -> Iterable[dict[str, Any]]:
    return (row for batch in table.to_batches(max_chunksize=1024) for row in batch.to_pylist())


def _accuracy(model: Any, examples: pa.Table) -> float:
    right = sum(model.predict(line_of(row["text"]))[0][0] == row["label"] for row in _rows(examples))
    return right / examples.num_rows
