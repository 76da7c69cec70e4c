"""What a configuration file may say, field by field, and what is looked for before a run begins."""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from made_shards import make_shards

from trainers.core.checkpoint import checkpoint_folders, open_checkpoint
from trainers.core.optimiser import Optimiser
from trainers.data.mixing import MixedLoader
from trainers.data.shards import Sequences, check_manifest
from trainers.pretrain import main, pretrain
from trainers.pretraining.config import RunConfig
from trainers.process.config_file import from_mapping, read_config
from trainers.process.errors import TrainerError
from trainers.process.files import read_jsonl
from trainers.process.optional import need
from trainers.process.run_folder import read_config_json


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    return make_shards(tmp_path_factory.mktemp("data") / "shards", train=200)


def config(shards: Path, out: Path, **changes) -> RunConfig:
    common = {"shards": str(shards), "out": str(out), "preset": "30k-0.2xC", "steps": 4, "log_every": 1}
    return from_mapping(common | changes, RunConfig, "test")


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"optimiser": {"learning_rate": "3e-4"}}, "optimiser.learning_rate is '3e-4'"),
        ({"optimiser": {"learning_rate": True}}, "optimiser.learning_rate is True"),
        ({"optimiser": {"learning_rate": 0}}, "optimiser.learning_rate is 0"),
        ({"optimiser": {"learning_rate": math.inf}}, "optimiser.learning_rate is inf"),
        ({"optimiser": {"warmup_steps": 2.5}}, "optimiser.warmup_steps is 2.5"),
        ({"optimiser": {"warmup_steps": -1}}, "optimiser.warmup_steps is -1"),
        ({"optimiser": {"beta1": 1}}, "optimiser.beta1 is 1"),
        ({"optimiser": {"weight_decay": None}}, "optimiser.weight_decay is None"),
        ({"optimiser": {"clip": -1.0}}, "optimiser.clip is -1.0"),
        ({"optimiser": {"decay_embedding": "yes"}}, "optimiser.decay_embedding is 'yes'"),
        ({"optimiser": {"1": 2}}, "optimiser has no field '1'"),
        ({"optimiser": [1]}, "optimiser is [1]"),
        ({"model": {"width": "24"}}, "model.width is '24'"),
        ({"model": {"layers": [2]}}, "model.layers is [2]"),
        ({"model": {"tied": 1}}, "model.tied is 1"),
        ({"model": {"norm": "batch"}}, "model.norm is 'batch'"),
        ({"model": {"kind": "moe", "experts": 4.0}}, "model.experts is 4.0"),
        ({"model": {"kind": ["moe"]}}, "model kind is ['moe']"),
        ({"sources": [{"shards": 3, "weight": 1}]}, "sources[0] is {'shards': 3"),
        ({"sources": ["here"]}, "sources[0] is 'here'"),
        ({"dtype": True}, "dtype is True"),
        ({"spike": "much"}, "spike is 'much'"),
        ({"checkpoint_minutes": math.nan}, "checkpoint_minutes is nan"),
    ],
)
def test_a_value_of_another_type_is_two_lines_that_name_its_field(shards, tmp_path, capsys, change, cause):
    path = tmp_path / "run.json"
    values = {"preset": "30k-0.2xC", "shards": str(shards), "out": str(tmp_path / "run")} | change
    path.write_text(json.dumps(values))
    assert main(["--config", str(path)]) == 2
    error, mend = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ") and cause in error
    assert mend.startswith("mend: ") and len(mend) > 10


def test_numbers_with_an_exponent_are_numbers_in_yaml(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "preset: p\nshards: s\nout: 3e-4x\noptimiser: {learning_rate: 3e-4, epsilon: 1E-8, z_loss: -2e+1}\n"
    )
    found = read_config(path, RunConfig)
    assert found.optimiser == {"learning_rate": 3e-4, "epsilon": 1e-8, "z_loss": -20.0} and found.out == "3e-4x"


def test_a_clip_of_zero_clips_nothing_and_is_another_run(shards, tmp_path):
    free, wide = tmp_path / "free", tmp_path / "wide"
    results = [pretrain(config(shards, out, optimiser={"clip": clip})) for out, clip in ((free, 0), (wide, 1e30))]
    ends = [open_checkpoint(checkpoint_folders(out)[-1]).weights() for out in (free, wide)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert min(row["grad_norm"] for row in read_jsonl(free / "metrics.jsonl")) > 0
    # Runs of an earlier version with clip 0, which learnt nothing, are not those of now.
    assert read_config_json(free)["identity"]["clipping"] == "none"
    assert "clipping" not in read_config_json(wide)["identity"] and results[0]["steps"] == 4


def test_the_settings_of_an_optimiser_are_checked_wherever_they_come_from():
    with pytest.raises(TrainerError, match=r"optimiser.final_fraction is 2"):
        Optimiser(learning_rate=0.1, warmup_steps=1, final_fraction=2)


def test_epochs_are_told_before_the_first_step_and_above_four_they_are_a_warning(shards, tmp_path, capsys):
    few = pretrain(config(shards, tmp_path / "few"))
    told = capsys.readouterr()
    started = json.loads(told.out.splitlines()[0].removeprefix("progress "))
    assert started["event"] == "started" and started["epochs"] == few["epochs"] == [4 * 9 / 200]
    assert told.err == ""
    mixture = [{"shards": str(shards), "weight": 3}, {"shards": str(make_shards(tmp_path / "s", train=5)), "weight": 1}]
    many = pretrain(config(shards, tmp_path / "many", sources=mixture, steps=12))
    assert many["epochs"] == [12 * 9 * 0.75 / 200, 12 * 9 * 0.25 / 5]
    told = capsys.readouterr()
    warning, mend = told.err.splitlines()
    assert warning == "warning: 30k-0.2xC reads its data 5.4 times; above 4 that teaches ever less"
    assert mend.startswith("mend: ") and '"event":"warning"' in told.out


def test_the_loss_of_each_source_is_a_column_that_a_resumed_run_goes_on_with(shards, tmp_path):
    easy = make_shards(tmp_path / "easy", train=60)
    folders = (shards, easy)
    mixture = [{"shards": str(at), "weight": weight} for at, weight in zip(folders, (2, 1), strict=True)]
    changes = {"sources": mixture, "steps": 12, "log_every": 4, "checkpoint_every": 3, "keep_checkpoints": 0}
    whole, again = tmp_path / "whole", tmp_path / "again"
    pretrain(config(shards, whole, **changes))
    rows = read_jsonl(whole / "metrics.jsonl")
    loader = MixedLoader([Sequences(check_manifest(at / "train")) for at in folders], (2, 1), seed=0)
    for number, row in enumerate(rows):
        source, _ = loader.places(number * 4 * 9, 4 * 9)
        shares = np.bincount(source, minlength=2) / len(source)
        assert row["loss"] == pytest.approx(float(shares @ row["loss_by_source"]), rel=1e-5)
        assert row["loss_by_source"][0] != row["loss_by_source"][1]
    shutil.copytree(whole, again)
    (again / "result.json").unlink()
    for folder in checkpoint_folders(again):
        if open_checkpoint(folder).step > 6:
            shutil.rmtree(folder)
    pretrain(config(shards, again, **changes))
    # Step 6 is in the middle of a row of metrics.
    assert [row["loss_by_source"] for row in read_jsonl(again / "metrics.jsonl")] == [
        row["loss_by_source"] for row in rows
    ]


def test_a_missing_package_is_named_before_the_work(monkeypatch, tmp_path, capsys):
    from trainers.analyse_routing import main as analyse

    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    # Neither the checkpoint nor the shards are there: they are looked for later.
    assert analyse(["--checkpoint", str(tmp_path), "--shards", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: a picture of routing needs matplotlib, not installed here",
        "mend: pip install matplotlib",
    ]
    need("json", "torch", work="nothing")
