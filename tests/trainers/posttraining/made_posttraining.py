"""Small models and data for tests of post-training: chats, pairs and problems, as files of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from made_models import OLMO, SHAPE, a_checkpoint  # ty: ignore[import-not-found]

from trainers.models.config import MoEConfig
from trainers.posttraining.config import COMMANDS
from trainers.process.config_file import from_mapping

MIXTURE = MoEConfig(**SHAPE | {"hidden": 16, "init_std": 0.1}, norm_placement="pre", experts=8, experts_per_token=2)
WORDS = "rain falls on the hills and runs into rivers größer Zürich 雨 so 12 7 1234567890".split()


def a_model(folder: Path, *, mixture: bool = False) -> Path:
    """A checkpoint with random weights, tokenizer and chat template."""
    return a_checkpoint(folder, MIXTURE if mixture else OLMO)


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _text(draw: np.random.Generator, least: int, most: int) -> str:
    return " ".join(draw.choice(WORDS, draw.integers(least, most)))


def write_chats(path: Path, count: int = 60, seed: int = 0) -> Path:
    """Chats of one to three turns."""
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        messages = []
        for _ in range(draw.integers(1, 3)):
            messages.append({"role": "user", "content": _text(draw, 1, 3)})
            messages.append({"role": "assistant", "content": _text(draw, 1, 4)})
        rows.append({"id": f"chat-{number}", "messages": messages, "source": f"source-{number % 3}"})
    return write_rows(path, rows)


def write_pairs(path: Path, count: int = 40, seed: int = 0) -> Path:
    """Pairs in which the chosen reply speaks of rain."""
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        prompt = [{"role": "user", "content": _text(draw, 1, 3)}]
        chosen, rejected = f"rain falls {_text(draw, 1, 3)}", _text(draw, 1, 4)
        replies = ([{"role": "assistant", "content": text}] for text in (chosen, rejected))
        rows.append(
            {"id": f"pair-{number}"}
            | {name: prompt + reply for name, reply in zip(("chosen", "rejected"), replies, strict=True)}
        )
    return write_rows(path, rows)


def write_problems(path: Path, count: int = 24) -> Path:
    """Prompts that ask for one word."""
    rows = [
        {
            "id": f"problem-{number}",
            "messages": [{"role": "user", "content": f"say {WORDS[number % 6]}"}],
            "verifier": "exact",
            "answer": WORDS[number % 6],
        }
        for number in range(count)
    ]
    return write_rows(path, rows)


def configured(command: str, out: Path, model: Path, data: Path, **changes: Any) -> Any:
    """The configuration of a run that writes a row of metrics every step."""
    values = {"out": str(out), "model": str(model), "data": [str(data)], "log_every": 1, "workers": 2} | changes
    return from_mapping(values, COMMANDS[command], "test")
