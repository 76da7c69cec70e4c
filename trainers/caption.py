"""Train a model of pictures and text: python -m trainers.caption --config caption.yaml

    caption.yaml  sources: {cap: {group: captions, shards: [pixmo/cap-*.tar]},
                            points: {group: pointing, shards: [pixmo/points-*.tar]}}
                  groups: {captions: 0.6, pointing: 0.4}
                  vision: siglip            (a folder of CLIP or SigLIP; left out: a new transformer)
                  language: qwen3           (a folder of a language model; left out: a new decoder)
                  out: runs/captioner

A second run with `stage: mixture` and `model: runs/captioner` goes on with a mixture of all data sets. The run folder
is that of every training command: it resumes, and `python -m trainers.serve` serves it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainers.process.command import run_from_config
from trainers.process.trackers import check_tracker
from trainers.vision.config import CODE_VERSION, CaptionConfig, SourceConfig, optimiser_of

if TYPE_CHECKING:
    from trainers.vision.objective import Pixmo


def caption(config: CaptionConfig) -> dict[str, Any]:
    """Train a model of pictures, or continue to, and return the contents of result.json.

    Raises:
        TrainerError: a model or shard cannot be read, a field is wrong, or the loss diverged.
    """
    check_tracker(config.tracker)
    from trainers.core.loop import train
    from trainers.core.plan import Plan
    from trainers.data.mixing import MixedLoader
    from trainers.process.files import canonical_json, sha256_text
    from trainers.vision.mixture import Part, rates
    from trainers.vision.objective import Captioning
    from trainers.vision.opening import begin
    from trainers.vision.shape import as_mapping

    named = config.sources_of(config.sources, "sources")
    sources = {name: _open(source) for name, source in named.items()}
    heldout = {name: _open(each) for name, each in config.sources_of(config.heldout, "heldout").items()}
    parts = [
        Part(group=named[name].group, size=len(source), most=named[name].most, factor=named[name].factor)
        for name, source in sources.items()
    ]
    shares = rates(config.groups, parts)
    beginning = begin(config, _texts(sources))
    optimiser = optimiser_of(config)
    shape = as_mapping(beginning.shape)
    identity = {
        "code": CODE_VERSION,
        "model": shape["decoder"],
        "vision_language": shape,
        "init": _digest(beginning.weights),
        "tokenizer": sha256_text(beginning.tokenizer.text),
        "sources": [
            [name, source.fingerprint, share] for (name, source), share in zip(sources.items(), shares, strict=True)
        ],
        "heldout": [[name, source.fingerprint] for name, source in heldout.items()],
        "optimiser": optimiser.identity,
        **{name: config.of_stage(name) for name in ("rates", "warmups", "weighting", "dropout")},
        **{
            name: getattr(config, name)
            for name in ("stage", "blind", "grounding", "length", "batch", "steps", "seed", "dtype")
        },
        **({"aiming": config.aiming} if config.aiming else {}),
    }
    loader: MixedLoader[Any] = MixedLoader(list(sources.values()), shares, config.seed)
    plan = Plan(
        config=config,
        name=config.run or "caption",
        optimiser=optimiser,
        batch=config.batch,
        steps=config.steps,
        identity=identity,
        fingerprint=sha256_text(canonical_json(identity)),
        parts=2,
    )
    objective = Captioning(config, beginning, loader, heldout, optimiser=optimiser, steps=config.steps)
    return train(plan, objective, loader)


def _open(source: SourceConfig) -> Pixmo:
    from trainers.vision.shards import Chats, PictureShards

    if source.chats:
        return Chats(source.chats)
    return PictureShards(source.shards, source.styles, source.datasets, joined=source.joined)


def _texts(sources: Mapping[str, Pixmo]) -> Iterator[str]:
    """The texts of all annotations, as the model reads and writes them; only a tokenizer that is made reads them."""
    import random

    from trainers.vision.words import answer, question, turn

    for source in sources.values():
        chance = random.Random(0)
        for said in source.annotations:
            for each in said:
                yield f"{turn(question(each, chance))} {answer(each)}"


def _digest(weights: Mapping[str, Any]) -> str | None:
    """Hex SHA-256 of the weights that are taken over, by name; None where all are drawn."""
    import hashlib

    if not weights:
        return None
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().float().contiguous().numpy())
    return digest.hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return run_from_config(CaptionConfig, caption, arguments)


if __name__ == "__main__":
    sys.exit(main())
