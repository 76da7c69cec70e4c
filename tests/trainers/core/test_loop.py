"""The training loop with an objective that is not pretraining: tests/trainers/pair_ranking.py."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from made_shards import make_shards
from pair_ranking import STEPS, Pairs, RankPairs, rank_pairs

from trainers.core.checkpoint import checkpoint_folders, latest, open_checkpoint
from trainers.core.objective import Loss
from trainers.core.parts import cut
from trainers.core.plan import LoopConfig
from trainers.data.loader import ShuffledLoader
from trainers.data.mixing import MixedLoader, seed_of
from trainers.pretrain import pretrain
from trainers.pretraining.config import RunConfig, parts_of
from trainers.pretraining.presets import preset
from trainers.process.config_file import from_mapping
from trainers.process.errors import TrainerError
from trainers.process.files import read_jsonl

ROOT = Path(__file__).parents[3]
OFTEN = {"checkpoint_every": 10, "keep_checkpoints": 0, "log_every": 1}


def ranked(out: Path, **changes) -> dict:
    return rank_pairs(from_mapping({"out": str(out)} | OFTEN | changes, LoopConfig, "test"))


def command(out: Path, **changes) -> list[str]:
    options = OFTEN | {"out": str(out)} | changes
    return [sys.executable, str(ROOT / "tests" / "trainers" / "pair_ranking.py"), json.dumps(options)]


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | more


def go_back(out: Path, step: int) -> None:
    """The run as it was when it had come to `step`."""
    (out / "result.json").unlink()
    for folder in checkpoint_folders(out):
        if open_checkpoint(folder).step > step:
            shutil.rmtree(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, dict]:
    """A run that was never stopped: its folder and its result."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    return out, ranked(out)


def test_another_objective_learns_and_writes_its_own_columns(whole):
    out, result = whole
    rows = read_jsonl(out / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert rows[0]["loss"] > 2 * rows[-1]["loss"]
    assert rows[-1]["margin"] > rows[0]["margin"] + 1 and {row["pairs"] for row in rows} == {9}
    assert rows[-1]["pair_accuracy"] == result["pair_accuracy"] > 0.9
    assert "pair_accuracy" not in rows[0] and "heldout_bits_per_byte" not in result
    newest = latest(out)
    assert newest is not None and newest.state["margin_steps"] == STEPS


def test_a_killed_run_of_another_objective_ends_in_the_same_bits(whole, tmp_path):
    out = tmp_path / "killed"
    died = subprocess.run([*command(out), "27"], cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, check=False)
    assert died.returncode == -signal.SIGKILL and not (out / "result.json").exists()
    stopped = latest(out)
    assert stopped is not None and stopped.step == 20
    result = ranked(out)
    for name in ("model.pt", "optimizer.pt"):
        assert (Path(result["checkpoint"]) / name).read_bytes() == (Path(whole[1]["checkpoint"]) / name).read_bytes()


def test_an_objective_that_forgot_its_state_would_end_elsewhere(whole, tmp_path, monkeypatch):
    out = tmp_path / "run"
    shutil.copytree(whole[0], out)
    go_back(out, 20)
    monkeypatch.setattr(RankPairs, "restore", lambda self, state: None)
    assert ranked(out)["checkpoint_sha256"] != whole[1]["checkpoint_sha256"]


@pytest.mark.campaign  # test_ranks.py continues runs of pretraining with another number of ranks.
def test_one_and_two_ranks_continue_each_others_run_of_another_objective(whole, tmp_path):
    out = tmp_path / "changing"
    shutil.copytree(whole[0], out)
    go_back(out, 10)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    # Nine pairs a batch are four and five, in pieces of two: the ranks' last pieces are of none and of one.
    ranks = [
        subprocess.Popen(
            command(out, microbatch=2),
            env=environment(**world, RANK=str(rank), LOCAL_RANK=str(rank)),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=240)[0] for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], outputs
    for before, after in zip(*(read_jsonl(folder / "metrics.jsonl") for folder in (whole[0], out)), strict=True):
        assert after["loss"] == pytest.approx(before["loss"], abs=1e-4)
        assert after["margin"] == pytest.approx(before["margin"], abs=1e-3)
        assert after["pairs"] == before["pairs"]
    go_back(out, 30)
    ranked(out)
    ends = [open_checkpoint(checkpoint_folders(folder)[-1]).weights() for folder in (whole[0], out)]
    assert all(torch.allclose(ends[0][name], ends[1][name], atol=1e-3) for name in ends[0])


@pytest.mark.parametrize("parts", [2, 4])
def test_weights_depend_on_the_parts_in_rounding_and_never_on_the_workers(whole, tmp_path, parts):
    one, two = (ranked(tmp_path / str(workers), parts=parts, workers=workers) for workers in (1, 2))
    for name in ("model.pt", "optimizer.pt"):
        assert (Path(one["checkpoint"]) / name).read_bytes() == (Path(two["checkpoint"]) / name).read_bytes()
    rows = [read_jsonl(folder / "metrics.jsonl") for folder in (whole[0], tmp_path / "2")]
    assert [row["loss"] for row in rows[1]] == pytest.approx([row["loss"] for row in rows[0]], abs=1e-4)
    assert [row["pairs"] for row in rows[1]] == [9] * STEPS


@pytest.mark.parametrize("model", [{}, {"kind": "moe", "experts": 4, "experts_per_token": 2, "hidden": 12}])
def test_pretraining_in_parts_is_the_same_with_any_number_of_workers(tmp_path, model):
    shards = make_shards(tmp_path / "shards", train=200)
    runs = {}
    for parts, workers in ((1, 1), (3, 1), (3, 2), (3, 3)):
        out = tmp_path / f"{parts}-{workers}"
        config = {"preset": "30k-0.2xC", "shards": str(shards), "out": str(out), "steps": 12, "log_every": 1}
        options = config | {"model": model, "parts": parts, "workers": workers}
        runs[parts, workers] = pretrain(from_mapping(options, RunConfig, "test")), read_jsonl(out / "metrics.jsonl")
    digests = {key: result["checkpoint_sha256"] for key, (result, _) in runs.items()}
    assert digests[3, 1] == digests[3, 2] == digests[3, 3] != digests[1, 1]
    if model:
        loads = [runs[3, workers][1][-1]["expert_load"] for workers in (1, 2, 3)]
        assert loads[0] == loads[1] == loads[2] and np.allclose(np.sum(loads[0], axis=1), 2, atol=1e-3)


def test_a_part_is_a_run_of_the_batch():
    assert [part.tolist() for part in cut(np.arange(7), 3)] == [[0, 1], [2, 3], [4, 5, 6]]
    assert cut(list("abc"), 4) == [[], ["a"], ["b"], ["c"]]


def test_large_steps_are_cut_into_parts_and_balanced_mixtures_are_not():
    names = ("70k-0.2xC", "130k-0.6xC", "270k-0.5xC", "500k-0.75xC", "500k-moe-0.75xC")
    assert [parts_of(preset(name, 2048, 128)) for name in names] == [1, 1, 2, 4, 1]


def test_an_error_in_a_part_ends_the_run_and_the_threads(tmp_path, monkeypatch):
    def fails(self, model, samples, device) -> Loss:
        raise TrainerError("a pair is broken", "mend it")

    monkeypatch.setattr(RankPairs, "loss", fails)
    with pytest.raises(TrainerError, match="a pair is broken"):
        ranked(tmp_path / "run", parts=2, workers=2)


def test_an_objectives_state_may_not_hide_the_loops(tmp_path, monkeypatch):
    monkeypatch.setattr(RankPairs, "state", lambda self: {"position": 0})
    with pytest.raises(ValueError, match="may not be called position"):
        ranked(tmp_path / "run")


def test_samples_of_several_sources_may_be_lists():
    sources = [Pairs(20, seed=0), Pairs(10, seed=1)]
    loader = MixedLoader(sources, (3, 1), seed=0)
    alone = [ShuffledLoader(source, seed_of(0, number)) for number, source in enumerate(sources)]
    batch = loader.next_batch(8)
    source, item = loader.places(0, 8)
    assert np.bincount(source).tolist() == [6, 2]
    assert [pair[0].tolist() for pair in batch] == [
        sources[s].pairs[i][0].tolist() for s, i in zip(source, item, strict=True)
    ]
    assert item[source == 1].tolist() == alone[1].items(0, 2).tolist()
