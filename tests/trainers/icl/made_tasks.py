"""Task files of all four kinds under DCLM's names, and a small random model to ask."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

WORDS = tuple("rain river cloud lake shore reed heron otter ferry naïve 雨が降る 🌧️ stone tide delta".split())
SUBJECTS = ("birds", "boats")
LENGTH = 256


def sentence(draw: random.Random, words: int) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(words))


def made_examples() -> dict[str, list[dict[str, Any]]]:
    """Rows by file, each under the name of a task of DCLM."""
    draw = random.Random(7)

    def choices(number: int) -> list[str]:
        return [f"{sentence(draw, draw.randint(1, 6))} {letter}" for letter in "abcd"[:number]]

    return {
        "copa": [
            {"query": f"{i}: {sentence(draw, 6)}, therefore", "choices": choices(2), "gold": i % 2} for i in range(14)
        ],
        "arc_easy": [
            {"query": f"Question {i}: {sentence(draw, 9)}?\n", "choices": choices(2 + i % 3), "gold": i % 2}
            for i in range(16)
        ],
        "commonsense_qa": [
            {"query": f"{i} {sentence(draw, 5)}\nAnswer: ", "choices": list("ABCD"), "gold": i % 4} for i in range(13)
        ],
        "winograd_wsc": [
            {
                "context_options": [f"{i} {sentence(draw, 5)} the {who}" for who in ("heron", "old ferryman")],
                "continuation": sentence(draw, 4),
                "gold": i % 2,
            }
            for i in range(12)
        ],
        "bigbench_operators": [
            {"context": f"op {i} {sentence(draw, 3)} =", "continuation": sentence(draw, 1 + i % 3)} for i in range(15)
        ],
        "jeopardy_all": [
            {
                "context": f"{sentence(draw, 8)} {i}",
                "continuation": sentence(draw, 2),
                "category": SUBJECTS[i % 2],
            }
            for i in range(12)
        ],
        "triviaqa_sm_sub": [
            {
                "context": f"Question: {sentence(draw, 6)} {i}?\nAnswer:",
                "answer": "Rain",
                "aliases": ["the rain"],
            }
            for i in range(9)
        ],
        "svamp": [
            {"context": f"{i} {sentence(draw, 8)}?", "chain_of_thought": f"( {i} + 1 )", "answer": str(i + 1)}
            for i in range(8)
        ],
    }


def write_tasks(folder: Path) -> Path:
    """The files, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in made_examples().items():
        write_lines(folder / f"{name}.jsonl", rows)
    return folder


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def texts() -> Iterator[str]:
    for rows in made_examples().values():
        for row in rows:
            yield json.dumps(row, ensure_ascii=False)


def write_tokenizer(folder: Path, more: Iterable[str] = ()) -> Path:
    """tokenizer.json: byte-level BPE, 600 tokens, the first of which ends a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<|end|>"], initial_alphabet=alphabet)
    trainer.show_progress = False
    tokenizer.train_from_iterator([*texts(), *more], trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def write_hugging_face(folder: Path, more: Iterable[str] = (), length: int = LENGTH) -> Path:
    """A Llama of two layers with random weights, and its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    path = write_tokenizer(folder, more)
    PreTrainedTokenizerFast(tokenizer_file=str(path), eos_token="<|end|>").save_pretrained(folder)
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=600,
        max_position_embeddings=length,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def write_checkpoint(folder: Path) -> Path:
    """A checkpoint of a decoder of ours with random weights, and its tokenizer."""
    from trainers.core import checkpoint
    from trainers.core.checkpoint import MODEL
    from trainers.models.config import DenseConfig
    from trainers.models.decoder import decoder

    config = DenseConfig(
        vocab_size=600, sequence_length=LENGTH, width=32, layers=2, heads=4, hidden=48, init_std=0.3, separator=0
    )
    state = {"step": 1, "tokens": 1, "fingerprint": "made", "eot": 0, "config": {"model": vars(config)}}
    tokenizer = write_tokenizer(folder.parent)
    weights = dict(decoder(config).initialise(0).state_dict())
    checkpoint.write(folder, state, {MODEL: weights}, beside=[tokenizer])
    return folder
