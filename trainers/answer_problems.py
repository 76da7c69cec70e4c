"""Answer problems and verify the replies: python -m trainers.answer_problems --config answer.yaml

    answer.yaml  model: runs/rlvr
                 data: [test.jsonl]          (rows {"messages": [...], "verifier": "gsm8k", "answer": "18"})
                 out: answers/rlvr

`out` then holds answers.jsonl, a row a reply with its verdict, and answers.json: the part that is verified, pass@k, and
how many rows were left out.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainers.models.decoder import decoder
from trainers.posttraining.answers import answered
from trainers.posttraining.begin import begin
from trainers.posttraining.config import AnswerConfig, read_posttraining
from trainers.posttraining.prompts import Prompts
from trainers.process.command import run_from_config
from trainers.process.device import chosen_device
from trainers.process.errors import TrainerError
from trainers.process.files import write_jsonl
from trainers.process.sealed import write_sealed
from trainers.verifiers.code.passes import pass_at_k


def answer_problems(config: AnswerConfig) -> dict[str, Any]:
    """Answer, verify, and return the contents of answers.json.

    Raises:
        TrainerError: model or data cannot be read, or no row can be used.
    """
    if config.samples < 1:
        raise TrainerError(f"samples is {config.samples}", "give 1 or more")
    if config.threads:
        torch.set_num_threads(config.threads)
    beginning = begin(config)
    if beginning.stop is None:
        raise TrainerError("no token ends a reply", "set stop to the marker that the chat template writes there")
    out = Path(config.out)
    prompts = Prompts(beginning, config.data, out / "left_out.jsonl")
    policy = decoder(beginning.model)
    policy.load_state_dict(beginning.decoder.state_dict())
    rows = answered(
        policy.eval().to(chosen_device(config.device)),
        beginning,
        prompts.prompts,
        samples=config.samples,
        temperature=config.temperature,
        tokens=config.reply_tokens,
        most_rows=config.most_rows,
        cache_tokens=config.cache_tokens,
    )
    write_jsonl(out / "answers.jsonl", rows)
    right = np.array([row["score"] >= 1 for row in rows]).reshape(-1, config.samples).sum(1).tolist()
    ks = [k for k in (1, 2, 4, 8, 16, 32, 64, 128) if k <= config.samples]
    found = {
        "model": beginning.digest,
        "verified": float(np.mean([row["score"] for row in rows])),
        "stopped": float(np.mean([row["finish"] == "stop" for row in rows])),
        "pass_at": {str(k): float(np.mean([pass_at_k(config.samples, each, k) for each in right])) for k in ks},
        "problems": len(prompts),
        "replies": len(rows),
        **prompts.counts,
    }
    write_sealed(out / "answers.json", found)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return run_from_config(AnswerConfig, answer_problems, arguments, read_posttraining)


if __name__ == "__main__":
    sys.exit(main())
