"""Train a policy on verified rewards: python -m trainers.rlvr --config rlvr.yaml

    rlvr.yaml    model: runs/dpo
                 data: [problems.jsonl]      (rows {"messages": [...], "verifier": "gsm8k", "answer": "18"})
                 out: runs/rlvr
                 loss: dapo                  (or grpo, dr_grpo, gspo, cispo, ppo)

The policy writes its rollouts by the engine that serves models; they are rows in rollouts/, from which every update can
be computed again (`replay`). Verifiers: gsm8k, math, exact, choice, ifeval, gsm8k+ifeval, code.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainers.core.loop import train
from trainers.posttraining.begin import begin, planned
from trainers.posttraining.config import RLVRConfig, read_posttraining
from trainers.posttraining.prompts import Prompts
from trainers.posttraining.reference import source_digest
from trainers.posttraining.rlvr import DECIDES, Verified
from trainers.process.command import run_from_config
from trainers.process.errors import TrainerError
from trainers.process.trackers import check_tracker


def rlvr(config: RLVRConfig) -> dict[str, Any]:
    """Train, or continue to train, and return the contents of result.json.

    Raises:
        TrainerError: model, reference or data cannot be read, no prompt can be used, or the loss is not finite.
    """
    check_tracker(config.tracker)
    _check(config)
    beginning = begin(config)
    if beginning.stop is None:
        raise TrainerError("no token ends a reply", "set stop to the marker that the chat template writes there")
    out = Path(config.out)
    prompts = Prompts(beginning, config.data, out / "left_out.jsonl")
    heldout = Prompts(beginning, config.heldout, out / "heldout_left_out.jsonl") if config.heldout else None
    decides = {
        "data": prompts.fingerprint,
        **{name: getattr(config, name) for name in DECIDES},
        "reference": source_digest(config.reference),
        "value": config.value and _value_digest(config.value),
        "replay": bool(config.replay),
    }
    samples = len(prompts) * config.passes
    plan = planned(beginning, "rlvr", samples, decides, parts=1)
    objective = Verified(beginning, prompts, heldout)
    return train(replace(plan, batch=config.batch * config.replies), objective, objective.phases)


def _value_digest(source: str) -> str:
    from trainers.core import checkpoint

    return checkpoint.chosen(Path(source)).model_sha256


def _check(config: RLVRConfig) -> None:
    limits = {
        "replies": (config.replies >= (1 if config.loss == "ppo" else 2), "2 or more, as a group is compared"),
        "passes": (config.passes >= 1, "1 or more"),
        "reply_tokens": (config.reply_tokens >= 1, "1 or more"),
        "temperature": (config.temperature > 0, "above 0"),
        "importance_cap": (not config.importance_cap or config.temperature == 1, "0, or temperature 1"),
        "adapters": (not config.adapters or config.loss != "ppo", "no adapters with PPO"),
    }
    for name, (fits, wanted) in limits.items():
        if not fits:
            raise TrainerError(f"{name} is {getattr(config, name)}", f"give {wanted}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return run_from_config(RLVRConfig, rlvr, arguments, read_posttraining)


if __name__ == "__main__":
    sys.exit(main())
