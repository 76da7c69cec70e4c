"""The quality classifier: fastText's own prediction of a model in DCLM-Baseline's shape (dim 100, bigrams)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.curation_stages.contest import Agreement, Contest, equal_share
from benchmarks.curation_stages.pages import Pages

BUCKET = 2_000_000
"""Rows for bigrams, fastText's default."""
BUCKET_PER_PAGE = 2_000
"""A handful of pages gets a smaller table."""
STOP_WORDS = frozenset("the be to of and that have with".split())


def contests(pages: Pages) -> Iterator[Contest[Any, Any]]:
    """Labels and probabilities of all pages by a model trained on every second of them."""
    from fasttext import load_model

    from spark_jobs.classifiers.labels import GOOD
    from spark_jobs.classifiers.quality import line_of
    from spark_jobs.kernels.fasttext.predict import load

    path = train_model(pages)
    kernel, library = load(path), load_model(str(path))
    path.unlink()

    def ours() -> pa.Array:
        return kernel.probability(pages.text_array, GOOD, joined=True)

    def theirs() -> list[float]:
        labels, probabilities = library.predict([line_of(text) for text in pages.texts], k=2)
        return [dict(zip(*each, strict=True)).get(GOOD, 0.0) for each in zip(labels, probabilities, strict=True)]

    def agree(ours: pa.Array, theirs: list[float]) -> Agreement:
        mine, others = np.array(ours.fill_null(0)), np.array(theirs)
        apart = float(np.abs(mine - others).max(initial=0))
        share = equal_share((mine >= 0.5).tolist(), (others >= 0.5).tolist())
        return Agreement(share, f"labels of {len(theirs):,} pages; probabilities differ by {apart:.1e} at most")

    yield Contest(
        stage="quality classifier",
        peer="fasttext",
        ours=ours,
        theirs=theirs,
        bytes=pages.text_bytes,
        documents=len(pages.texts),
        agree=agree,
    )


def train_model(pages: Pages) -> Path:
    """A model that tells texts with many stop words from those with few."""
    from spark_jobs.classifiers.labels import GOOD, OTHER
    from spark_jobs.classifiers.quality import line_of
    from spark_jobs.classifiers.training import Hyperparameters, train

    taught = pages.texts[::2]
    shares = [stop_word_share(text) for text in taught]
    middle = float(np.median(shares))
    examples, model = pages.scratch / "examples.txt", pages.scratch / "quality.bin"
    with examples.open("w", encoding="utf-8") as file:
        for text, share in zip(taught, shares, strict=True):
            file.write(f"{GOOD if share > middle else OTHER} {line_of(text)}\n")
    train(examples, model, Hyperparameters(bucket=min(BUCKET, BUCKET_PER_PAGE * len(pages.texts)), epoch=2))
    return model


def stop_word_share(text: str) -> float:
    """Part of the words between white space that are stop words."""
    words = text.lower().split()
    return sum(word in STOP_WORDS for word in words) / max(len(words), 1)
