"""Train a run and let it answer questions, in one process: python -m trainers.replicate --config FILE

    {"train": {"preset": "70k-1xC", "seed": 2, "shards": ..., "out": "runs/70k"}, "evaluate": {"questions": ...,
     "out": "runs/70k/answers"}}

For the many short runs of a comparison: to start torch takes longer than some of them. Both halves resume, and a
finished one returns at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainers.pretraining.config import RunConfig
from trainers.process.command import run_from_config
from trainers.process.config_file import from_mapping


@dataclass(frozen=True, kw_only=True)
class ReplicateConfig:
    """A run and its questions."""

    train: Mapping[str, Any]
    """Fields of trainers/pretraining/config.py RunConfig."""
    evaluate: Mapping[str, Any]
    """Fields of trainers/answer_questions.py EvalConfig; the checkpoint is the run's."""


def replicate(config: ReplicateConfig) -> None:
    """Train, and then answer; of several ranks the first answers."""
    from trainers.answer_questions import EvalConfig, evaluate
    from trainers.pretrain import pretrain

    run = from_mapping(config.train, RunConfig, "train")
    questions = from_mapping({**config.evaluate, "checkpoint": run.out}, EvalConfig, "evaluate")
    pretrain(run)
    if int(os.environ.get("RANK", "0")) == 0:
        evaluate(questions)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return run_from_config(ReplicateConfig, replicate, arguments)


if __name__ == "__main__":
    sys.exit(main())
