"""Log-probabilities of a frozen policy, computed once and kept beside the run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainers.core.checkpoint import digest_of
from trainers.core.loading import load_decoder
from trainers.core.ranks import Ranks
from trainers.models.decoder import decoder
from trainers.models.dense import DenseDecoder
from trainers.posttraining.begin import Beginning
from trainers.posttraining.examples import Examples
from trainers.posttraining.layout import laid_out
from trainers.process.device import chosen_device
from trainers.process.errors import TrainerError
from trainers.process.files import sha256_text, whole_file

TOKENS = 8192
"""Tokens of texts that are read at a time."""


class Reference:
    """The policy at the beginning of a run, or another one of the same shape.

    Args:
        source: where it is read from; empty: the beginning.
    """

    def __init__(self, beginning: Beginning, source: str, ranks: Ranks) -> None:
        self.beginning, self.ranks = beginning, ranks
        self.device = chosen_device(beginning.config.device)
        self.decoder = self._opened(source)
        self.digest = digest_of(self.decoder) if source else beginning.digest
        self.decoder = self.decoder.eval().to(self.device)

    def _opened(self, source: str) -> DenseDecoder:
        theirs = load_decoder(Path(source)) if source else self.beginning.decoder
        model = decoder(self.beginning.model)
        try:
            model.load_state_dict(theirs.state_dict())
        except RuntimeError:
            raise TrainerError(f"{source} has another shape than the model", "give a reference of its shape") from None
        return model

    def sums(self, texts: Sequence[Any]) -> NDArray[np.float64]:
        """Of each text, the sum of the log-probabilities of its trained tokens; ranks share the work."""
        found = torch.zeros(len(texts), dtype=torch.float64, device=self.device)
        mine = range(self.ranks.rank, len(texts), self.ranks.count)
        config = self.beginning.config
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=config.dtype == "bfloat16")
        for part in _parts([len(texts[number]) for number in mine], TOKENS):
            numbers = [mine[place] for place in part]
            layout = laid_out(
                [texts[number] for number in numbers],
                self.device,
                packed=config.packed,
                length=self.beginning.length,
            )
            with torch.no_grad(), autocast:
                scores = self.decoder.score(layout.tokens_BT, layout.target_BT, layout.chosen_BT, layout.documents)
            found[numbers] = layout.sums(scores.logprob_N).double()
        return self.ranks.totals(found).cpu().numpy()

    def cached(self, place: Path, examples: Examples, texts: Sequence[Any]) -> NDArray[np.float64]:
        """`sums`, from the file at `place` where that is of the same texts and reference, else computed and kept."""
        config = self.beginning.config
        name = sha256_text(f"{self.digest} {examples.fingerprint} {config.dtype} {len(texts)}")
        held = _read(place, name, len(texts)) if self.ranks.first else None
        held = self.ranks.from_first(held)
        if held is not None:
            return held
        found = self.sums(texts)
        if self.ranks.first:
            buffer = io.BytesIO()
            np.savez(buffer, sums=found, name=np.array(name))
            with whole_file(place) as file:
                file.write(buffer.getvalue())
        return found


def _read(place: Path, name: str, count: int) -> NDArray[np.float64] | None:
    try:
        with np.load(place, allow_pickle=False) as held:
            fits = str(held["name"]) == name and held["sums"].shape == (count,)
            return held["sums"] if fits else None
    except (OSError, ValueError, KeyError, EOFError):
        return None


def _parts(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Places in order, cut where their tokens would be more than `tokens`."""
    parts: list[list[int]] = []
    held = 0
    for place, length in enumerate(lengths):
        if not parts or held + length > tokens:
            parts.append([])
            held = 0
        parts[-1].append(place)
        held += length
    return parts


def source_digest(source: str) -> str:
    """Hex SHA-256 of the weights of another reference than the beginning; "" where none is named."""
    return digest_of(load_decoder(Path(source))) if source else ""
