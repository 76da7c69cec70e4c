"""A tiny model that can hold a dialogue: trained for a minute on dialogues about Python's own documentation."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from catalog.files import write_whole
from catalog.settings import Settings
from dagster_project.families.dialogues.tiny_texts import TEMPLATE, texts

RUN = "130k-0.5xC"
SEQUENCE_LENGTH = 1024
"""Tokens of a prompt and its reply: the plan and the turns of a dialogue."""
VOCABULARY = 2048
HELDOUT = 200
"""Texts that are held out."""


def train_tiny_model(settings: Settings, run: str = RUN) -> Path:
    """Train the tiny model, unless it has been trained; return the folder of its run, with its chat template.

    Raises:
        WatershedError: the trainer failed.
    """
    from dagster_project.engine.trainer_process import run_trainer

    found = list(dict.fromkeys(texts()))
    digest = hashlib.sha256(json.dumps([found, run, SEQUENCE_LENGTH, VOCABULARY]).encode()).hexdigest()[:16]
    folder = settings.files_root / "dialogues" / "tiny" / digest
    out = folder / "run"
    if not (out / "result.json").exists():
        _write_shards(folder / "shards", found, digest)
        places = {"shards": str(folder / "shards"), "out": str(out), "device": settings.trainer.device}
        run_trainer("trainers.pretrain", {"preset": run, **places}, "tiny model")
    write_whole(out / "chat_template.jinja", TEMPLATE.encode())
    return out


def _write_shards(folder: Path, found: list[str], digest: str) -> None:
    """Write the texts as training and held-out shards, with their tokenizer."""
    from spark_jobs.shards.format import token_dtype, write_dataset, write_manifest, write_shard
    from spark_jobs.shards.tokenizer import EOT, encode, tokenizer_bytes, train_tokenizer
    from spark_jobs.shards.writer import lay_out

    tokenizer = train_tokenizer(found, VOCABULARY)
    order = sorted(found, key=lambda text: hashlib.sha256(text.encode()).digest())
    for split, chosen in (("train", order[HELDOUT:]), ("heldout", order[:HELDOUT])):
        tokens = [encode(tokenizer, text) for text in chosen]
        names = [str(number) for number in range(len(chosen))]
        dtype = token_dtype(tokenizer.get_vocab_size())
        stream = lay_out(names, ["python"] * len(chosen), tokens, SEQUENCE_LENGTH, dtype)
        sizes = {"text_bytes": sum(len(text.encode()) for text in chosen), "sources": {"python": stream.sequences.size}}
        write_manifest(folder / split, [write_shard(folder / split, split, 0, stream.sequences, **sizes)])
    write_whole(folder / "tokenizer.json", tokenizer_bytes(tokenizer))
    sizes = {"vocab_size": tokenizer.get_vocab_size(), "sequence_length": SEQUENCE_LENGTH, "eot": EOT, "seed": 0}
    write_dataset(folder, fingerprint=digest, **sizes)
