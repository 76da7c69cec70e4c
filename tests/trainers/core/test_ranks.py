import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_shards import make_shards

from trainers.core.checkpoint import checkpoint_folders, open_checkpoint
from trainers.core.ranks import spread
from trainers.data.loader import ShuffledLoader
from trainers.data.shards import Sequences, check_manifest
from trainers.models.config import DenseConfig, MoEConfig
from trainers.models.decoder import decoder
from trainers.models.dense import DenseDecoder
from trainers.pretrain import pretrain
from trainers.pretraining.config import RunConfig
from trainers.process.config_file import from_mapping
from trainers.process.errors import EXIT_RESUME
from trainers.process.files import read_jsonl

ROOT = Path(__file__).parents[3]
COMMON = {
    "preset": "30k-0.2xC",
    # A heavy load-balancing loss: a balance that each rank or microbatch saw by itself would end in other weights.
    "model": {"kind": "moe", "experts": 5, "experts_per_token": 2, "hidden": 12, "load_balancing_weight": 1.0},
    "checkpoint_every": 10,
    "keep_checkpoints": 0,
    "log_every": 1,
    "steps": 30,
    "heldout_sequences": 33,
}

SHAPE: dict[str, Any] = {"vocab_size": 97, "sequence_length": 32, "width": 32, "layers": 2, "heads": 4, "hidden": 48}
DENSE = DenseConfig(**SHAPE)
EXPERTS = MoEConfig(**SHAPE, norm_placement="pre", experts=4, experts_per_token=2)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("data") / "shards")


def alone(shards: Path, out: Path, **changes) -> dict:
    return pretrain(from_mapping(COMMON | {"shards": str(shards), "out": str(out)} | changes, RunConfig, "test"))


def started(shards: Path, out: Path, count: int = 2, **changes) -> list[subprocess.Popen[str]]:
    """The run on `count` ranks of one machine, started as torchrun starts them."""
    path = out.with_suffix(".json")
    path.write_text(json.dumps(COMMON | {"shards": str(shards), "out": str(out)} | changes))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = os.environ | {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "trainers.pretrain", "--config", str(path)],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(count)
    ]


def together(shards: Path, out: Path, count: int = 2, **changes) -> None:
    """The run on `count` ranks, to its end."""
    ranks = started(shards, out, count, **changes)
    outputs = [process.communicate(timeout=240)[0] for process in ranks]
    assert [process.returncode for process in ranks] == [0] * count, outputs
    assert outputs[0].count('"event":"finished"') == 1
    assert not any("progress" in output for output in outputs[1:])


def losses(out: Path) -> list[float]:
    return [row["loss"] for row in read_jsonl(out / "metrics.jsonl")]


def go_back(out: Path, step: int) -> None:
    """The run as it was when it had got to `step`."""
    (out / "result.json").unlink()
    for folder in checkpoint_folders(out):
        if open_checkpoint(folder).step > step:
            shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize("matrices", ["adamw", "muon"])
def test_one_rank_goes_on_as_two_and_as_one_again(shards, tmp_path, matrices):
    one, changing = tmp_path / "one", tmp_path / "changing"
    chosen: dict[str, Any] = {"optimiser": {"matrices": matrices}}
    alone(shards, one, **chosen)
    shutil.copytree(one, changing)
    go_back(changing, 10)
    # Nine sequences a batch are four and five, in pieces of two: the ranks' last pieces are of none and of one.
    together(shards, changing, microbatch=2, **chosen)
    assert [open_checkpoint(folder).step for folder in checkpoint_folders(changing)] == [10, 20, 30]
    for before, after in zip(*(read_jsonl(out / "metrics.jsonl") for out in (one, changing)), strict=True):
        assert after["loss"] == pytest.approx(before["loss"], abs=1e-5)
        assert after["router_z_loss"] == pytest.approx(before["router_z_loss"], rel=1e-4)
        assert after["load_balancing_loss"] == pytest.approx(before["load_balancing_loss"], rel=1e-4)
        assert (before["dropped"], after["dropped"]) == (0, 0)
        if "heldout_nats_per_token" in before:
            assert after["heldout_nats_per_token"] == pytest.approx(before["heldout_nats_per_token"], abs=1e-5)
        assert np.abs(np.array(before["expert_load"]) - after["expert_load"]).max() < 0.03
    assert losses(one)[10:] != losses(changing)[10:]

    go_back(changing, 20)
    alone(shards, changing, **chosen)
    assert np.abs(np.array(losses(one)) - losses(changing)).max() < 1e-5
    ends = [open_checkpoint(checkpoint_folders(out)[-1]).weights() for out in (one, changing)]
    assert all(torch.allclose(ends[0][name], ends[1][name], atol=1e-4) for name in ends[0])


@pytest.mark.campaign
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize(("dtype", "nats"), [("float32", 1e-5), ("bfloat16", 0.02)])
def test_two_and_four_ranks_end_as_one(shards, tmp_path, count, dtype, nats):
    changes = {"dtype": dtype, "microbatch": 2, "steps": 20}
    alone(shards, tmp_path / "one", **changes)
    together(shards, tmp_path / "several", count, **changes)
    one, several = (np.array(losses(tmp_path / name)) for name in ("one", "several"))
    assert one[0] == pytest.approx(several[0], abs=1e-5)
    assert np.abs(one - several).max() < nats


@pytest.mark.parametrize("config", [DENSE, EXPERTS], ids=["dense", "experts"])
def test_matrices_sent_in_bfloat16_give_the_bits_of_autocast(config):
    """On a mesh of one rank, in two microbatches: norms and routers stay in float32, and gradients are added in it."""
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor

    tokens = torch.randint(0, 97, (2, 4, 33), generator=torch.Generator().manual_seed(0))
    seen: dict[str, torch.dtype] = {}

    def gradients(mesh: Any) -> dict[str, Any]:
        model = decoder(config).initialise(0)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("gain"):
                    # A gain of 1 would have the same bits in bfloat16.
                    parameter.add_(torch.linspace(0, 0.01, parameter.numel()).view_as(parameter))
        if mesh is not None:
            spread(model, mesh, list(model.blocks), ("loss",), half=True)
            for module in model.blocks[0].modules():
                own = [name for name, _ in module.named_parameters(recurse=False)]
                module.register_forward_pre_hook(
                    lambda module, *_, own=own: seen.update({name: getattr(module, name).dtype for name in own})
                )
        for micro in tokens:
            with torch.autocast("cpu", torch.bfloat16):
                descend, _ = model.loss(micro)
            descend.backward()
        found = {name: parameter.grad for name, parameter in model.named_parameters()}
        return {name: grad.full_tensor() if isinstance(grad, DTensor) else grad for name, grad in found.items()}

    right = gradients(None)
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        found = gradients(init_device_mesh("cpu", (1,)))
    finally:
        distributed.destroy_process_group()
    assert found.keys() == right.keys()
    assert all(torch.equal(found[name], grad) for name, grad in right.items())
    assert seen["gain"] == torch.float32
    matrices = {"gate_up", "down"} if config is EXPERTS else {"weight"}
    assert {seen[name] for name in matrices} == {torch.bfloat16}


@pytest.mark.slow
def test_a_signal_to_one_rank_stops_all_of_them_after_the_same_step(shards, tmp_path):
    out = tmp_path / "run"
    ranks = started(shards, out, steps=100_000, checkpoint_every=100_000)
    assert ranks[0].stdout is not None
    # A report comes at most once a second, so that not every step has one.
    next(line for line in ranks[0].stdout if (step := re.search(r'"step":(\d+),', line)) and int(step[1]) >= 2)
    ranks[1].send_signal(signal.SIGTERM)
    outputs = [process.communicate(timeout=120)[0] for process in ranks]
    assert [process.returncode for process in ranks] == [EXIT_RESUME, EXIT_RESUME], outputs
    assert '"event":"stopped"' in outputs[0]
    (folder,) = checkpoint_folders(out)
    saved = open_checkpoint(folder)
    assert saved.state["passing"] and 2 <= saved.step < 100_000
    assert saved.state["loader"]["consumed"] == 9 * saved.step


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
def test_the_ranks_parts_are_the_batch_of_one_rank(shards, ranks):
    split = check_manifest(shards / "train")
    one = ShuffledLoader(Sequences(split), 3)
    several = [ShuffledLoader(Sequences(split), 3) for _ in range(ranks)]
    for count in (9, 1, 20):
        whole = one.next_batch(count)
        parts = [loader.next_batch(count, rank, ranks) for rank, loader in enumerate(several)]
        assert np.array_equal(np.concatenate(parts), whole)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert {loader.consumed for loader in several} == {one.consumed}


def test_the_gradients_of_a_steps_microbatches_are_reduced_over_the_ranks_once(shards, tmp_path, monkeypatch):
    """The method is the one of a sharded model; a run on one rank calls it alike."""
    called: list[bool] = []
    monkeypatch.setattr(
        DenseDecoder, "set_requires_gradient_sync", lambda model, now: called.append(now), raising=False
    )
    alone(shards, tmp_path / "run", steps=3, microbatch=4, workers=1, parts=1)
    assert called == [False, False, True] * 3
