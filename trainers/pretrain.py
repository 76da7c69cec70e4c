"""Train a decoder on shards: python -m trainers.pretrain --config run.yaml

    run.yaml     preset: 70k-1xC
                 shards: path/of/shards      (a folder with train/, heldout/ and dataset.json)
                 out: runs/70k-1xC

The run folder then holds config.json, metrics.jsonl, checkpoints step_00000100/ and, at the end, result.json. Started
again it resumes from its newest whole checkpoint, to the same weights as if it had never stopped; a finished run
returns at once. With `torchrun --nproc-per-node R -m trainers.pretrain` R ranks share every batch; a run may continue
with another number of them, with the same data in the same order.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainers.core.checkpoint import digest_of
from trainers.core.loading import load_decoder
from trainers.core.loop import train
from trainers.core.plan import Plan
from trainers.data.batches import loader_of
from trainers.data.mixing import SourcedLoader
from trainers.data.shards import Sequences, check_manifest
from trainers.pretraining.config import RunConfig, named_sources, parts_of, resolve
from trainers.pretraining.continuing import check_tokenizer, continuing, lineage_of
from trainers.pretraining.objective import Pretraining
from trainers.process.command import run_from_config
from trainers.process.trackers import check_tracker


def pretrain(config: RunConfig) -> dict[str, Any]:
    """Train, or continue to train, and return the contents of result.json.

    Raises:
        TrainerError: shards are missing or changed, a field does not fit, or the loss diverged.
    """
    check_tracker(config.tracker)
    sources = [(check_manifest(at, digests=config.verify_digests), weight) for at, weight in named_sources(config)]
    heldout = check_manifest(Path(config.shards) / "heldout", digests=config.verify_digests)
    initial = load_decoder(Path(config.init)) if config.init else None
    begun = (initial.config, digest_of(initial)) if initial is not None else None
    found = continuing(config)
    check_tokenizer(config, sources[0][0])
    resolved = resolve(config, sources[0][0], heldout, sources if config.sources else (), begun, found=found)
    plan = Plan(
        config=config,
        name=config.run or config.preset,
        optimiser=resolved.preset.optimiser,
        batch=resolved.preset.batch,
        steps=resolved.preset.steps,
        identity=resolved.identity,
        fingerprint=resolved.fingerprint,
        parts=parts_of(resolved.preset),
        start=found.start(resolved.identity) if found is not None else None,
        lineage=lineage_of(config, found, begun[1] if begun else None),
    )
    objective = Pretraining(resolved, Sequences(heldout), sources[0][0].eot, initial)
    loader = loader_of(resolved.identity, [split for split, _ in sources])
    return train(plan, objective, SourcedLoader(loader) if len(sources) > 1 else loader)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return run_from_config(RunConfig, pretrain, arguments)


if __name__ == "__main__":
    sys.exit(main())
