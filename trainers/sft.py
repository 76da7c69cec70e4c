"""Fine-tune a decoder on chats: python -m trainers.sft --config sft.yaml

    sft.yaml     model: runs/base            (a run, a checkpoint, or a folder in the Hugging Face format)
                 data: [chats.jsonl]         (rows {"messages": [{"role": ..., "content": ...}], "tools": [...]})
                 out: runs/sft

The model learns to write its own replies, with their reasoning, tool calls and stop tokens, and nothing else; rows
without a reply are listed in examples/left_out.jsonl. The run folder is that of every training command: it resumes, and
`python -m trainers.serve` serves it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainers.core.loop import train
from trainers.posttraining.begin import begin, examples_of, planned
from trainers.posttraining.config import SFTConfig, read_posttraining
from trainers.posttraining.sft import FineTuning, chats
from trainers.process.command import run_from_config
from trainers.process.trackers import check_tracker


def sft(config: SFTConfig) -> dict[str, Any]:
    """Fine-tune, or continue to, and return the contents of result.json.

    Raises:
        TrainerError: model or data cannot be read, no row can be trained on, or the loss diverged.
    """
    check_tracker(config.tracker)
    beginning = begin(config, config.replies)
    out = Path(config.out)
    examples = examples_of(beginning, chats(beginning), "chats", out=out, data=config.data)
    heldout = (
        examples_of(beginning, chats(beginning), "chats", out=out / "heldout", data=config.heldout)
        if config.heldout
        else None
    )
    decides = {
        "data": examples.fingerprint,
        "reduction": config.reduction,
        **({"heldout": heldout.fingerprint} if heldout else {}),
    }
    plan = planned(beginning, "sft", len(examples), decides)
    objective = FineTuning(beginning, examples, heldout)
    return train(plan, objective, objective.loader)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return run_from_config(SFTConfig, sft, arguments, read_posttraining)


if __name__ == "__main__":
    sys.exit(main())
