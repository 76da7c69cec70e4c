"""Models to and from the Hugging Face format, and the logits of either kind:

    python -m trainers.exchange import  FOLDER CHECKPOINT
    python -m trainers.exchange export  CHECKPOINT FOLDER
    python -m trainers.exchange logits  CHECKPOINT_OR_FOLDER --tokens 5,6,7 --out logits.npy

A folder holds config.json, safetensors and the tokenizer's files, as transformers' AutoModelForCausalLM loads it; the
architectures are those of models/hugging_face.py. transformers itself is not needed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.core import checkpoint
from trainers.core.checkpoint import MODEL, Checkpoint
from trainers.core.loading import CONFIG, load_decoder, read_hugging_face
from trainers.core.tensors import INDEX, ONE_FILE, tensor_files
from trainers.models.config import DenseConfig, literals
from trainers.models.hugging_face import to_config_json, to_tensors
from trainers.process.errors import TrainerError, exit_code
from trainers.process.files import (
    canonical_json,
    read_json_object,
    sha256_file,
    sha256_text,
    whole_file,
    whole_folder,
    write_json,
)
from trainers.process.optional import need
from trainers.process.run_folder import TOKENIZER

CODE_VERSION = "exchange-1"
TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER_FILES = (
    TOKENIZER,
    TOKENIZER_CONFIG,
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SHARD_BYTES = 5_000_000_000
"""Of a safetensors file; more are split, with an index beside them."""


def import_model(source: Path, target: Path) -> Checkpoint:
    """Write a Hugging Face folder as the checkpoint `target`: its numbers as they are, the tokenizer's files beside."""
    if target.exists():
        raise TrainerError(f"{target} exists", "give a place where nothing is yet")
    config, weights = read_hugging_face(source)
    parsed = read_json_object(source / CONFIG)
    eos = parsed.get("eos_token_id")
    parts = sorted({CONFIG, *tensor_files(source).values()})
    identity = {"code": CODE_VERSION, "model": literals(config), "files": {p: sha256_file(source / p) for p in parts}}
    state = {
        "step": 0,
        "tokens": 0,
        "fingerprint": sha256_text(canonical_json(identity)),
        "config": identity,
        "eot": eos[0] if isinstance(eos, list) else eos,
    }
    whole = checkpoint.write(target, state, {MODEL: weights}, beside=_tokenizer_files(source))
    return Checkpoint(target, whole)


def _tokenizer_files(folder: Path) -> list[Path]:
    return [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]


def export_model(
    source: Path,
    target: Path,
    *,
    tokenizer: Path | None = None,
    dtype: str = "float32",
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a checkpoint, or the newest of a run folder, as a Hugging Face folder.

    Args:
        tokenizer: tokenizer.json; else that beside the checkpoint or in its run folder, if there is one.
        dtype: of the tensors, "float32" or "bfloat16".
        shard_bytes: the most that one safetensors file holds.

    Raises:
        TrainerError: `target` exists, the checkpoint is damaged, or neither architecture computes its function.
    """
    if target.exists():
        raise TrainerError(f"{target} exists", "give a place where nothing is yet")
    if dtype not in DTYPES:
        raise TrainerError(f"dtype is {dtype!r}", f"choose one of {', '.join(DTYPES)}")
    need("safetensors", work="the Hugging Face format")
    found = checkpoint.chosen(source)
    eot = found.state.get("eot")
    config_json = to_config_json(found.model_config, dtype, eot)
    with whole_folder(target) as partial:
        _write_tensors(partial, to_tensors(found.model_config, found.weights()), DTYPES[dtype], shard_bytes)
        for file in [tokenizer] if tokenizer else _found_tokenizer(found.folder):
            shutil.copyfile(file, partial / (TOKENIZER if tokenizer else file.name))
        if (partial / TOKENIZER).is_file() and not (partial / TOKENIZER_CONFIG).is_file():
            write_json(partial / TOKENIZER_CONFIG, _tokenizer_config(partial / TOKENIZER, found.model_config, eot))
        write_json(partial / CONFIG, config_json)


def _found_tokenizer(folder: Path) -> list[Path]:
    return _tokenizer_files(folder) or [p for p in [folder.parent / TOKENIZER] if p.is_file()]


def _tokenizer_config(path: Path, config: DenseConfig, eot: int | None) -> dict[str, Any]:
    """tokenizer_config.json of a tokenizer.json that came without one."""
    written = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": config.sequence_length}
    tokens = {entry["id"]: entry["content"] for entry in read_json_object(path).get("added_tokens", [])}
    return written | ({"eos_token": tokens[eot]} if eot in tokens else {})


def _write_tensors(folder: Path, tensors: Iterator[tuple[str, Tensor]], dtype: torch.dtype, shard_bytes: int) -> None:
    """model.safetensors, or several with model.safetensors.index.json."""
    from safetensors.torch import save_file

    files: list[dict[str, Tensor]] = [{}]
    size = total = 0
    for name, tensor in tensors:
        bytes_ = tensor.numel() * dtype.itemsize
        if size and size + bytes_ > shard_bytes:
            files.append({})
            size = 0
        files[-1][name] = tensor
        size, total = size + bytes_, total + bytes_
    names = [f"model-{i + 1:05d}-of-{len(files):05d}.safetensors" for i in range(len(files))]
    if len(files) == 1:
        names = [ONE_FILE]
    for name, held in zip(names, files, strict=True):
        # A view's neighbours in its storage are other tensors: each is written as a copy of its own.
        whole = {key: tensor.to(dtype, copy=True).contiguous() for key, tensor in held.items()}
        save_file(whole, folder / name, metadata={"format": "pt"})
    if len(files) > 1:
        places = {key: name for name, held in zip(names, files, strict=True) for key in held}
        write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": places})


def logits(source: Path, tokens: Sequence[int]) -> NDArray[np.float32]:
    """(tokens, vocabulary): row t scores the token after tokens[: t + 1].

    Raises:
        TrainerError: no token, more than the model reads at once, or one that it does not know.
    """
    model = load_decoder(source)
    config = model.config
    if not 0 < len(tokens) <= config.sequence_length:
        raise TrainerError(f"{len(tokens)} tokens given", f"give 1 to {config.sequence_length}")
    for token in tokens:
        if not 0 <= token < config.vocab_size:
            raise TrainerError(
                f"token {token} is not in the vocabulary", f"give numbers from 0 to {config.vocab_size - 1}"
            )
    with torch.inference_mode():
        return model(torch.tensor([list(tokens)]))[0].float().numpy()


def write_logits(source: Path, tokens: str, out: Path) -> tuple[int, int]:
    """`logits` of numbers with commas between, as a .npy file; returns its shape."""
    try:
        numbers = [int(token) for token in tokens.split(",")]
    except ValueError:
        raise TrainerError(f"tokens are {tokens!r}", "give whole numbers with commas between, such as 5,6,7") from None
    found = logits(source, numbers)
    with whole_file(out) as file:
        np.save(file, found)
    rows, columns = found.shape
    return rows, columns


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m trainers.exchange", description="Models to and from other formats."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    reads = verbs.add_parser("import", help="a Hugging Face folder becomes a checkpoint")
    writes = verbs.add_parser("export", help="a checkpoint becomes a Hugging Face folder")
    scores = verbs.add_parser("logits", help="the logits of a checkpoint or a Hugging Face folder")
    for verb in (reads, writes, scores):
        verb.add_argument("source", type=Path)
    for verb in (reads, writes):
        verb.add_argument("target", type=Path)
    writes.add_argument("--tokenizer", type=Path, help="tokenizer.json to write beside the model")
    writes.add_argument("--dtype", default="float32", help=" or ".join(DTYPES))
    scores.add_argument("--tokens", required=True, help="token numbers, such as 5,6,7")
    scores.add_argument("--out", required=True, type=Path, help=".npy, float32 of shape (tokens, vocabulary)")
    given = parser.parse_args(arguments)
    work = {
        "import": lambda: import_model(given.source, given.target),
        "export": lambda: export_model(given.source, given.target, tokenizer=given.tokenizer, dtype=given.dtype),
        "logits": lambda: write_logits(given.source, given.tokens, given.out),
    }
    return exit_code(work[given.verb])


if __name__ == "__main__":
    sys.exit(main())
