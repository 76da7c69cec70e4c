"""Small models for tests of serving: a checkpoint and Hugging Face folders with random weights, and their tokenizer."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from trainers.core import checkpoint
from trainers.core.checkpoint import MODEL
from trainers.models.config import DenseConfig, LlamaConfig
from trainers.models.decoder import decoder

ROOT = Path(__file__).parents[3]
END, START = "<|end|>", "<|start|>"
TEMPLATE = (
    "{% for m in messages %}{% if m['role'] not in ('system', 'user', 'assistant') %}"
    "{{ raise_exception('no role ' + m['role']) }}{% endif %}"
    "<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
TEXTS = ["rain falls on the hills and runs into the rivers", "größer als Zürich — 雨が降る 🌧🌧 and so on 1234567890"]


def a_tokenizer(path: Path) -> Tokenizer:
    """Byte-level BPE of a few hundred tokens, with two markers."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[AddedToken(END, special=True), AddedToken(START, special=True)],
    )
    tokenizer.train_from_iterator(TEXTS * 4, trainer)
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
    return tokenizer


SHAPE: dict[str, Any] = {
    "vocab_size": 300,
    "sequence_length": 256,
    "width": 32,
    "layers": 2,
    "heads": 4,
    "hidden": 48,
    "init_std": 0.25,
}
LLAMA = LlamaConfig(
    **SHAPE, key_value_heads=2, norm_placement="pre", qk_norm=False, rope_divisors=(1.0, 1.5, 2.0, 4.0), tied=True
)
OLMO = DenseConfig(**SHAPE)


def a_checkpoint(folder: Path, config: DenseConfig, *, chat: bool = True) -> Path:
    """A checkpoint with its tokenizer and, if asked, a chat template."""
    model = decoder(config).initialise(0)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("gain"):
                parameter.uniform_(0.5, 1.5, generator=draw)
    state = {"step": 3, "tokens": 9, "fingerprint": "made", "eot": 0, "config": {"model": vars(config)}}
    checkpoint.write(folder, state, {MODEL: dict(model.state_dict())})
    a_tokenizer(folder / "tokenizer.json")
    written: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END}
    if chat:
        written["chat_template"] = TEMPLATE
    (folder / "tokenizer_config.json").write_text(json.dumps(written))
    return folder


@dataclass(frozen=True)
class Server:
    """A running server."""

    process: subprocess.Popen[str]
    url: str


@contextlib.contextmanager
def serving(model: Path | str, folder: Path, *options: str, **environment: str) -> Generator[Server]:
    """`python -m trainers.serve` of a model; ended when the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    port_file, log = folder / "port", folder / "log"
    port_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "trainers.serve", "--model", str(model), "--port", "0"]
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, "--port-file", str(port_file), *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            env=os.environ | environment,
        )
        assert process.stdout
        try:
            line = process.stdout.readline()
            assert "answers at" in line, line + log.read_text()
            yield Server(process, f"http://127.0.0.1:{port_file.read_text().strip()}")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
