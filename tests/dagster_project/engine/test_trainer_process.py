"""An interrupted command asks the trainer that it started to stop, and does not kill it."""

from __future__ import annotations

import sys

import pytest
from made_shards import make_shards  # ty: ignore[import-not-found]

from catalog.errors import WatershedError
from dagster_project.engine import trainer_process
from dagster_project.engine.trainer_process import run_trainer


def test_a_trainer_that_is_interrupted_saves_its_state(tmp_path, monkeypatch):
    from trainers.core.checkpoint import latest

    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer_process, "_note", interrupted)
    shards = make_shards(tmp_path / "shards", train=100)
    config = {"preset": "30k-0.2xC", "shards": str(shards), "out": str(tmp_path / "run"), "steps": 100_000}
    with pytest.raises(KeyboardInterrupt):
        run_trainer("trainers.pretrain", config, "test")
    saved = latest(tmp_path / "run")
    assert saved is not None and saved.state["passing"] and 0 < saved.step < 100_000


def test_a_trainer_that_was_stopped_by_another_says_so(tmp_path):
    shards = make_shards(tmp_path / "shards", train=100)
    config = {"preset": "30k-0.2xC", "shards": str(shards), "out": str(tmp_path / "run"), "steps": 100_000}
    # A launcher that stops the trainer in its third step.
    code = (
        "import os, runpy, signal, sys; from trainers.core.adamw import AdamW; step = AdamW.step;"
        "stop = lambda: os.kill(os.getpid(), signal.SIGTERM);"
        "AdamW.step = lambda *given: (step(*given), given[0].steps['norm.gain'] < 3 or stop());"
        "sys.argv = sys.argv[1:]; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    with pytest.raises(WatershedError, match=r"test: 30k-0.2xC after step 3 by SIGTERM; its state is saved") as stopped:
        run_trainer("trainers.pretrain", config, "test", [sys.executable, "-c", code])
    assert "start it again" in stopped.value.mend
