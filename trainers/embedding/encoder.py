"""An encoder of sentence-transformers as the training loop takes it, with its weights or with low-rank adapters."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from trainers.embedding.config import ALL_LINEAR, Lora
from trainers.process.errors import TrainerError
from trainers.process.files import whole_folder, write_json
from trainers.process.optional import need

PACKAGE = "sentence_transformers"
ADAPTER_CONFIG = "adapter_config.json"
SIDES = {"query": ("query",), "document": ("document", "passage")}
"""The names of the prompts of queries and of documents."""


def open_encoder(folder: Path, length: int = 0) -> Any:
    """The encoder in a folder of sentence-transformers, in float32 on the CPU.

    Args:
        folder: the folder.
        length: tokens of a text at most; 0 for what the encoder reads.

    Raises:
        TrainerError: sentence-transformers is not installed, or the folder holds no model of it.
    """
    need(PACKAGE, work="training an encoder")
    if not (folder / "modules.json").is_file():
        raise TrainerError(
            f"{folder} has no modules.json", "give the folder of a model that sentence-transformers saved"
        )
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    # The run reports its own progress.
    logging.disable_progress_bar()
    try:
        # Code that a model brings is never run.
        found = SentenceTransformer(str(folder), device="cpu", local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the library raises bare exceptions
        raise TrainerError(f"{folder} cannot be read: {' '.join(str(error).split())}", "give a whole model") from None
    if length:
        found.max_seq_length = min(length, found.max_seq_length or length)
    return found.float()


def adapt(encoder: Any, lora: Lora, seed: int) -> None:
    """Put low-rank adapters into an encoder, and freeze everything else; the same for a seed.

    Raises:
        TrainerError: peft is not installed, or no module has a name of `targets`.
    """
    need("peft", work="training adapters")
    from peft import LoraConfig

    config = LoraConfig(
        r=lora.rank,
        lora_alpha=cast(Any, lora.alpha),
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets) or ALL_LINEAR,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            encoder.add_adapter(config)
        except ValueError as error:
            raise TrainerError(
                f"adapters.targets: {' '.join(str(error).split())}", "name modules of the encoder"
            ) from None


class Trainable(nn.Module):
    """An encoder of which the loop sees only the parameters that are trained.

    Checkpoints then hold the adapters, and not the frozen weights, which come from the encoder's folder.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self._hidden = [encoder]
        for name, parameter in encoder.named_parameters():
            if parameter.requires_grad:
                # torch refuses a dot in the name of a parameter.
                self.register_parameter(name.replace(".", "/"), parameter)

    @property
    def encoder(self) -> Any:
        """The model of sentence-transformers."""
        return self._hidden[0]

    def train(self, mode: bool = True) -> Trainable:
        """As `nn.Module.train`, of the encoder too."""
        self.encoder.train(mode)
        return super().train(mode)

    def forward(self, features: Mapping[str, Any]) -> Tensor:
        """(texts, dimensions): the vectors of texts."""
        return self.encoder(dict(features))["sentence_embedding"]


def features_of(encoder: Any, texts: Sequence[str], side: str, device: torch.device | str) -> dict[str, Any]:
    """Texts as the encoder reads them, behind the prompt of their side: query or document."""
    prompts = encoder.prompts or {}
    prompt = next((prompts[name] for name in SIDES[side] if prompts.get(name)), None)
    found = encoder.preprocess(list(texts), prompt=prompt)
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in found.items()}


@torch.no_grad()
def encoded(model: Trainable, texts: Sequence[str], side: str, device: torch.device | str, batch: int = 32) -> Tensor:
    """(texts, dimensions): vectors without dropout, on the CPU. Texts of about one length are encoded together."""
    was = model.training
    model.eval()
    order = sorted(range(len(texts)), key=lambda place: (len(texts[place]), place))
    found: list[Tensor] = []
    for start in range(0, len(order), batch):
        some = [texts[place] for place in order[start : start + batch]]
        found.append(model(features_of(model.encoder, some, side, device)).float().cpu())
    model.train(was)
    whole = torch.cat(found) if found else torch.zeros(0, model.encoder.get_embedding_dimension() or 0)
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order, dtype=torch.long)] = torch.arange(len(order))
    return whole[back]


def vectors_of(model: Trainable, texts: Sequence[str], side: str, device: torch.device | str) -> np.ndarray:
    """As `encoded`, as an array."""
    return encoded(model, texts, side, device).numpy()


def export(encoder: Any, place: Path, *, adapters: bool) -> None:
    """Write what was trained: a folder of sentence-transformers, or one of peft that holds the adapters alone.

    Equal weights give equal files, wherever they were trained.
    """
    with whole_folder(place) as folder:
        if not adapters:
            encoder.save(str(folder), create_model_card=False)
            return
        encoder[0].auto_model.save_pretrained(str(folder))
        written = json.loads((folder / ADAPTER_CONFIG).read_text())
        written["base_model_name_or_path"] = None
        for name, value in written.items():
            if isinstance(value, list) and all(isinstance(each, str) for each in value):
                # peft writes sets, in an order that differs between processes.
                written[name] = sorted(value)
        write_json(folder / ADAPTER_CONFIG, written)
        (folder / "README.md").unlink(missing_ok=True)
