"""One batch, a batch in pieces, packed and unpacked: the same losses and gradients."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from made_posttraining import a_model, configured, write_chats, write_pairs

from trainers.dpo import dpo
from trainers.process.files import read_jsonl
from trainers.sft import sft

LAYOUTS: dict[str, dict[str, Any]] = {
    "one batch": {"packed": False, "parts": 1},
    "packed": {"packed": True, "parts": 1},
    "accumulated": {"packed": False, "parts": 1, "microbatch": 3},
    "packed in pieces": {"packed": True, "parts": 2, "microbatch": 2},
}
COMMANDS = {"sft": sft, "dpo": dpo}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("made")
    return {
        "dense": a_model(folder / "dense"),
        "mixture": a_model(folder / "mixture", mixture=True),
        "sft": write_chats(folder / "chats.jsonl"),
        "dpo": write_pairs(folder / "pairs.jsonl"),
    }


def trajectories(made: dict[str, Path], out: Path, command: str, model: str, **changes: Any) -> dict[str, list[dict]]:
    """The rows of metrics of a run in each layout."""
    found = {}
    for name, layout in LAYOUTS.items():
        options = {"batch": 8, "optimiser": {"learning_rate": 1e-3, "warmup_steps": 0}, "checkpoint_every": 100}
        options |= layout | changes
        COMMANDS[command](configured(command, out / name, made[model], made[command], **options))
        found[name] = read_jsonl(out / name / "metrics.jsonl")
    return found


def check_same(found: dict[str, list[dict]], *columns: str) -> None:
    first = found.pop("one batch")
    for name, rows in found.items():
        for before, after in zip(first, rows, strict=True):
            for column in ("loss", "grad_norm", *columns):
                assert after[column] == pytest.approx(before[column], rel=1e-5, abs=1e-5), (name, after["step"], column)


@pytest.mark.parametrize(
    ("reduction", "steps"),
    [("tokens", 16), pytest.param("tokens", 50, marks=pytest.mark.campaign), ("examples", 4)],
)
def test_fine_tuning(made, tmp_path, reduction, steps):
    found = trajectories(made, tmp_path, "sft", "dense", steps=steps, reduction=reduction)
    assert found["packed"][-1]["loss"] < found["packed"][0]["loss"]
    check_same(found)


@pytest.mark.parametrize("steps", [16, pytest.param(50, marks=pytest.mark.campaign)])
def test_preferences(made, tmp_path, steps):
    found = trajectories(made, tmp_path, "dpo", "dense", steps=steps, loss="dpo_norm", beta=1.0)
    assert found["one batch"][0]["loss"] == pytest.approx(0.6931472, abs=1e-6)
    check_same(found, "margin")


@pytest.mark.parametrize("loss", ["dpo", "simpo", "wpo", "kto"])
def test_other_losses_of_preferences(made, tmp_path, loss):
    found = trajectories(made, tmp_path, "dpo", "dense", steps=2, loss=loss, beta=0.1)
    if loss == "dpo":
        assert found["one batch"][0]["loss"] == pytest.approx(0.6931472, rel=1e-5)
    check_same(found)


@pytest.fixture(scope="module")
def norms() -> dict[tuple[str, float], float]:
    """The norm of the first gradient of each run of a mixture."""
    return {}


@pytest.mark.parametrize("command", ["sft", "dpo"])
@pytest.mark.parametrize("balance", [0.05, 0.0])
def test_a_mixture_of_experts(made, norms, tmp_path, command, balance):
    found = trajectories(made, tmp_path, command, "mixture", steps=4, load_balancing_weight=balance)
    assert found["one batch"][0]["load_balancing_loss"] > 1.0
    norms[command, balance] = found["one batch"][0]["grad_norm"]
    check_same(found, "load_balancing_loss", "router_z_loss")
    if len(norms) == 4:
        assert all(norms[each, 0.05] != pytest.approx(norms[each, 0.0], rel=1e-4) for each in COMMANDS)


def test_the_sum_over_tokens_has_the_gradient_of_the_mean_times_their_number(made, tmp_path):
    rows = {}
    for reduction in ("tokens", "sum"):
        out = tmp_path / reduction
        sft(configured("sft", out, made["dense"], made["sft"], reduction=reduction, steps=1, batch=8))
        (rows[reduction],) = read_jsonl(out / "metrics.jsonl")
    assert rows["sum"]["loss"] == pytest.approx(rows["tokens"]["loss"], rel=1e-6)
    tokens = 8 * rows["sum"]["trained_tokens"]
    assert rows["sum"]["grad_norm"] == pytest.approx(tokens * rows["tokens"]["grad_norm"], rel=1e-5)


@pytest.mark.campaign
def test_two_ranks_train_a_mixture_as_one_does(made, tmp_path):
    options = {"batch": 6, "steps": 2, "parts": 1, "device": "cpu", "optimiser": {"learning_rate": 1e-3}}
    one = configured("dpo", tmp_path / "one", made["mixture"], made["dpo"], **options)
    dpo(one)
    config = tmp_path / "two.json"
    config.write_text(json.dumps({**asdict(one), "out": str(tmp_path / "two")}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "trainers.dpo", "--config", str(config)],
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=Path(__file__).parents[3],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=240)[0] for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], outputs
    found = {"one batch": read_jsonl(tmp_path / "one" / "metrics.jsonl")}
    check_same(found | {"two ranks": read_jsonl(tmp_path / "two" / "metrics.jsonl")}, "margin", "load_balancing_loss")
