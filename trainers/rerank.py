"""Train a reranker on pairs of texts: python -m trainers.rerank --config rerank.yaml

    rerank.yaml  encoder: minilm          (a folder of transformers; "new": a small one, made from the texts)
                 data: [pairs.jsonl]      (rows {"query": ..., "positive": ..., "negatives": [...]})
                 out: runs/reranker
                 heldout: [heldout.jsonl] (queries whose order is measured before and after)

The run folder is that of every training command: it resumes. `model` in it is the trained reranker as a folder of
sentence-transformers' CrossEncoder.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainers.embedding.config import RERANK_VERSION, RerankConfig, reranker_optimiser
from trainers.process.command import run_from_config
from trainers.process.optional import need
from trainers.process.trackers import check_tracker

MODEL, BASE = "model", "base"


def rerank(config: RerankConfig) -> dict[str, Any]:
    """Train a reranker, or continue to, export it, and return the contents of result.json.

    Raises:
        TrainerError: encoder or data cannot be read, a package is missing, or the loss diverged.
    """
    check_tracker(config.tracker)
    need("sentence_transformers", work="training a reranker")
    import torch

    from trainers.core.checkpoint import chosen, digest_of
    from trainers.core.loop import train
    from trainers.core.plan import Plan
    from trainers.embedding.cross_encoder import Scorer, open_cross_encoder
    from trainers.embedding.encoder import export
    from trainers.embedding.listwise import Candidates, Listwise, with_hard_negatives
    from trainers.embedding.pairs import read_pairs
    from trainers.embedding.small import base_encoder
    from trainers.process.files import canonical_json, sha256_text

    if config.threads:
        torch.set_num_threads(config.threads)
    out = Path(config.out)
    given = read_pairs(config.data, fewest=2)
    heldout = read_pairs(config.heldout) if config.heldout else None
    texts = given.documents + [pair.query for pair in given.pairs]
    folder = base_encoder(config.encoder, out / BASE, texts, config.seed)
    model = open_cross_encoder(folder, config.seed, config.length)
    pairs = with_hard_negatives(given, config.group - 1, config.seed)
    steps = config.steps or max(1, -(-round(config.epochs * len(pairs)) // config.batch))
    optimiser = reranker_optimiser(config, steps)
    identity = {
        "code": RERANK_VERSION,
        "init": digest_of(model),
        "data": given.fingerprint,
        "heldout": heldout.fingerprint if heldout else None,
        "optimiser": optimiser.identity,
        "length": model.max_seq_length,
        "steps": steps,
        **{name: getattr(config, name) for name in DECIDE},
    }
    plan = Plan(
        config=config if config.threads else replace(config, threads=torch.get_num_threads()),
        name=config.run or "rerank",
        optimiser=optimiser,
        batch=config.batch,
        steps=steps,
        identity=identity,
        fingerprint=sha256_text(canonical_json(identity)),
        lineage=({"kind": "weights", "model": identity["init"], "path": str(folder)},),
    )
    candidates = Candidates(heldout, given.documents, config.candidates) if heldout else None
    objective = Listwise(model, pairs, candidates, seed=config.seed, batch=config.batch)
    result = train(plan, objective, objective.loader)
    scorer = Scorer(model)
    chosen(out).load_model(scorer)
    if not (out / MODEL).is_dir():
        export(scorer.encoder.to("cpu"), out / MODEL, adapters=False)
    return result


DECIDE = ("batch", "group", "candidates", "seed", "dtype")
"""Fields that decide the weights, or what is measured, as they are."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return run_from_config(RerankConfig, rerank, arguments)


if __name__ == "__main__":
    sys.exit(main())
