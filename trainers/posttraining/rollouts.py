"""Rollouts: what a policy wrote to a prompt, with all that an update needs, as rows.

`rollouts/` of a run's folder holds phase_00000003.jsonl: a line for each reply that one version of the policy wrote.
A line has the prompt's row, the token ids of prompt and reply, the log-probability of each token of the reply by the
engine that drew it (`logprobs`) and by the trainer (`policy_logprobs`), the policy's version (the optimiser steps that
it had taken), the verdict, the reward, and the advantage of each token. So every update can be computed again from
these rows and the checkpoint before it: `replay: FOLDER` of trainers.rlvr does.

A reply is its token ids. Its text may be spelt by other tokens too, which the policy never drew and whose probabilities
are not those recorded: byte-pair encoding is not one-to-one. A row therefore has a digest of its ids and
log-probabilities, and a row with others is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.process.errors import TrainerError
from trainers.process.files import canonical_json, sha256_text, whole_file

FOLDER = "rollouts"
SEALED = ("prompt_tokens", "tokens", "logprobs", "policy_version", "temperature")
"""What the digest of a row covers: what was drawn, from which policy."""
PER_TOKEN = ("logprobs", "policy_logprobs", "reference_logprobs", "advantages", "values", "returns")

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Rollout:
    """A reply as the policy is trained on it."""

    tokens: NDArray[np.int32]
    """Of prompt and reply."""
    labels: NDArray[np.bool_]
    """True for the tokens of the reply."""
    engine: Floats
    """Log-probabilities of the reply's tokens by the engine, as are those that follow a number a token."""
    old: Floats
    reference: Floats
    advantages: Floats
    values: Floats
    returns: Floats
    version: int
    row: Mapping[str, Any]
    """The line that it was read from."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def targets(self) -> int:
        """Tokens of the reply."""
        return len(self.old)


def digest_of_row(row: Mapping[str, Any]) -> str:
    """Hex SHA-256 of what was drawn."""
    return sha256_text(canonical_json({name: row.get(name) for name in SEALED}))


def sealed_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with the digest of what was drawn."""
    return {**row, "digest": digest_of_row(row)}


def path_of(folder: Path, phase: int) -> Path:
    """The file of a phase."""
    return folder / f"phase_{phase:08d}.jsonl"


def write_rollouts(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace the file of a phase, whole."""
    with whole_file(path) as file:
        for row in rows:
            file.write((json.dumps(row, separators=(",", ":"), allow_nan=False) + "\n").encode())


def read_rollouts(path: Path) -> list[Rollout]:
    """The rollouts of a file, in order.

    Raises:
        TrainerError: it cannot be read, or a row is not what the policy drew.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or "it is not UTF-8"
        raise TrainerError(
            f"{path} cannot be read: {cause}", "go on from a checkpoint whose rollouts are there"
        ) from None
    return [rollout_of(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]


def rollout_of(line: str, place: str) -> Rollout:
    """A rollout from its line.

    Raises:
        TrainerError: it is not a JSON object, lacks a field, or its tokens are not those that were drawn.
    """
    mend = "train on the rows as the policy wrote them"
    try:
        row = json.loads(line)
        prompt, reply = list(row["prompt_tokens"]), list(row["tokens"])
        if digest_of_row(row) != row["digest"]:
            cause = "its token ids, log-probabilities or policy are not those that were drawn"
            raise TrainerError(f"{place} is refused: {cause}; a text that is tokenized again is another reply", mend)
        values: dict[str, Floats] = {}
        for name in PER_TOKEN:
            values[name] = np.array(row.get(name) or [0.0] * len(reply), dtype=np.float32)
            if values[name].shape != (len(reply),):
                raise TrainerError(
                    f"{place} is refused: {name} has {values[name].size} numbers, not {len(reply)}", mend
                )
        labels = np.array([False] * len(prompt) + [True] * len(reply), dtype=np.bool_)
        tokens, version = np.array(prompt + reply, dtype=np.int32), int(row["policy_version"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TrainerError(f"{place} is not a rollout: {error!r}"[:300], mend) from None
    return Rollout(
        tokens=tokens,
        labels=labels,
        engine=values["logprobs"],
        old=values["policy_logprobs"],
        reference=values["reference_logprobs"],
        advantages=values["advantages"],
        values=values["values"],
        returns=values["returns"],
        version=version,
        row=row,
    )


def joined(rollouts: Sequence[Rollout], name: str) -> Floats:
    """The numbers a token of several rollouts, one after the other, as a `Layout` selects them in order."""
    return np.concatenate([getattr(rollout, name) for rollout in rollouts])
