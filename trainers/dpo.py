"""Train a policy on preferences: python -m trainers.dpo --config dpo.yaml

    dpo.yaml     model: runs/sft
                 data: [pairs.jsonl]         (rows {"chosen": [messages], "rejected": [messages]})
                 out: runs/dpo
                 loss: dpo_norm              (or dpo, simpo, wpo, kto)

The log-probabilities of the reference are computed once, before the first step, and kept in reference.npz. KTO also
reads rows {"messages": [...], "label": true}.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainers.core.loop import train
from trainers.posttraining.begin import begin, examples_of, planned
from trainers.posttraining.config import PreferenceConfig, read_posttraining
from trainers.posttraining.preferences import DirectPreference, Kahneman, pairs, singles
from trainers.posttraining.reference import source_digest
from trainers.process.command import run_from_config
from trainers.process.trackers import check_tracker


def dpo(config: PreferenceConfig) -> dict[str, Any]:
    """Train, or continue to train, and return the contents of result.json.

    Raises:
        TrainerError: model, reference or data cannot be read, no row can be trained on, or the loss diverged.
    """
    check_tracker(config.tracker)
    beginning = begin(config, "last")
    kto, out = config.loss == "kto", Path(config.out)
    make, kind, together = (singles(beginning), "singles", 1) if kto else (pairs(beginning), "pairs", 2)
    examples = examples_of(beginning, make, kind, out=out, data=config.data, together=together)
    heldout = None
    if config.heldout and not kto:
        heldout = examples_of(beginning, make, kind, out=out / "heldout", data=config.heldout, together=together)
    decides = {
        "data": examples.fingerprint,
        "loss": config.loss,
        "beta": config.beta,
        "gamma": config.gamma if config.loss == "simpo" else None,
        "label_smoothing": config.label_smoothing,
        "sft_weight": config.sft_weight,
        "weights": [config.desirable_weight, config.undesirable_weight] if kto else None,
        "reference": source_digest(config.reference),
    }
    plan = planned(beginning, "dpo", len(examples), decides)
    objective = (Kahneman if kto else DirectPreference)(beginning, examples, heldout)
    return train(plan, objective, objective.loader)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return run_from_config(PreferenceConfig, dpo, arguments, read_posttraining)


if __name__ == "__main__":
    sys.exit(main())
