"""The runs of a comparison: every mixture, size and seed, trained and evaluated on the same questions.

The name of a run's folder is a fingerprint of everything that decides its weights. Comparisons that need the same run
share it, and a finished run is not trained again.
"""

from __future__ import annotations

import contextvars
import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from catalog.fingerprint import fingerprint
from catalog.lake import WHOLE, Lake
from catalog.progress import track
from catalog.settings import Settings
from dagster_project.engine.side_by_side import parallel_runs
from dagster_project.engine.trainer_process import run_trainer
from dagster_project.families.dclm.recipes import SEQUENCE_LENGTH
from dagster_project.families.models.training import shard_folder
from spark_jobs.dclm.compared_mixtures import Dataset

GIGA = 1e9
STARTING = 5e10
"""The time that a run takes to start and to answer questions, as FLOPs of training on one core (an estimate)."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What every run is measured on."""

    identity: str
    """Fingerprint of the questions."""
    questions: Path
    """questions.npz."""
    shards: Path
    """A folder of shards with the split heldout."""


def lake_questions(settings: Settings) -> Asked:
    """Return the questions and the held-out shards of the lake."""
    from spark_jobs.evals.continuations import QUESTIONS, questions_folder

    lake = Lake.of(settings)
    identity = lake.written("evals.examples")[WHOLE].fingerprint
    return Asked(identity=identity, questions=questions_folder(lake, identity) / QUESTIONS, shards=shard_folder(lake))


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run of a comparison."""

    dataset: Dataset
    name: str
    """Size and multiple, size-multiplexC."""
    seed: int
    folder: Path
    flops: float

    @property
    def cost(self) -> float:
        """The estimated cost of the run, in FLOPs, including its start and its answers."""
        return self.flops + STARTING

    @property
    def label(self) -> str:
        """The name of the run on the screen: mixture, scale and seed."""
        return f"{self.dataset.mixture.name} {self.name} seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The results of a finished run."""

    run: Run
    result: dict[str, Any]
    """The result.json of the trainer."""
    tasks: dict[str, dict[str, float]]
    """`bits_per_byte`, `accuracy` and the number of questions `n`, by task."""


def planned(lake: Lake, datasets: Iterable[Dataset], names: Iterable[str], seeds: int) -> list[Run]:
    """Return a run for every data set, name and seed."""
    from trainers.pretraining.config import CODE_VERSION
    from trainers.pretraining.presets import plan, preset

    root = lake.folder("ladder.comparison_runs", "runs")
    runs = []
    for dataset in datasets:
        for name in names:
            shape = (name, dataset.vocab_size, SEQUENCE_LENGTH)
            decided = fingerprint(CODE_VERSION, asdict(preset(*shape)))
            flops = plan(*shape)["flops"]
            for seed in range(seeds):
                folder = root / dataset.fingerprint / f"{name}-seed{seed}-{decided}"
                runs.append(Run(dataset=dataset, name=name, seed=seed, folder=folder, flops=flops))
    return runs


def train_all(settings: Settings, runs: list[Run], asked: Asked, log: Callable[[str], None]) -> list[Measured]:
    """Train and evaluate unfinished runs, `[trainer] parallel_runs` at a time and the longest first.

    Args:
        settings: The settings of the project.
        runs: The runs that `planned` returns.
        asked: The questions and held-out shards of all runs.
        log: Receives a line of text for every run that ends, with the estimated time left.

    Returns:
        The results of all runs, in the order of `runs`.

    Raises:
        WatershedError: A run failed. Runs that finished before are kept.
    """
    questions = asked.identity
    missing = [run for run in runs if _finished(run, questions) is None]
    if len(missing) < len(runs):
        log(f"{len(runs) - len(missing)} of {len(runs)} runs were finished before")
    whole = sum(run.cost for run in missing)
    clock = time.monotonic()
    with (
        track("training and evaluating", round(whole / GIGA), "GFLOPs") as task,
        ThreadPoolExecutor(parallel_runs(settings)) as pool,
    ):
        futures = {
            pool.submit(contextvars.copy_context().run, _make, settings, run, asked): run
            for run in sorted(missing, key=lambda run: -run.cost)
        }
        try:
            for count, future in enumerate(as_completed(futures), start=1):
                future.result()
                run = futures[future]
                task.advance(run.cost / GIGA, run.label)
                log(_line(run, questions, f"{count}/{len(missing)}", _left(clock, task.done * GIGA / whole)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    found = [_finished(run, questions) for run in runs]
    return [each for each in found if each is not None]


def _make(settings: Settings, run: Run, asked: Asked) -> None:
    device = settings.trainer.device
    config = {
        "train": {
            "preset": run.name,
            "seed": run.seed,
            "shards": str(asked.shards),
            "sources": [{"shards": str(run.dataset.folder), "weight": 1.0}],
            "out": str(run.folder),
            "keep_checkpoints": 1,
            "device": device,
            "workers": 0 if parallel_runs(settings) == 1 else 1,
        },
        "evaluate": {
            "questions": str(asked.questions),
            "out": str(_answers(run, asked.identity)),
            "device": device,
        },
    }
    run_trainer("trainers.replicate", config, run.label, settings.trainer.launcher)


def _answers(run: Run, questions: str) -> Path:
    return run.folder / "answers" / questions


def _finished(run: Run, questions: str) -> Measured | None:
    """Return the results of a run, or None if training or answers are incomplete or of different weights."""
    from trainers.process.run_folder import finished_result

    result = finished_result(run.folder)
    path = _answers(run, questions) / "summary.json"
    if result is None or not path.is_file():
        return None
    summary = json.loads(path.read_text(encoding="utf-8"))
    if summary["checkpoint_sha256"] != result["checkpoint_sha256"]:
        return None
    return Measured(run=run, result=result, tasks={task["task"]: task for task in summary["tasks"]})


def _left(clock: float, share: float) -> str:
    seconds = (time.monotonic() - clock) * (1 - share) / share
    if seconds < 1:
        return ""
    return f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"


def _line(run: Run, questions: str, count: str, left: str) -> str:
    found = _finished(run, questions)
    assert found is not None
    loss = sum(task["bits_per_byte"] for task in found.tasks.values()) / len(found.tasks)
    return f"{count:>6}  {run.label:<40} {loss:.4f} bits per byte  {found.result['seconds']:6.1f} s   {left}"
