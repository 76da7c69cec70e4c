"""Faults in the middle of training runs, and whether each run still ends in the bits of one that was never stopped.

    uv run python -m benchmarks.resume_campaign [--trials 200] [--seed 0] [--folder FOLDER]

Each trial is a run that is stopped one to three times and then finished. A stop is of one kind, at an event that the
seed chooses: an event is an optimiser step, a flush of a file to the disk or a renaming, so it may lie in the middle of
a checkpoint.

    kill     SIGKILL
    stop     SIGTERM or SIGINT: the process must save its state and exit with code 75
    full     no byte can be written from the event on: the process must say so and exit with code 2
    damage   SIGKILL, then damage to a file of the newest checkpoint: a bit flipped, the file cut short or deleted, or a
             number in state.json changed

At its end, model.pt and optimizer.pt must equal those of the reference byte for byte, the rows of metrics.jsonl those
of the reference in everything but times, its checkpoints must be those of the reference, and nothing half written may
lie in its folder. The models are a dense decoder and a mixture of experts in microbatches.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trainers.core.checkpoint import MODEL, OPTIMISER, STATE, checkpoint_folders
from trainers.process.errors import EXIT_RESUME, EXIT_USER_ERROR, exit_code
from trainers.process.files import read_jsonl

KINDS = ("kill", "stop", "full", "damage")
MODELS: dict[str, dict[str, Any]] = {
    "dense": {},
    "mixture": {
        "model": {"kind": "moe", "experts": 4, "experts_per_token": 2, "hidden": 12, "load_balancing_weight": 1.0},
        "microbatch": 5,
    },
}
RUN = {"preset": "30k-0.2xC", "steps": 12, "log_every": 2, "evaluate_every": 4, "checkpoint_every": 3, "threads": 1}
WHICH = ("dense", "dense", "dense", "mixture")
TIMES = ("tokens_per_s", "elapsed_s")
EVENTS = 42
"""About the events of a whole run, so that a stop falls anywhere in it."""


@dataclass
class Outcomes:
    """What became of the trials."""

    stops: Counter[str] = field(default_factory=Counter)
    """Stops by kind and exit, such as "stop: exit 75"."""
    failures: list[str] = field(default_factory=list)
    """A line a trial that did not end as the reference."""


def write_shards(folder: Path) -> Path:
    """A small data set in the shard format: 400 sequences of 17 tokens to train on and 40 held out."""
    from spark_jobs.shards.format import write_dataset, write_manifest, write_shard

    draw = np.random.default_rng(0)
    for split, count in (("train", 400), ("heldout", 40)):
        tokens = draw.integers(1, 64, (count, 17)).astype(np.uint16)
        (folder / split).mkdir(parents=True)
        line = write_shard(folder / split, split, 0, tokens, text_bytes=3 * tokens.size, sources={"made": tokens.size})
        write_manifest(folder / split, [line])
    write_dataset(folder, fingerprint="made", vocab_size=64, sequence_length=16, eot=0, seed=0)
    return folder


def in_process(work: Callable[[], object]) -> tuple[int, str]:
    """Run `work` in a forked process as a command does; returns its exit status as the shell's, and its stderr."""
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            sys.stdout, sys.stderr = io.StringIO(), os.fdopen(writing, "w")
            code = exit_code(work)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        errors = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), errors


def stopped_at(number: int, stop: Callable[[], None]) -> None:
    """Call `stop` before event `number` of this process."""
    from trainers.core.adamw import AdamW

    count = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == number:
                stop()
            return function(*arguments, **options)

        return call

    AdamW.step = counted(AdamW.step)  # ty: ignore[invalid-assignment]
    os.fsync = counted(os.fsync)  # ty: ignore[invalid-assignment]
    Path.rename = counted(Path.rename)  # ty: ignore[invalid-assignment]


def _signal(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def _fill_disk() -> None:
    """From here on, every write fails with EFBIG, as it does with ENOSPC on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def stop_once(kind: str, draw: random.Random, train: Callable[[], object], out: Path) -> str:
    """Start the run, stop it, and check how it stopped; returns "KIND: exit CODE".

    Raises:
        AssertionError: it stopped in another way than it should have.
    """
    number = draw.randrange(1, EVENTS)
    asked = draw.choice((signal.SIGTERM, signal.SIGINT))
    stop = {"stop": lambda: _signal(asked), "full": _fill_disk}.get(kind, lambda: _signal(signal.SIGKILL))

    def work() -> None:
        stopped_at(number, stop)
        train()

    code, errors = in_process(work)
    expected = {"stop": EXIT_RESUME, "full": EXIT_USER_ERROR}.get(kind, -signal.SIGKILL)
    assert code in (0, expected), f"{kind} at event {number}: exit {code}, {errors.strip()[-500:]}"
    if kind == "full" and code:
        assert errors.startswith("error: ") and errors.count("\n") == 2, f"full at event {number}: {errors[-500:]}"
        left = [path.name for path in out.glob(".*") if path.name != ".lock"]
        assert not left, f"full at event {number}: {left} left"
    if kind == "damage":
        damage_newest(out, draw)
    return f"{kind}: exit {code}"


def damage_newest(out: Path, draw: random.Random) -> None:
    """Damage a file of the newest checkpoint, and forget a result."""
    (out / "result.json").unlink(missing_ok=True)
    folders = checkpoint_folders(out)
    if not folders:
        return
    path = folders[-1] / draw.choice((MODEL, OPTIMISER, STATE))
    how = draw.choice(("bit", "cut", "gone", "number"))
    content = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(content[: draw.randrange(len(content))])
    elif how == "number" and path.name == STATE:
        state = json.loads(content)
        state["loader"]["consumed"] += 1
        path.write_text(json.dumps(state))
    else:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)


def differences(out: Path, reference: Path) -> list[str]:
    """How a finished run differs from the reference."""
    found = []
    names = [[folder.name for folder in checkpoint_folders(place)] for place in (out, reference)]
    if names[0] != names[1]:
        return [f"checkpoints {names[0]}, not {names[1]}"]
    for file in (MODEL, OPTIMISER):
        if (out / names[0][-1] / file).read_bytes() != (reference / names[1][-1] / file).read_bytes():
            found.append(f"another {file}")
    rows = [[_timeless(row) for row in read_jsonl(place / "metrics.jsonl")] for place in (out, reference)]
    if rows[0] != rows[1]:
        found.append("other metrics")
    left = [path.name for path in out.glob(".*") if path.name != ".lock"]
    return found + ([f"{left} left"] if left else [])


def _timeless(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in TIMES}


def campaign(folder: Path, trials: int, seed: int, tell: Callable[[str], None] = lambda _: None) -> Outcomes:
    """Run the trials in `folder`; trial i is the same whatever their number."""
    import trainers.pretrain  # noqa: F401  loaded once, for all the processes forked from this one

    outcomes = Outcomes()
    shards = write_shards(folder / "shards")
    references = {name: folder / f"reference-{name}" for name in MODELS}
    for name, place in references.items():
        code, errors = in_process(partial(_train, name, shards, place))
        assert code == 0, errors
    for trial in range(trials):
        draw = random.Random(f"{seed} {trial}")
        name, out = draw.choice(WHICH), folder / f"trial-{trial}"
        kinds = [KINDS[trial % len(KINDS)], *(draw.choice(KINDS) for _ in range(draw.randrange(3)))]
        train = partial(_train, name, shards, out)
        try:
            for kind in kinds:
                outcomes.stops[stop_once(kind, draw, train, out)] += 1
            code, errors = in_process(train)
            assert code == 0, f"the end: exit {code}, {errors.strip()[-500:]}"
            problems = differences(out, references[name])
        except AssertionError as error:
            problems = [str(error)]
        if problems:
            outcomes.failures.append(f"trial {trial}, {name}, {' then '.join(kinds)}: {'; '.join(problems)}")
        else:
            shutil.rmtree(out)
        tell(f"{trial + 1} of {trials} trials, {len(outcomes.failures)} failed")
    return outcomes


def _train(name: str, shards: Path, out: Path) -> None:
    from trainers.pretrain import pretrain
    from trainers.pretraining.config import RunConfig
    from trainers.process.config_file import from_mapping

    options = RUN | MODELS[name] | {"shards": str(shards), "out": str(out), "device": "cpu", "workers": 1}
    pretrain(from_mapping(options, RunConfig, "campaign"))


def main() -> int:
    """Command line; returns 1 if a trial failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resume_campaign", description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where runs are written; failed ones stay (default: a new folder)")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="resume-"))
    outcomes = campaign(
        folder, given.trials, given.seed, lambda line: print(line, end="\r", file=sys.stderr, flush=True)
    )
    print(file=sys.stderr)
    for what, count in sorted(outcomes.stops.items()):
        print(f"{what:<18} {count}")
    print(f"{given.trials - len(outcomes.failures)} of {given.trials} runs ended in the bits of the reference")
    for failure in outcomes.failures:
        print(failure)
    if not outcomes.failures and given.folder is None:
        shutil.rmtree(folder)
    return bool(outcomes.failures)


if __name__ == "__main__":
    sys.exit(main())
