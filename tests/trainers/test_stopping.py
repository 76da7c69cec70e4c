"""Runs that are stopped, and what they are stopped by: signals, a full disk, damage, a measurement that fails."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made_shards import make_shards

from benchmarks.resume_campaign import KINDS, campaign, in_process
from trainers.core import checkpoint
from trainers.core.checkpoint import checkpoint_folders, latest, open_checkpoint
from trainers.pretrain import pretrain
from trainers.pretraining.config import RunConfig
from trainers.pretraining.objective import Pretraining
from trainers.process import stopping
from trainers.process.config_file import from_mapping
from trainers.process.errors import EXIT_RESUME, TrainerError
from trainers.process.files import read_jsonl
from trainers.process.run_folder import read_config_json, read_metrics, read_result

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("data") / "shards", train=200)


def config(shards: Path, out: Path, **changes) -> RunConfig:
    common = {"shards": str(shards), "out": str(out), "preset": "30k-0.2xC", "steps": 12, "checkpoint_every": 4}
    return from_mapping(common | changes, RunConfig, "test")


@pytest.fixture(scope="module")
def whole(shards, tmp_path_factory) -> Path:
    """The folder of a run that was never stopped."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    pretrain(config(shards, out))
    return out


def same_end(out: Path, whole: Path) -> bool:
    folders = [checkpoint_folders(place)[-1] for place in (out, whole)]
    return all(
        (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes() for name in ("model.pt", "optimizer.pt")
    )


def go_back(whole: Path, out: Path, step: int) -> Path:
    """A copy of a run as it was at `step`."""
    shutil.copytree(whole, out)
    (out / "result.json").unlink()
    for folder in checkpoint_folders(out):
        if open_checkpoint(folder).step > step:
            shutil.rmtree(folder)
    return out


def test_faults_of_each_kind_end_in_the_same_bits(tmp_path):
    """The small form of `python -m benchmarks.resume_campaign`."""
    found = campaign(tmp_path, trials=len(KINDS), seed=3)
    assert found.failures == []
    assert {stop.split(":")[0] for stop in found.stops} == set(KINDS)
    assert {"stop: exit 75", "full: exit 2", "kill: exit -9"} <= found.stops.keys()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_saves_and_the_exit_code_says_resume_me(shards, whole, tmp_path, name):
    out, path = tmp_path / "run", tmp_path / "run.json"
    path.write_text(json.dumps({"shards": str(shards), "out": str(out), "preset": "30k-0.2xC", "steps": 5000}))
    with subprocess.Popen(
        [sys.executable, "-m", "trainers.pretrain", "--config", str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        next(line for line in process.stdout if '"step":' in line and '"loss":' in line)
        process.send_signal(getattr(signal, name))
        lines, errors = process.stdout.read().splitlines(), process.stderr.read().splitlines()
    assert process.returncode == EXIT_RESUME == 75
    assert json.loads(lines[-1].removeprefix("progress "))["cause"] == name
    assert errors[-2].startswith("stopped: 30k-0.2xC after step") and "start it again" in errors[-1]
    saved = latest(out)
    # Long before the first quarter of the run, which is when a checkpoint is due.
    assert saved is not None and 0 < saved.step < 1250 and saved.state["passing"]


def test_a_signal_in_a_measurement_stops_at_once_and_the_measurement_is_made_again(
    shards, whole, tmp_path, monkeypatch
):
    out, measure = tmp_path / "run", Pretraining.measure

    def interrupted(self, model, ranks, samples):
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("the measurement went on")

    monkeypatch.setattr(Pretraining, "measure", interrupted)
    with pytest.raises(Exception, match="after step 4 by SIGTERM") as stopped:
        pretrain(config(shards, out, evaluate_every=4, checkpoint_every=6, steps=8))
    assert type(stopped.value).__name__ == "RunStoppedError"
    monkeypatch.setattr(Pretraining, "measure", measure)
    pretrain(config(shards, out, evaluate_every=4, checkpoint_every=6, steps=8))
    rows = read_jsonl(out / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert [row["step"] for row in rows if "heldout_bits_per_byte" in row] == [4, 8]
    assert [folder.name for folder in checkpoint_folders(out)] == ["step_00000006", "step_00000008"]


def test_a_second_ctrl_c_interrupts_at_once(monkeypatch):
    monkeypatch.setattr(stopping, "AGAIN_SECONDS", 0.0)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stopping.StopSignals() as signals, signals.noting():
        signal.raise_signal(signal.SIGINT)
        assert signals.received == "SIGINT"
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_checkpoints_by_time_are_replaced_by_the_next(shards, whole, tmp_path, capsys):
    out = tmp_path / "run"
    pretrain(config(shards, out, checkpoint_minutes=1e-9, keep_checkpoints=0))
    saved = capsys.readouterr().out.count('"event":"checkpoint"')
    assert saved == 12
    assert [folder.name for folder in checkpoint_folders(out)] == ["step_00000004", "step_00000008", "step_00000012"]
    assert not any(open_checkpoint(folder).state["passing"] for folder in checkpoint_folders(out))
    assert same_end(out, whole)


def test_the_last_checkpoint_is_saved_before_the_model_is_measured(shards, whole, tmp_path, monkeypatch):
    out, measure = tmp_path / "run", Pretraining.measure
    seen = []

    def fails(self, model, ranks, samples):
        seen.append((checkpoint_folders(out)[-1].name, samples, torch.is_autocast_enabled("cpu")))
        raise IndexError("index out of range in self")

    monkeypatch.setattr(Pretraining, "measure", fails)
    with pytest.raises(IndexError):
        pretrain(config(shards, out, dtype="bfloat16", microbatch=3))
    assert seen == [("step_00000012", 3, True)]
    monkeypatch.setattr(Pretraining, "measure", measure)
    result = pretrain(config(shards, out, dtype="bfloat16", microbatch=3))
    rows = read_jsonl(out / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert rows[-1]["heldout_bits_per_byte"] == result["heldout_bits_per_byte"]


def test_held_out_sequences_of_another_vocabulary_are_refused_before_the_first_step(shards, tmp_path):
    mixed = tmp_path / "shards"
    shutil.copytree(shards, mixed)
    make_shards(tmp_path / "larger", vocab_size=128)
    shutil.rmtree(mixed / "heldout")
    shutil.copytree(tmp_path / "larger" / "heldout", mixed / "heldout")
    shutil.copyfile(tmp_path / "larger" / "dataset.json", mixed / "heldout" / "dataset.json")
    shutil.move(mixed / "dataset.json", mixed / "train" / "dataset.json")
    with pytest.raises(TrainerError, match=r"heldout has vocab_size 128, .*train 64"):
        pretrain(config(mixed, tmp_path / "run"))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda text: text.replace('"consumed": 72', '"consumed": 81'), "differs from the digest in it"),
        (lambda text: text[:100], "is not JSON"),
        (lambda text: "[" * 100_000, "is not JSON"),
        (lambda text: "[1]", "holds no JSON object"),
        (lambda text: '{"step": "8", "digests": {}}', "field step is missing or of another type"),
    ],
)
def test_a_changed_state_is_refused_and_the_checkpoint_before_is_taken(shards, whole, tmp_path, change, cause):
    out = go_back(whole, tmp_path / "run", 8)
    state = out / "step_00000008" / "state.json"
    before = state.read_text()
    state.write_text(change(before))
    assert state.read_text() != before
    with pytest.raises(TrainerError, match=cause):
        open_checkpoint(state.parent)
    found = latest(out)
    assert found is not None and found.step == 4
    pretrain(config(shards, out))
    assert same_end(out, whole)


@pytest.mark.parametrize("name", ["config.json", "result.json", "metrics.jsonl"])
def test_a_changed_file_of_a_run_is_refused_by_whoever_reads_it(whole, tmp_path, name):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    read = {
        "config.json": lambda: read_config_json(out),
        "result.json": lambda: read_result(out),
        "metrics.jsonl": lambda: read_metrics(out, read_result(out)["metrics"]),
    }[name]
    assert read()
    text = (out / name).read_text()
    for damaged in (text.replace("2", "3", 1), text[:-20]):
        (out / name).write_text(damaged)
        with pytest.raises(TrainerError, match=f"{name} is damaged"):
            read()


def test_a_damaged_result_is_written_again_from_the_checkpoint(shards, whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    (out / "result.json").write_text('{"checkpoint": 5')
    assert pretrain(config(shards, out))["checkpoint_sha256"] == read_result(whole)["checkpoint_sha256"]
    assert read_result(out)["steps"] == 12


def test_metrics_that_changed_are_refused_on_resuming_and_may_be_removed(shards, whole, tmp_path):
    out = go_back(whole, tmp_path / "run", 8)
    place = out / "metrics.jsonl"
    place.write_text(place.read_text().replace('"step":2,', '"step":3,'))
    with pytest.raises(TrainerError, match=r"metrics.jsonl is damaged") as refused:
        pretrain(config(shards, out))
    assert "remove metrics.jsonl" in refused.value.mend
    place.unlink()
    pretrain(config(shards, out))
    assert same_end(out, whole)


def test_pruning_keeps_the_checkpoint_just_written_where_damaged_later_ones_exist(shards, whole, tmp_path):
    out = go_back(whole, tmp_path / "run", 4)
    for step in (100, 200, 300):
        shutil.copytree(out / "step_00000004", out / f"step_{step:08d}")
        (out / f"step_{step:08d}" / "model.pt").write_bytes(b"damaged")
    pretrain(config(shards, out, keep_checkpoints=2))
    assert [folder.name for folder in checkpoint_folders(out)] == ["step_00000008", "step_00000012"]
    assert same_end(out, whole)


def test_pruning_counts_whole_checkpoints_alone(shards, whole, tmp_path):
    out = go_back(whole, tmp_path / "run", 8)
    (out / "step_00000008" / "optimizer.pt").write_bytes(b"cut")
    newest = open_checkpoint(shutil.copytree(whole / "step_00000012", out / "step_00000012"))
    checkpoint.prune(out, 2, newest)
    assert [folder.name for folder in checkpoint_folders(out)] == ["step_00000004", "step_00000012"]


def test_a_run_killed_between_saving_and_pruning_prunes_when_it_goes_on(shards, whole, tmp_path):
    out = go_back(whole, tmp_path / "run", 12)
    assert len(checkpoint_folders(out)) == 3
    pretrain(config(shards, out, keep_checkpoints=1))
    assert [folder.name for folder in checkpoint_folders(out)] == ["step_00000012"]


def test_a_disk_without_room_is_told_before_anything_is_written(shards, tmp_path, monkeypatch):
    out = tmp_path / "run"
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(
        TrainerError, match=r"step_00000004 cannot be written: it needs [\d,]+ bytes, and 1,000 are free"
    ):
        pretrain(config(shards, out))
    assert not [path for path in out.iterdir() if "partial" in path.name]


def test_what_a_killed_process_half_wrote_is_removed_when_the_run_goes_on(shards, tmp_path):
    out = tmp_path / "run"
    (out / ".step_00000004.123.partial").mkdir(parents=True)
    (out / ".step_00000004.123.partial" / "model.pt").write_bytes(b"half")
    (out / ".result.json.123.partial").write_bytes(b"half")
    pretrain(config(shards, out))
    assert not list(out.glob(".*.partial"))


def test_a_signal_before_the_first_step_exits_as_one_after_it(shards, tmp_path, monkeypatch):
    monkeypatch.setattr(Pretraining, "build", lambda self: signal.raise_signal(signal.SIGTERM))
    code, errors = in_process(lambda: pretrain(config(shards, tmp_path / "run")))
    assert code == EXIT_RESUME and errors.startswith("stopped: 30k-0.2xC by SIGTERM, before a step")
