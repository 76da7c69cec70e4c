"""A cross-encoder: a model that reads question and passage together, for the order of the passages found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from catalog.errors import WatershedError


def cross_encoder(folder: Path, *, device: str = "cpu", batch: int = 16) -> Callable[[str, Sequence[str]], list[float]]:
    """Return the scores of a folder of sentence-transformers' CrossEncoder: of passages, for a question.

    Raises:
        WatershedError: sentence-transformers is not installed, or the folder holds no model.
    """
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise WatershedError("sentence-transformers is not installed", "run `uv sync --extra encoders`") from error
    if not (folder / "config.json").is_file():
        raise WatershedError(f"{folder} holds no cross-encoder", "name the folder of a model with its config.json")
    model = CrossEncoder(str(folder), device=device, local_files_only=True)

    def scores(question: str, passages: Sequence[str]) -> list[float]:
        pairs = [(question, passage) for passage in passages]
        return [float(score) for score in model.predict(pairs, batch_size=batch, show_progress_bar=False)]

    return scores
