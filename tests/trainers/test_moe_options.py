"""Runs of mixtures with shared experts, with expert choice, and upcycled from a dense model."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from made_shards import make_shards

from dagster_project.cli import main
from trainers.core.checkpoint import latest
from trainers.core.loading import load_decoder
from trainers.models.config import DenseConfig, upcycled
from trainers.models.hugging_face import model_type
from trainers.pretrain import pretrain
from trainers.pretraining.config import RunConfig
from trainers.process.config_file import from_mapping
from trainers.process.errors import TrainerError
from trainers.process.files import read_jsonl
from trainers.serving.language_model import open_model

OPTIONS = {"kind": "moe", "experts": 7, "experts_per_token": 1, "hidden": 24, "shared_experts": 1, "choice": "expert"}


def config(shards: Path, out: Path, **changes: object) -> RunConfig:
    common = {"shards": str(shards), "out": str(out), "preset": "30k-0.2xC", "steps": 20, "checkpoint_every": 10}
    return from_mapping(common | {"keep_checkpoints": 0, "log_every": 5} | changes, RunConfig, "test")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shards(tmp_path_factory.mktemp("data") / "shards")


@pytest.fixture(scope="module")
def dense(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "dense"
    pretrain(config(shards, out))
    return out


def test_a_mixture_of_both_options_resumes_in_the_same_bits_and_counts_unread_tokens(shards, tmp_path):
    whole = pretrain(config(shards, tmp_path / "run", model=OPTIONS))
    shutil.rmtree(whole["checkpoint"])
    (tmp_path / "run" / "result.json").unlink()
    again = pretrain(config(shards, tmp_path / "run", model=OPTIONS))
    assert again["checkpoint_sha256"] == whole["checkpoint_sha256"]
    rows = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert all(row["dropped"] > 0 and row["load_balancing_loss"] == pytest.approx(1, abs=1e-5) for row in rows)
    assert all(entropy == pytest.approx(1) for row in rows for entropy in row["expert_entropy"])
    with pytest.raises(TrainerError, match="experts choose their tokens"):
        open_model(tmp_path / "run")
    shape = load_decoder(tmp_path / "run").config
    with pytest.raises(TrainerError, match="Olmoe has no shared experts"):
        model_type(shape)


def test_an_upcycled_mixture_begins_as_the_dense_model_and_resumes_in_the_same_bits(shards, dense, tmp_path):
    mixture = {"kind": "moe", "experts": 4, "experts_per_token": 2, "renormalise": True}
    rate = {"optimiser": {"learning_rate": 1e-12, "weight_decay": 0.0}}
    begun = pretrain(config(shards, tmp_path / "still", init=str(dense), model=mixture, steps=1, **rate))
    tokens = torch.arange(32).view(2, 16)
    before, after = load_decoder(dense), load_decoder(tmp_path / "still")
    assert torch.allclose(before(tokens), after(tokens), atol=1e-4)
    assert begun["total_parameters"] > begun["active_parameters"] > sum(p.numel() for p in before.parameters())

    whole = pretrain(config(shards, tmp_path / "run", init=str(dense), model=mixture))
    gate_up = load_decoder(tmp_path / "run").state_dict()["blocks.0.feed_forward.gate_up"]
    assert not torch.equal(gate_up[0], gate_up[1]), "the experts part"
    shutil.rmtree(whole["checkpoint"])
    (tmp_path / "run" / "result.json").unlink()
    again = pretrain(config(shards, tmp_path / "run", init=str(dense), model=mixture))
    assert again["checkpoint_sha256"] == whole["checkpoint_sha256"]
    newest = latest(tmp_path / "run")
    assert newest is not None and newest.model_config.kind == "moe"


SHAPE = DenseConfig(vocab_size=50, sequence_length=8, width=8, layers=1, heads=2, hidden=16)


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"hidden": 4}, "hidden is 4, and 16 in the dense model"),
        ({"shared_experts": 1}, "would count that layer twice"),
        ({"experts": 2}, "8 experts a token of 2"),
    ],
)
def test_a_shape_that_copies_of_the_dense_layer_do_not_fit_is_refused(fields, cause):
    with pytest.raises(TrainerError, match=cause):
        upcycled(SHAPE, {"kind": "moe"} | fields)
    assert asdict(upcycled(SHAPE, {"kind": "moe"}))["hidden"] == 16


def test_moments_of_a_dense_model_are_refused_for_experts(shards, dense, tmp_path):
    with pytest.raises(TrainerError, match="moments of a dense model"):
        pretrain(config(shards, tmp_path / "run", init=str(dense), moments=True, model={"kind": "moe"}))


def planned(*arguments: str) -> dict[str, float]:
    result = CliRunner().invoke(main, ["plan", "--scale", "OLMoE-1B-7B", "--json", *arguments])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_plan_counts_the_options():
    plain = planned()
    assert plain["active_parameters"] == 1_282_017_280
    shared = planned("--model", "experts=63", "--model", "experts_per_token=7", "--model", "shared_experts=1")
    # The router has a row of 2048 less in 16 layers; all else only changed its name.
    assert plain["active_parameters"] - shared["active_parameters"] == 16 * 2048
    assert plain["parameters"] - shared["parameters"] == 16 * 2048
    assert plain["flops"] - shared["flops"] == pytest.approx(6 * 16 * 2048 * 5e12, rel=1e-6)
    coarse = planned("--model", "experts=8", "--model", "experts_per_token=1", "--model", "hidden=8192")
    assert coarse["parameters"] == plain["parameters"] - 16 * 2048 * 56
    assert coarse["memory_per_gpu_bytes"] < plain["memory_per_gpu_bytes"]
    wrong = CliRunner().invoke(main, ["plan", "--scale", "OLMoE-1B-7B", "--model", "expert=8"])
    assert wrong.exit_code == 2 and "expert" in wrong.stderr
