"""A cross-encoder of sentence-transformers: one model reads query and document together and gives a score."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainers.embedding.encoder import PACKAGE, Trainable
from trainers.process.errors import TrainerError
from trainers.process.optional import need


def open_cross_encoder(folder: Path, seed: int, length: int = 0) -> Any:
    """The cross-encoder in a folder of sentence-transformers or transformers, in float32 on the CPU.

    A model without a layer of scores, such as an encoder of vectors, gets one that is drawn by the seed.

    Args:
        folder: the folder.
        seed: decides weights that the folder lacks.
        length: tokens of query and document together at most; 0 for what the model reads.

    Raises:
        TrainerError: sentence-transformers is not installed, or the folder holds no such model.
    """
    need(PACKAGE, work="training a reranker")
    if not (folder / "config.json").is_file():
        raise TrainerError(f"{folder} has no config.json", "give the folder of a model that transformers saved")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging

    logging.disable_progress_bar()
    before = logging.get_verbosity()
    # The library warns of the layer that is drawn anew.
    logging.set_verbosity_error()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # Code that a model brings is never run.
            found = CrossEncoder(
                str(folder), num_labels=1, device="cpu", local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # the library raises bare exceptions
        raise TrainerError(f"{folder} cannot be read: {' '.join(str(error).split())}", "give a whole model") from None
    finally:
        logging.set_verbosity(before)
    if length:
        found.max_seq_length = min(length, found.max_seq_length or length)
    return found.float()


class Scorer(Trainable):
    """A cross-encoder as the loop takes it."""

    def forward(self, features: Mapping[str, Any]) -> Tensor:
        """(pairs,): scores before any activation function."""
        return self.encoder(dict(features))["scores"][:, 0]


def pair_features(model: Any, pairs: Sequence[tuple[str, str]], device: torch.device | str) -> dict[str, Any]:
    """Pairs of query and document as the cross-encoder reads them."""
    found = model.preprocess(list(pairs))
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in found.items()}


@torch.no_grad()
def scored(model: Scorer, pairs: Sequence[tuple[str, str]], batch: int = 32) -> Tensor:
    """(pairs,): scores without dropout, on the CPU. Pairs of about one length are read together."""
    was, device = model.training, next(model.parameters()).device
    model.eval()
    order = sorted(range(len(pairs)), key=lambda place: (sum(map(len, pairs[place])), place))
    found = torch.zeros(len(pairs))
    for start in range(0, len(order), batch):
        some = order[start : start + batch]
        found[some] = model(pair_features(model.encoder, [pairs[place] for place in some], device)).float().cpu()
    model.train(was)
    return found
