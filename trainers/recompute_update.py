"""Compute one update of trainers.rlvr again: python -m trainers.recompute_update --config update.yaml

    update.yaml  run: runs/rlvr              (its config.json and the checkpoint before the step are read)
                 step: 3
                 rollouts: rows.jsonl        (rows of rollouts/, or of the table tulu.rollouts)
                 out: update.json

`out` has the loss and the norm of the gradient, which are those of the run's metrics.jsonl at that step. Rows whose
tokens, log-probabilities or policy are not those that were drawn are refused.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from trainers.posttraining.recompute import RecomputeConfig, recomputed, written
from trainers.process.command import run_from_config


def recompute_update(config: RecomputeConfig) -> dict[str, Any]:
    """Compute the update, and return the contents of `out`.

    Raises:
        TrainerError: the run or its checkpoint cannot be read, or a row is not what the policy drew.
    """
    return written(config, recomputed(config))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return run_from_config(RecomputeConfig, recompute_update, arguments)


if __name__ == "__main__":
    sys.exit(main())
