"""A model that reads tokens in steps and remembers them: a decoder of ours, or any that transformers loads.

Shape suffixes: those of memory.py; K, H, G and P as in trainers/models/dense.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.core import checkpoint
from trainers.core.loading import CONFIG, decoder_of
from trainers.core.tensors import COPY_AGAIN, INDEX, ONE_FILE, check_tensors
from trainers.models.dense import Attention, Block, DenseDecoder
from trainers.process.device import chosen_device
from trainers.process.errors import TrainerError
from trainers.process.files import canonical_json, sha256_file, sha256_text
from trainers.process.run_folder import TOKENIZER
from trainers.serving.memory import LanguageModel, Memory, positions
from trainers.serving.steps import queries_keys_values
from trainers.serving.tokenizers import FileTokenizer, Tokenizer, TransformersTokenizer
from trainers.serving.transformers_model import refuse_other_architectures, transformers_model

READ_BY_TRANSFORMERS = (".json", ".safetensors", ".bin", ".model", ".txt", ".py", ".jinja")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class OwnDecoder:
    """A DenseDecoder, or one of experts, with its keys and values kept.

    Attention crosses documents here: prompts hold no end of a text.
    """

    def __init__(self, model: DenseDecoder, device: torch.device, dtype: torch.dtype) -> None:
        self.model = model.eval().to(device)
        self.length, self.vocab_size, self.device = model.config.sequence_length, model.config.vocab_size, device
        self._dtype = dtype

    def read(
        self, tokens_BS: Tensor, held_BS: Tensor, memory: Memory | None, at: Tensor | None
    ) -> tuple[Tensor, Memory]:
        half = self._dtype != torch.float32
        with torch.inference_mode(), torch.autocast(self.device.type, self._dtype, enabled=half):
            return self._read(tokens_BS, held_BS, memory, at)

    def _read(
        self, tokens_BS: Tensor, held_BS: Tensor, memory: Memory | None, at: Tensor | None
    ) -> tuple[Tensor, Memory]:
        position_BS = positions(held_BS, memory).clamp(max=self.length - 1)
        cos_BS11P, sin_BS11P = self.model.cos_T11P[position_BS], self.model.sin_T11P[position_BS]
        held_BT = torch.cat((memory.held_BT, held_BS), 1) if memory else held_BS
        # Without padding, torch's causal attention is the same and faster.
        plain = memory is None and bool(held_BS.all())
        mask_B1ST = None if plain else _mask(held_BT, tokens_BS.shape[1])
        x_BSD = self.model.embedding(tokens_BS)
        cache: list[tuple[Tensor, Tensor]] = []
        for layer, block in enumerate(self.model.blocks):
            past = memory.cache[layer] if memory else None

            def attend(x_BSD: Tensor, block: Any = block, past: Any = past) -> Tensor:
                y_BSD, kept = _attend(block.attention, x_BSD, (cos_BS11P, sin_BS11P), mask_B1ST, past)
                cache.append(kept)
                return y_BSD

            x_BSD = cast(Block, block).around(x_BSD, attend)
        found_ND = x_BSD[at[:, 0], at[:, 1]] if at is not None else x_BSD[:0, 0]
        return F.linear(self.model.norm(found_ND), self.model.output_weight), Memory(cache, held_BT)

    @torch.inference_mode()
    def select(self, memory: Memory, rows_B: Tensor) -> Memory:
        cache = [(keys[rows_B], values[rows_B]) for keys, values in memory.cache]
        return Memory(cache, memory.held_BT[rows_B])


def _mask(held_BT: Tensor, S: int) -> Tensor:
    """(B, 1, S, T): the last S of T places look at what is held and not ahead; at least at themselves."""
    T = held_BT.shape[1]
    ahead_ST = torch.ones(S, T, dtype=torch.bool, device=held_BT.device).tril(T - S)
    itself_ST = torch.eye(T, dtype=torch.bool, device=held_BT.device)[T - S :]
    return ((ahead_ST & held_BT[:, None]) | itself_ST)[:, None]


def _attend(
    attention: Attention,
    x_BSD: Tensor,
    turns: tuple[Tensor, Tensor],
    mask_B1ST: Tensor | None,
    past: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    q_BSHK, k_BSGK, v_BSGK = queries_keys_values(attention, x_BSD, *turns)
    k_BGTK, v_BGTK = k_BSGK.transpose(1, 2), v_BSGK.transpose(1, 2)
    if past is not None:
        k_BGTK, v_BGTK = torch.cat((past[0], k_BGTK), 2), torch.cat((past[1], v_BGTK), 2)
    y_BHSK = F.scaled_dot_product_attention(
        q_BSHK.transpose(1, 2),
        k_BGTK,
        v_BGTK,
        attn_mask=mask_B1ST,
        is_causal=mask_B1ST is None,
        enable_gqa=attention.groups != attention.heads,
    )
    return attention.out(y_BHSK.transpose(1, 2).flatten(2)), (k_BGTK, v_BGTK)


@dataclass(frozen=True)
class Opened:
    """A model, what reads text for it, and the name of its weights."""

    model: LanguageModel
    tokenizer: Tokenizer
    digest: str
    """Hex SHA-256."""


def open_model(folder: Path, device: str = "auto", dtype: str = "float32") -> Opened:
    """A checkpoint, a run folder's newest one, or a folder in the Hugging Face format.

    Raises:
        TrainerError: the folder is none of these, has no tokenizer, or needs transformers, which is not installed.
    """
    if dtype not in DTYPES:
        raise TrainerError(f"dtype is {dtype!r}", f"choose one of {', '.join(DTYPES)}")
    if not folder.is_dir():
        raise TrainerError(f"{folder} is not a folder", "give a checkpoint, a run, or a Hugging Face folder")
    place = chosen_device(device)
    opened = _hugging_face if _is_hugging_face(folder) else _own
    return opened(folder, place, DTYPES[dtype])


def _is_hugging_face(folder: Path) -> bool:
    try:
        return "model_type" in json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _own(folder: Path, device: torch.device, dtype: torch.dtype) -> Opened:
    found = checkpoint.chosen(folder)
    if getattr(found.model_config, "choice", "token") == "expert":
        raise TrainerError(
            f"experts choose their tokens in {found.folder}, which depends on later tokens: its text and its"
            " likelihoods would not be those of a causal model",
            "open a model whose tokens choose their experts",
        )
    places = [found.folder / TOKENIZER, found.folder.parent / TOKENIZER]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise TrainerError(f"{found.folder} has no {TOKENIZER}", "put the tokenizer of its shards beside it")
    tokenizer = FileTokenizer(path, found.state.get("eot"))
    digest = sha256_text(found.model_sha256 + sha256_file(path))
    return Opened(OwnDecoder(decoder_of(found), device, dtype), tokenizer, digest)


def _hugging_face(folder: Path, device: torch.device, dtype: torch.dtype) -> Opened:
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError:
        raise TrainerError(
            f"{folder} is in the Hugging Face format, and transformers is not installed",
            "`pip install transformers`, or `watershed model import` the folder",
        ) from None
    refuse_other_architectures(folder)
    if (folder / INDEX).is_file() or (folder / ONE_FILE).is_file():
        check_tensors(folder)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True
        )
        model, report = loaded
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # an architecture's own code may raise anything
        cause = " ".join(str(error).split()) or type(error).__name__
        raise TrainerError(f"{folder} cannot be opened: {cause}", "give a folder that transformers loads") from None
    _refuse_other_tensors(folder, report)
    files = sorted(path for path in folder.iterdir() if path.suffix in READ_BY_TRANSFORMERS)
    digest = sha256_text(canonical_json({path.name: sha256_file(path) for path in files}))
    return Opened(transformers_model(model, device, str(folder)), TransformersTokenizer(tokenizer), digest)


def _refuse_other_tensors(folder: Path, report: Any) -> None:
    """transformers draws tensors that it does not find at random, and leaves others out with a warning."""
    faults = {
        "missing_keys": "is missing",
        "mismatched_keys": f"has not the shape that {CONFIG} says",
        "unexpected_keys": f"has no place in the model of {CONFIG}",
    }
    for kind, what in faults.items():
        # A mismatched one comes with its two shapes.
        names = sorted(name if isinstance(name, str) else name[0] for name in report[kind])
        if names:
            others = f" (and {len(names) - 1} others)" if len(names) > 1 else ""
            raise TrainerError(f"{folder}: the tensor {names[0]} {what}{others}", COPY_AGAIN)
