"""Runs that go on from a checkpoint of another: weights, moments, branches, other data, and batches left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_shards import make_shards

from trainers.core.checkpoint import Checkpoint, checkpoint_folders, open_checkpoint
from trainers.data.batches import rows_of
from trainers.data.shards import check_manifest
from trainers.pretrain import pretrain
from trainers.pretraining.config import RunConfig
from trainers.process.config_file import from_mapping
from trainers.process.errors import TrainerError
from trainers.process.files import read_jsonl
from trainers.process.run_folder import read_config_json, read_result

WSD = {"optimiser": {"schedule": "wsd", "warmup_steps": 2}, "steps": 20, "log_every": 1}


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    return make_shards(tmp_path_factory.mktemp("data") / "shards", train=200)


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> Path:
    """Other data of the same vocabulary."""
    return make_shards(tmp_path_factory.mktemp("data") / "others", train=150, seed=7)


@pytest.fixture(scope="module")
def trunk(shards, tmp_path_factory) -> Path:
    """A run of 20 steps with a checkpoint every 4."""
    out = tmp_path_factory.mktemp("runs") / "trunk"
    pretrain(config(shards, out, **WSD))
    return out


def config(shards: Path, out: Path, **changes) -> RunConfig:
    common = {"shards": str(shards), "out": str(out), "preset": "30k-0.2xC", "checkpoint_every": 4}
    return from_mapping(common | {"keep_checkpoints": 0} | changes, RunConfig, "test")


def at(run: Path, step: int) -> str:
    return str(run / f"step_{step:08d}")


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in read_jsonl(run / "metrics.jsonl")]


def end(run: Path) -> Checkpoint:
    return open_checkpoint(checkpoint_folders(run)[-1])


def read_by(run: Path, *folders: Path) -> list[dict]:
    identity = read_config_json(run)["identity"]
    return list(rows_of(identity, [check_manifest(folder / "train") for folder in folders]))


def test_a_branch_that_changes_nothing_ends_in_the_bits_of_its_run(shards, trunk, tmp_path):
    out = tmp_path / "branch"
    result = pretrain(config(shards, out, branch=at(trunk, 8), **WSD))
    for name in ("model.pt", "optimizer.pt"):
        assert (end(out).folder / name).read_bytes() == (end(trunk).folder / name).read_bytes()
    assert losses(out) == losses(trunk)[8:]
    assert result["tokens"] == read_result(trunk)["tokens"]
    assert result["fingerprint"] != read_result(trunk)["fingerprint"]


def test_a_branch_is_recorded_as_lineage_and_that_of_a_branch_too(shards, trunk, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    pretrain(config(shards, first, branch=at(trunk, 8), **WSD | {"steps": 12}))
    result = pretrain(config(shards, second, branch=str(first), **WSD | {"steps": 16}, skip=[14]))
    parent, between = open_checkpoint(Path(at(trunk, 8))), open_checkpoint(Path(at(first, 12)))
    assert [(entry["kind"], entry["step"], entry["model"]) for entry in result["lineage"]] == [
        ("branch", 8, parent.model_sha256),
        ("branch", 12, between.model_sha256),
    ]
    assert result["lineage"][1]["skip"] == [14] and result["lineage"][0]["run"] == read_result(trunk)["fingerprint"]
    assert end(second).state["lineage"] == result["lineage"] == read_result(second)["lineage"]
    identity = read_config_json(second)["identity"]
    assert identity["branch"]["model"] == between.model_sha256 and identity["skip"] == [14]
    assert read_result(trunk)["lineage"] == []


def test_a_branch_of_a_stable_run_decays_at_its_own_end(shards, trunk, tmp_path):
    out = tmp_path / "branch"
    pretrain(config(shards, out, branch=at(trunk, 8), **WSD | {"steps": 10}))
    rates = [row["lr"] for row in read_jsonl(out / "metrics.jsonl")]
    peak = max(row["lr"] for row in read_jsonl(trunk / "metrics.jsonl"))
    assert rates == pytest.approx([peak / 2, 0.0])
    assert losses(out)[0] == losses(trunk)[8]


def test_a_stopped_branch_goes_on_from_its_own_checkpoint(shards, trunk, tmp_path):
    out = tmp_path / "branch"
    whole = pretrain(config(shards, out, branch=at(trunk, 8), **WSD))
    (out / "result.json").unlink()
    for name in (16, 20):
        for file in Path(at(out, name)).iterdir():
            file.unlink()
    again = pretrain(config(shards, out, branch=at(trunk, 8), **WSD))
    assert again["checkpoint_sha256"] == whole["checkpoint_sha256"]
    assert losses(out) == losses(trunk)[8:]


def test_annealing_on_a_second_mixture_keeps_weights_moments_and_step_and_reads_the_mixture_from_its_start(
    shards, others, trunk, tmp_path
):
    out = tmp_path / "annealed"
    mixture = [{"shards": str(others), "weight": 3}, {"shards": str(shards), "weight": 1}]
    pretrain(config(shards, out, branch=at(trunk, 16), sources=mixture, **WSD))
    rows = read_by(out, others, shards)
    assert {row["step"] for row in rows} == {17, 18, 19, 20}
    counts = np.bincount([row["source"] for row in rows for _ in row["sequences"]])
    assert counts.tolist() == [27, 9]
    # A run on the mixture alone reads at its first step what the annealing reads at its seventeenth.
    alone = tmp_path / "alone"
    pretrain(config(shards, alone, sources=mixture, steps=1))
    first = [row["sequences"].tolist() for row in read_by(alone, others, shards)]
    assert [row["sequences"].tolist() for row in rows if row["step"] == 17] == first


@pytest.mark.parametrize("moments", [False, True])
def test_a_run_begins_with_the_weights_of_another_and_its_moments_if_asked(shards, trunk, tmp_path, moments):
    out = tmp_path / "run"
    result = pretrain(config(shards, out, init=at(trunk, 8), moments=moments, steps=1, checkpoint_every=1, batch=18))
    before = torch.load(Path(at(trunk, 8)) / "optimizer.pt", weights_only=True)
    after = torch.load(end(out).folder / "optimizer.pt", weights_only=True)
    assert after["steps"]["norm.gain"].item() == before["steps"]["norm.gain"].item() * moments + 1
    assert result["lineage"][0]["kind"] == ("weights and moments" if moments else "weights")
    assert ("moments" in read_config_json(out)["identity"]) == moments
    assert result["tokens"] == 18 * 16


def test_batches_that_are_named_are_left_out_and_those_after_them_move_up(shards, trunk, tmp_path):
    out = tmp_path / "run"
    pretrain(config(shards, out, skip=[3, 4], **WSD | {"steps": 8}))
    rows = {step: [row for row in read_by(trunk, shards) if row["step"] == step] for step in range(1, 11)}
    read = {step: [row for row in read_by(out, shards) if row["step"] == step] for step in range(1, 9)}
    moved = {1: 1, 2: 2, 3: 5, 4: 6, 5: 7, 6: 8, 7: 9, 8: 10}
    for step, number in moved.items():
        assert [r["sequences"].tolist() for r in read[step]] == [r["sequences"].tolist() for r in rows[number]]
    assert losses(out)[:2] == losses(trunk)[:2] and losses(out)[2] != losses(trunk)[2]


def test_a_bad_batch_is_skipped_by_a_branch_before_it(shards, trunk, tmp_path):
    out, resumed = tmp_path / "branch", tmp_path / "resumed"
    pretrain(config(shards, out, branch=at(trunk, 4), skip=[6], **WSD))
    assert losses(out)[0] == losses(trunk)[4] and losses(out)[1] != losses(trunk)[5]
    steps = {row["step"]: row["sequences"].tolist() for row in read_by(out, shards)}
    there = {row["step"]: row["sequences"].tolist() for row in read_by(trunk, shards)}
    assert [steps[step] for step in (5, 6, 19)] == [there[step] for step in (5, 7, 20)]
    # Skipped batches are those of the whole order: a branch of the branch leaves them out too.
    pretrain(config(shards, resumed, branch=at(out, 8), **WSD))
    assert read_config_json(resumed)["identity"]["skip"] == [6]
    assert losses(resumed) == losses(out)[4:]


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"branch": 8, "skip": [5]}, "batch 5 was read before step 8"),
        ({"branch": 8, "batch": 18}, "batches of 9, not 18"),
        ({"branch": 8, "preset": "70k-0.2xC"}, "is of another model"),
        ({"branch": 20}, "is at step 20, and the run has 20 steps"),
        ({"branch": 8, "init": 8}, "branch is set with init"),
        ({"moments": True}, "moments is set without init"),
        ({"skip": [0]}, "skip has the batch 0"),
        ({"skip": ["3"]}, r"skip\[0\] is '3'"),
    ],
)
def test_what_does_not_fit_a_checkpoint_is_refused(shards, trunk, tmp_path, changes, cause):
    places = {name: at(trunk, value) for name, value in changes.items() if name in ("branch", "init")}
    with pytest.raises(TrainerError, match=cause):
        pretrain(config(shards, tmp_path / "run", **WSD | changes | places))


def test_a_branch_of_a_run_with_another_tokenizer_is_refused(trunk, tmp_path):
    ours, theirs = (make_shards(tmp_path / name, train=100) for name in ("ours", "theirs"))
    for folder, merges in ((ours, ["a b"]), (theirs, ["b a"])):
        (folder / "tokenizer.json").write_text(json.dumps({"model": {"merges": merges}}))
    first = tmp_path / "first"
    pretrain(config(ours, first, steps=4))
    for begun in ({"branch": str(first)}, {"init": str(first)}, {"init": at(first, 4)}):
        with pytest.raises(TrainerError, match=r"another tokenizer.json than the run in"):
            pretrain(config(theirs, tmp_path / "run", steps=8, **begun))
    with pytest.raises(TrainerError, match=r"another tokenizer.json than"):
        mixed = [{"shards": str(ours), "weight": 1}, {"shards": str(theirs), "weight": 1}]
        pretrain(config(ours, tmp_path / "run", steps=8, sources=mixed))
    # The same shards with another tokenizer.json beside them: a resumed run must not go on.
    (first / "result.json").unlink()
    (ours / "tokenizer.json").write_text((theirs / "tokenizer.json").read_text())
    with pytest.raises(TrainerError, match=r"another tokenizer.json than the run in"):
        pretrain(config(ours, first, steps=4))
