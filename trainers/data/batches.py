"""Which sequences each step of a run read, worked out again from what decides it.

    python -m trainers.data.batches --run runs/70k-1xC --shards path/of/shards [--step 12]

The order of the data is a function of seed, batch and the shards, all three named in the run's config.json, so a
record of 10^12 tokens needs no more room than that. A row is a step and shard: {"step", "source", "shard",
"sequences"}, in the order in which the step took them from the shard.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainers.data.loader import ShuffledLoader, SkippingLoader
from trainers.data.mixing import MixedLoader, check_alike
from trainers.data.shards import Sequences, Split, check_manifest
from trainers.process.errors import TrainerError, exit_code
from trainers.process.run_folder import CONFIG, read_config_json

SHUFFLED = "by source"
"""In the identity of a run with several sources, each of which has an order of its own. Earlier runs lack it."""

ShardLoader = ShuffledLoader[Sequences] | MixedLoader[Sequences] | SkippingLoader[Sequences]


def batch_rows(loader: ShardLoader, batch: int, steps: Sequence[int], data_from: int = 0) -> Iterator[dict[str, Any]]:
    """A row a step (from 1) and shard; `source` numbers the loader's sources.

    Args:
        data_from: the step after which the loader's first batch was read: `data_from` of the identity's `branch`.
    """
    splits = [sequences.split for sequences in loader.sources]
    firsts = [np.cumsum([0, *(shard.num_sequences for shard in split.shards)]) for split in splits]
    for step in steps:
        source, item = loader.places((step - 1 - data_from) * batch, batch)
        for i in np.unique(source):
            items = item[source == i]
            shard = np.searchsorted(firsts[i], items, side="right") - 1
            for s in np.unique(shard):
                found = {"shard": splits[i].shards[s].shard, "sequences": items[shard == s] - firsts[i][s]}
                yield {"step": step, "source": int(i)} | found


def loader_of(identity: Mapping[str, Any], splits: Sequence[Split]) -> ShardLoader:
    """The loader of the run whose config.json holds `identity`.

    Raises:
        TrainerError: the splits are not those that the run read.
    """
    sources = identity.get("sources")
    weights = [weight for _, weight in sources] if sources else [1.0]
    wanted = [digest for digest, _ in sources] if sources else [identity["train"]]
    if [split.digest for split in splits] != wanted:
        raise TrainerError(
            f"{', '.join(str(split.folder) for split in splits)}: not the shards that the run read",
            "give the shards, all and in the order of its configuration, whose digests config.json names",
        )
    check_alike(splits)
    read = [Sequences(split) for split in splits]
    loader = _whole_loader(identity, read, weights if sources else None)
    return SkippingLoader(loader, identity["batch"], identity["skip"]) if "skip" in identity else loader


def _whole_loader(
    identity: Mapping[str, Any], read: list[Sequences], weights: list[float] | None
) -> ShuffledLoader[Sequences] | MixedLoader[Sequences]:
    """The loader with all batches."""
    seed = identity["seed"]
    if weights is None:
        return ShuffledLoader(read[0], seed)
    if identity.get("shuffled") == SHUFFLED:
        return MixedLoader(read, weights, seed)
    return MixedLoader.of_one_seed(read, weights, seed)


def steps_of(identity: Mapping[str, Any], step: int = 0) -> Sequence[int]:
    """All steps of a run, or the one that is asked for; TrainerError when the run has none such.

    The steps of a branch begin after the one where it left its run.
    """
    first = identity.get("branch", {}).get("step", 0) + 1
    if step and not first <= step <= identity["steps"]:
        raise TrainerError(f"the run has no step {step}", f"choose one from {first} to {identity['steps']}")
    return (step,) if step else range(first, identity["steps"] + 1)


def rows_of(identity: Mapping[str, Any], splits: Sequence[Split], step: int = 0) -> Iterator[dict[str, Any]]:
    """The rows of the run whose config.json holds `identity`: of all its steps, or of one.

    Raises:
        TrainerError: the splits are not those that the run read, or it has no such step.
    """
    data_from = identity.get("branch", {}).get("data_from", 0)
    return batch_rows(loader_of(identity, splits), identity["batch"], steps_of(identity, step), data_from)


def print_batches(run: Path, shards: Sequence[Path], step: int) -> None:
    """Print the rows of a run as JSON lines."""
    if not (run / CONFIG).is_file():
        raise TrainerError(f"{run} holds no run", "give the `out` folder of a run")
    identity = read_config_json(run)["identity"]
    for row in rows_of(identity, [check_manifest(folder / "train", digests=False) for folder in shards], step):
        print(json.dumps(row | {"sequences": row["sequences"].tolist()}))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m trainers.data.batches", description="What each step of a run read."
    )
    parser.add_argument("--run", type=Path, required=True, help="its `out` folder")
    parser.add_argument("--shards", type=Path, required=True, action="append", help="again for each further source")
    parser.add_argument("--step", type=int, default=0, help="one step alone")
    given = parser.parse_args(arguments)
    return exit_code(lambda: print_batches(given.run, given.shards, given.step))


if __name__ == "__main__":
    sys.exit(main())
