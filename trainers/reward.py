"""Train a reward model on preferences: python -m trainers.reward --config reward.yaml

    reward.yaml  model: runs/sft
                 data: [pairs.jsonl]         (rows {"chosen": [messages], "rejected": [messages]})
                 out: runs/reward

`value: runs/reward` of trainers.rlvr begins PPO's value model with it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainers.core.loop import train
from trainers.posttraining.begin import begin, examples_of, planned
from trainers.posttraining.config import RewardConfig, read_posttraining
from trainers.posttraining.preferences import pairs
from trainers.posttraining.reward import Ranking
from trainers.process.command import run_from_config
from trainers.process.errors import TrainerError
from trainers.process.trackers import check_tracker


def reward(config: RewardConfig) -> dict[str, Any]:
    """Train, or continue to train, and return the contents of result.json.

    Raises:
        TrainerError: model or data cannot be read, no row can be trained on, or the loss diverged.
    """
    check_tracker(config.tracker)
    if config.adapters:
        raise TrainerError("a reward model has no adapters", "leave out adapters")
    beginning = begin(config, "last")
    out = Path(config.out)
    examples = examples_of(beginning, pairs(beginning), "pairs", out=out, data=config.data, together=2)
    heldout = None
    if config.heldout:
        heldout = examples_of(
            beginning, pairs(beginning), "pairs", out=out / "heldout", data=config.heldout, together=2
        )
    plan = planned(beginning, "reward", len(examples), {"data": examples.fingerprint, "margin": config.margin})
    objective = Ranking(beginning, examples, heldout)
    return train(plan, objective, objective.loader)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return run_from_config(RewardConfig, reward, arguments, read_posttraining)


if __name__ == "__main__":
    sys.exit(main())
