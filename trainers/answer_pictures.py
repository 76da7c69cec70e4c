"""Ask a model about pictures: python -m trainers.answer_pictures --config ask.yaml

    ask.yaml     model: runs/mixture          (a run of trainers.caption, a checkpoint, or a folder of Molmo)
                 asked: asked.jsonl           (rows {"id": ..., "picture": FILE, "question": ...})
                 out: replies.jsonl           (rows {"id": ..., "reply": ...}, in the same order)

The likeliest token is written each time, so that a reply is the same on every run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainers.process.command import run_from_config
from trainers.process.errors import TrainerError


@dataclass(frozen=True, kw_only=True)
class AnswerConfig:
    """Which model is asked what."""

    model: str
    asked: str
    """A file of JSON lines."""
    out: str
    most: int = 256
    """Tokens of a reply at most."""
    batch: int = 32
    """Questions that are answered together."""
    blind: bool = False
    """Whether the model is not shown the pictures: for one that was trained so."""
    device: str = "auto"
    threads: int = 0
    """Threads of torch; 0: its own choice."""


def answer_pictures(config: AnswerConfig) -> int:
    """Answer all questions of a file; returns their number.

    Raises:
        TrainerError: the model, the file or a picture cannot be read.
    """
    import torch

    from trainers.data.json_rows import read_rows
    from trainers.process.device import chosen_device
    from trainers.process.files import write_jsonl
    from trainers.process.progress import Progress
    from trainers.vision.examples import Examples
    from trainers.vision.generating import Asked, replies
    from trainers.vision.opening import model_of, opened

    if config.threads:
        torch.set_num_threads(config.threads)
    rows = [row for _, row in read_rows([Path(config.asked)])]
    asked = []
    for number, row in enumerate(rows, start=1):
        if not all(isinstance(row.get(name), str) for name in ("picture", "question")) or "id" not in row:
            raise TrainerError(
                f"{config.asked}, row {number} is no question", 'write {"id": ..., "picture": FILE, "question": ...}'
            )
        try:
            asked.append(Asked(Path(row["picture"]).read_bytes(), row["question"]))
        except OSError as error:
            raise TrainerError(f"{row['picture']} cannot be read: {error.strerror}", "give a picture") from None
    beginning, device = opened(Path(config.model)), chosen_device(config.device)
    model = model_of(beginning).to(device)
    length = beginning.shape.decoder.sequence_length
    examples = Examples(beginning.shape, beginning.tokenizer, beginning.end, length, blind=config.blind)
    progress, found = Progress("answer", Path(config.model).name, len(asked)), list[str]()
    for start in range(0, len(asked), config.batch):
        some = asked[start : start + config.batch]
        found += replies(model, examples, some, most=config.most, batch=config.batch, device=device)
        progress.step(len(found), tokens=0, loss=None)
    write_jsonl(Path(config.out), [{"id": row["id"], "reply": reply} for row, reply in zip(rows, found, strict=True)])
    return len(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return run_from_config(AnswerConfig, answer_pictures, arguments)


if __name__ == "__main__":
    sys.exit(main())
