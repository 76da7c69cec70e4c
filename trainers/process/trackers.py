"""Metrics to TensorBoard, Weights & Biases or MLflow, by one setting, beside metrics.jsonl, which always has all.

Everything stays on this machine: in `tracker/` of the run's folder, wandb offline (`wandb sync` sends it) and MLflow as
files, unless MLFLOW_TRACKING_URI or WANDB_MODE says otherwise. The packages are optional and looked for before a run
starts.
"""

from __future__ import annotations

import importlib.util
import numbers
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainers.process.errors import TrainerError
from trainers.process.files import canonical_json

TRACKERS: dict[str, tuple[str, str]] = {
    "tensorboard": ("tensorboard", "tensorboard"),
    "wandb": ("wandb", "wandb"),
    "mlflow": ("mlflow", "mlflow-skinny"),
}
"""Module and package of each."""
FOLDER = "tracker"
PROJECT = "watershed"

Write = Callable[[int, Mapping[str, float]], None]


def check_tracker(name: str) -> None:
    """Refuse a tracker that is not known or not installed.

    Raises:
        TrainerError: says which names there are, or what to install.
    """
    if not name:
        return
    if name not in TRACKERS:
        raise TrainerError(f"tracker is {name!r}", f"choose one of {', '.join(TRACKERS)}, or leave it out")
    module, package = TRACKERS[name]
    if importlib.util.find_spec(module) is None:
        raise TrainerError(
            f"tracker is {name!r}, and {package} is not installed", f"pip install {package}, or leave tracker out"
        )


@contextmanager
def tracker(
    name: str, out: Path, run: str, identity: Mapping[str, Any]
) -> Generator[Callable[[Mapping[str, Any]], None]]:
    """A function that sends a row of metrics; a run that resumes goes on under the same name.

    Args:
        name: of the tracker; empty for none.
        out: the run's folder.
        identity: the literals of the run, kept as its configuration.
    """
    if not name:
        yield lambda row: None
        return
    check_tracker(name)
    opened = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}[name]
    with opened(out / FOLDER, run, dict(identity)) as write:
        yield lambda row: write(int(row["step"]), scalars(row))


def scalars(row: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a row; those of a list or mapping in it get its name, a slash and their place or name."""
    found: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, numbers.Real) and not isinstance(value, bool):
            found[f"{prefix}{name}"] = float(value)
        elif isinstance(value, Mapping):
            found |= scalars(value, f"{prefix}{name}/")
        elif isinstance(value, list):
            found |= scalars({str(place): each for place, each in enumerate(value)}, f"{prefix}{name}/")
    return found


@contextmanager
def _tensorboard(folder: Path, run: str, identity: dict[str, Any]) -> Generator[Write]:
    # torch.utils.tensorboard would import TensorFlow where it is installed.
    # Protocol buffers make their messages when they are imported, out of a type checker's sight.
    from tensorboard.compat.proto.event_pb2 import Event  # ty: ignore[missing-module-member]
    from tensorboard.compat.proto.summary_pb2 import Summary  # ty: ignore[missing-module-member]
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    del run, identity
    writer = EventFileWriter(str(folder))

    def write(step: int, values: Mapping[str, float]) -> None:
        held = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        writer.add_event(Event(step=step, summary=Summary(value=held)))

    try:
        yield write
    finally:
        writer.close()


@contextmanager
def _wandb(folder: Path, run: str, identity: dict[str, Any]) -> Generator[Write]:
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    mode = os.environ.get("WANDB_MODE", "offline")
    session: Any = wandb.init(
        project=PROJECT,
        name=run,
        id=_identifier(folder),
        resume="allow",
        dir=str(folder),
        mode=mode,  # ty: ignore[invalid-argument-type]
        config=identity,
        settings=wandb.Settings(console="off", silent=True),
    )
    try:
        yield lambda step, values: session.log(dict(values), step=step)
    finally:
        session.finish()


@contextmanager
def _mlflow(folder: Path, run: str, identity: dict[str, Any]) -> Generator[Write]:
    import mlflow

    if "MLFLOW_TRACKING_URI" not in os.environ:
        folder.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(folder.resolve().as_uri())
    mlflow.set_experiment(PROJECT)
    name = _identifier(folder)
    before: Any = mlflow.search_runs(filter_string=f"tags.folder = '{name}'", output_format="list")
    with mlflow.start_run(run_id=before[0].info.run_id if before else None, run_name=run):
        if not before:
            mlflow.set_tags({"folder": name, "identity": canonical_json(identity)[:5000]})

        def write(step: int, values: Mapping[str, float]) -> None:
            mlflow.log_metrics(dict(values), step=step)

        yield write


def _identifier(folder: Path) -> str:
    """A name of the run's folder that a resumed run finds again."""
    from trainers.process.files import sha256_text, write_text

    place = folder / "id"
    if not place.is_file():
        write_text(place, sha256_text(os.urandom(16).hex())[:16])
    return place.read_text(encoding="utf-8")
