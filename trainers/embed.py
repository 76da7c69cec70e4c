"""Train an encoder on pairs of texts: python -m trainers.embed --config embed.yaml

    embed.yaml   encoder: minilm          (a folder of sentence-transformers; "new": a small one, made from the texts)
                 data: [pairs.jsonl]      (rows {"query": ..., "positive": ..., "negatives": [...]})
                 out: runs/encoder
                 adapters: {rank: 8}      (adapters in place of all weights)
                 trains: query            (the encoder of queries alone; documents keep their vectors)

The run folder is that of every training command: it resumes. `model` in it is the trained encoder as a folder of
sentence-transformers, or, with adapters, `adapter` is what peft and sentence-transformers load beside the encoder.
With a list `runs`, whose entries replace fields of the file, several encoders are trained one after the other.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from trainers.embedding.config import CODE_VERSION, EmbedConfig, optimiser_of, read_runs
from trainers.process.command import run_from_config
from trainers.process.errors import TrainerError
from trainers.process.optional import need
from trainers.process.progress import pipes_session
from trainers.process.trackers import check_tracker

MODEL, ADAPTER, BASE, VECTORS = "model", "adapter", "base", "documents.safetensors"
BELOW = 0.95
"""A mined negative has at most this share of the positive's similarity."""


def embed(config: EmbedConfig) -> dict[str, Any]:
    """Train an encoder, or continue to, export it, and return the contents of result.json.

    Raises:
        TrainerError: encoder or data cannot be read, a package is missing, or the loss diverged.
    """
    check_tracker(config.tracker)
    need("sentence_transformers", work="training an encoder")
    import torch

    from trainers.core.checkpoint import chosen, digest_of
    from trainers.core.loop import train
    from trainers.core.plan import Plan
    from trainers.embedding.contrastive import Contrastive
    from trainers.embedding.encoder import Trainable, adapt, export, open_encoder
    from trainers.embedding.pairs import read_pairs
    from trainers.embedding.small import base_encoder
    from trainers.process.files import canonical_json, sha256_text

    if config.threads:
        torch.set_num_threads(config.threads)
    out = Path(config.out)
    pairs = read_pairs(config.data, fewest=2)
    heldout = read_pairs(config.heldout) if config.heldout else None
    texts = pairs.documents + [pair.query for pair in pairs.pairs]
    folder = base_encoder(config.encoder, out / BASE, texts, config.seed)
    encoder = open_encoder(folder, config.length)
    digest = digest_of(encoder)
    found = pairs.fingerprint
    frozen = None
    if config.trains == "query" or config.mined:
        documents = list(dict.fromkeys(pairs.documents + (heldout.documents if heldout else [])))
        frozen = _frozen(config, encoder, digest, documents)
        if config.mined:
            pairs = pairs.with_negatives(_mined(config, encoder, pairs, frozen))
    if config.lora is not None:
        adapt(encoder, config.lora, config.seed)
    steps = config.steps or max(1, -(-round(config.epochs * len(pairs)) // config.batch))
    optimiser = optimiser_of(config, steps)
    identity = {
        "code": CODE_VERSION,
        "init": digest,
        "data": found,
        "heldout": heldout.fingerprint if heldout else None,
        "optimiser": optimiser.identity,
        "adapters": {**asdict(config.lora), "targets": list(config.lora.targets)} if config.lora else None,
        "length": encoder.max_seq_length,
        "steps": steps,
        **{name: getattr(config, name) for name in DECIDE},
    }
    plan = Plan(
        config=config if config.threads else replace(config, threads=torch.get_num_threads()),
        name=config.run or "embed",
        optimiser=optimiser,
        batch=config.batch,
        steps=steps,
        identity=identity,
        fingerprint=sha256_text(canonical_json(identity)),
        lineage=({"kind": "weights", "model": digest, "path": str(folder)},),
    )
    objective = Contrastive(config, encoder, pairs, heldout, frozen if config.trains == "query" else None)
    result = train(plan, objective, objective.loader)
    model = Trainable(encoder)
    chosen(out).load_model(model)
    place = out / (ADAPTER if config.lora else MODEL)
    if not place.is_dir():
        export(model.encoder.to("cpu"), place, adapters=config.lora is not None)
    return result


DECIDE = ("trains", "temperature", "batch", "negatives", "mined", "seed", "dtype")
"""Fields that decide the weights as they are."""


def _frozen(config: EmbedConfig, encoder: Any, digest: str, texts: Sequence[str]) -> dict[bytes, Any]:
    """The vectors of documents by the encoder that the run begins with: given, kept from before, or computed."""
    from trainers.embedding.encoder import Trainable, vectors_of
    from trainers.embedding.vectors import completed, key_of, read_vectors, write_vectors

    kept = Path(config.out) / VECTORS
    found = dict(_given(config.vectors, digest)) if config.vectors else {}
    if kept.is_file():
        found |= read_vectors(kept, digest)
    if any(key_of(text) not in found for text in texts):
        model = Trainable(encoder)
        found = completed(found, texts, lambda some: vectors_of(model, some, "document", "cpu"))
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_vectors(kept, found, digest)
    return found


@lru_cache(maxsize=1)
def _given(path: str, digest: str) -> dict[bytes, Any]:
    from trainers.embedding.vectors import read_vectors

    return read_vectors(Path(path), digest)


def _mined(config: EmbedConfig, encoder: Any, pairs: Any, frozen: dict[bytes, Any]) -> list[list[str]]:
    """Hard negatives of each pair: the most similar documents that are not too similar to be answers themselves."""
    import numpy as np

    from trainers.embedding.encoder import Trainable, vectors_of
    from trainers.embedding.vectors import key_of

    documents = pairs.documents
    vectors = np.stack([frozen[key_of(text)] for text in documents])
    place = {text: number for number, text in enumerate(documents)}
    queries = vectors_of(Trainable(encoder), [pair.query for pair in pairs.pairs], "query", "cpu")
    found = []
    for pair, query in zip(pairs.pairs, queries, strict=True):
        scores = vectors @ query
        own = scores[place[pair.positive]]
        allowed = scores <= own - (1 - BELOW) * abs(own)
        answers = pairs.answers[pair.query] | set(pair.negatives)
        order = np.argsort(-scores, kind="stable")
        names = (documents[number] for number in order if allowed[number])
        found.append([text for text, _ in zip((n for n in names if n not in answers), range(config.mined))])  # noqa: B905
    return found


def embed_all(runs: Sequence[EmbedConfig]) -> list[dict[str, Any]]:
    """Train encoders one after the other; see `embed`."""
    if not runs:
        raise TrainerError("the file has no runs", "give one at least")
    with pipes_session():
        return [embed(run) for run in runs]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return run_from_config(EmbedConfig, embed_all, arguments, read_runs)  # ty: ignore[invalid-argument-type]


if __name__ == "__main__":
    sys.exit(main())
