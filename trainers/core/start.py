"""What a run takes over from a checkpoint of another run, and the record of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainers.core.checkpoint import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Start:
    """A checkpoint that a run begins with. Its weights are the objective's to take over, but those of a branch."""

    checkpoint: Checkpoint
    """Its moments are taken over in any case."""
    branch: bool
    """Whether the run goes on at the checkpoint's step: with its weights, its objective's state and its losses."""
    consumed: int = 0
    """Samples of the data that were given before."""


def ancestor(kind: str, found: Checkpoint, **more: Any) -> dict[str, Any]:
    """An entry of a lineage: what was taken over from which checkpoint.

    A lineage is a list of these, the oldest first. state.json and result.json hold that of their run.
    """
    return {
        "kind": kind,
        "run": found.state["fingerprint"],
        "step": found.step,
        "tokens": found.state.get("tokens"),
        "model": found.model_sha256,
        "path": str(found.folder),
        **more,
    }


def lineage_with(entry: dict[str, Any], found: Checkpoint) -> tuple[dict[str, Any], ...]:
    """The lineage of a run that begins with `found`: the checkpoint's own, and the entry."""
    return (*found.state.get("lineage", ()), entry)
