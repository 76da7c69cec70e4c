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
    from spark_jobs.shards.texts import write_texts
    from spark_jobs.shards.tokenizer import train_tokenizer

    order = sorted(found, key=lambda text: hashlib.sha256(text.encode()).digest())
    write_texts(
        folder,
        train_tokenizer(found, VOCABULARY),
        {"train": order[HELDOUT:], "heldout": order[:HELDOUT]},
        source="python",
        sequence_length=SEQUENCE_LENGTH,
        fingerprint=digest,
    )
