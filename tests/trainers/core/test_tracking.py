"""Where the metrics of a run go, and why each of its processes ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from made_shards import make_shards

from trainers.core import loop
from trainers.pretrain import pretrain
from trainers.pretraining.config import RunConfig
from trainers.process import trackers
from trainers.process.errors import TrainerError
from trainers.process.trackers import scalars


@pytest.fixture
def config(tmp_path):
    shards = make_shards(tmp_path / "shards")

    def made(**changes) -> RunConfig:
        fields: dict[str, Any] = {
            "preset": "30k-0.2xC",
            "shards": str(shards),
            "out": str(tmp_path / "run"),
            "steps": 8,
            "log_every": 2,
        }
        return RunConfig(**(fields | changes))

    return made


def rows(out: str, name: str = "metrics.jsonl") -> list[dict]:
    return [json.loads(line) for line in Path(out, name).read_text().splitlines()]


def test_tensorboard_receives_each_row_of_metrics_across_a_stop(config, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    asked = config(tracker="tensorboard", checkpoint_every=4)
    save, stopped = loop.Trainer._save, []

    def stopping(trainer):
        save(trainer)
        if not stopped:
            stopped.append(trainer.position.step)
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.Trainer, "_save", stopping)
    with pytest.raises(KeyboardInterrupt):
        pretrain(asked)
    pretrain(asked)
    events = EventAccumulator(str(Path(asked.out) / "tracker"))
    events.Reload()
    written = rows(asked.out)
    for name in ("loss", "lr", "grad_norm", "tokens_per_s"):
        found = {event.step: event.value for event in events.Scalars(name)}
        assert found == pytest.approx({row["step"]: row[name] for row in written})
    assert rows(asked.out, "stops.jsonl") == [
        {"step": 4, "reason": "stopped", "cause": "KeyboardInterrupt"},
        {"step": 8, "reason": "finished", "cause": ""},
    ]


def test_throughput_is_that_since_the_row_before(config, monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(clock)))
    asked = config(batch=4)
    pretrain(asked)
    # Two readings of this clock lie around a step, whatever the machine: one second a step.
    assert {row["tokens_per_s"] for row in rows(asked.out)} == {4 * 16.0}


def test_a_run_that_diverges_says_so_in_its_stops(config):
    asked = config(optimiser={"learning_rate": 1e6, "warmup_steps": 1}, steps=40)
    with pytest.raises(TrainerError):
        pretrain(asked)
    (stop,) = rows(asked.out, "stops.jsonl")
    assert stop["reason"] == "refused"
    assert "the loss is" in stop["cause"]


@pytest.mark.parametrize(("name", "cause"), [("visdom", "tracker is 'visdom'"), ("mlflow", "is not installed")])
def test_a_tracker_that_cannot_be_used_is_refused_before_anything_is_read(config, monkeypatch, tmp_path, name, cause):
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda module: None)
    with pytest.raises(TrainerError, match=cause):
        pretrain(config(tracker=name, shards=str(tmp_path / "nowhere")))
    assert not (tmp_path / "run").exists()


def test_a_tracker_does_not_change_a_runs_fingerprint(config, tmp_path):
    plain = pretrain(config())
    tracked = pretrain(config(tracker="tensorboard", out=str(tmp_path / "tracked")))
    assert tracked["fingerprint"] == plain["fingerprint"]
    assert tracked["checkpoint_sha256"] == plain["checkpoint_sha256"]


def test_lists_of_a_row_become_one_scalar_a_place():
    row = {"step": 3, "expert_load": [[0.5, 0.25]], "name": "x", "done": True, "heldout": {"law": 2}}
    assert scalars(row) == {"step": 3.0, "expert_load/0/0": 0.5, "expert_load/0/1": 0.25, "heldout/law": 2.0}


def test_a_run_without_a_tracker_imports_none():
    code = "import sys; import trainers.pretrain; assert not {'tensorboard', 'wandb', 'mlflow'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
