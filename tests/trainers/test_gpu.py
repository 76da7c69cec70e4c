"""The trainers on a GPU: the same losses and gradients as on the CPU, and runs that resume in the same bits."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_models import a_checkpoint  # ty: ignore[import-not-found]
from made_posttraining import MIXTURE, a_model, configured, write_chats, write_pairs  # ty: ignore[import-not-found]
from made_shards import make_shards

from trainers.core.checkpoint import checkpoint_folders, open_checkpoint
from trainers.dpo import dpo
from trainers.models import loss as losses
from trainers.models.config import DenseConfig, MoEConfig
from trainers.models.decoder import decoder
from trainers.models.dense import DenseDecoder
from trainers.models.experts import grouped_product, has_grouped_kernel
from trainers.pretrain import pretrain
from trainers.pretraining.config import RunConfig
from trainers.process.config_file import from_mapping
from trainers.process.files import read_jsonl
from trainers.serving.language_model import open_model
from trainers.sft import sft

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")

SHAPE: dict[str, Any] = {
    "vocab_size": 512,
    "sequence_length": 64,
    "width": 64,
    "layers": 2,
    "heads": 4,
    "hidden": 128,
}
DENSE = DenseConfig(**SHAPE)
EXPERTS = MoEConfig(**SHAPE, norm_placement="pre", experts=8, experts_per_token=2)
RUN: dict[str, Any] = {
    "preset": "30k-0.2xC",
    "steps": 12,
    "log_every": 1,
    "checkpoint_every": 4,
    "keep_checkpoints": 0,
    "heldout_sequences": 33,
}


def relative(found: torch.Tensor | None, right: torch.Tensor | None) -> float:
    """Norm of the difference over the norm of what is right; NaN never passes a comparison."""
    assert found is not None and right is not None
    found, right = found.double().cpu(), right.double().cpu()
    return ((found - right).norm() / right.norm()).item()


def gradients(model: DenseDecoder, tokens: torch.Tensor, half: bool) -> tuple[float, dict[str, torch.Tensor]]:
    with torch.autocast(tokens.device.type, torch.bfloat16, enabled=half):
        descend, report = model.loss(tokens)
    descend.backward()
    return report.item(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("config", [DENSE, EXPERTS], ids=["dense", "experts"])
@pytest.mark.parametrize(("half", "loss_nats", "grad_share"), [(False, 1e-5, 1e-4), (True, 2e-2, 4e-2)])
def test_loss_and_gradients_are_those_of_the_cpu(config, half, loss_nats, grad_share):
    tokens = torch.randint(0, 512, (4, 65), generator=torch.Generator().manual_seed(1))
    right, right_grads = gradients(decoder(config).initialise(0), tokens, half=False)
    found, grads = gradients(decoder(config).initialise(0).cuda(), tokens.cuda(), half=half)
    assert found == pytest.approx(right, abs=loss_nats)
    assert grads.keys() == right_grads.keys()
    whole = torch.cat([grads[name].flatten().cpu() for name in right_grads])
    assert relative(whole, torch.cat([grad.flatten() for grad in right_grads.values()])) < grad_share


@pytest.mark.parametrize("width", [64, 20], ids=["one kernel", "rows that the kernel does not take"])
def test_products_by_expert_and_their_gradients(width):
    draw = torch.Generator().manual_seed(2)
    x_MX = torch.randn(200, width, generator=draw)
    weight_EYX = torch.randn(6, 48, width, generator=draw)
    counts_E = torch.tensor([50, 0, 1, 99, 0, 50])
    out_MY = torch.randn(200, 48, generator=draw)

    def run(device: str, dtype: torch.dtype) -> list[torch.Tensor | None]:
        x, weight = (t.to(device, dtype).requires_grad_() for t in (x_MX, weight_EYX))
        assert device == "cpu" or has_grouped_kernel(x) == (torch.cuda.get_device_capability() >= (9, 0))
        y = grouped_product(x, weight, counts_E.to(device))
        y.backward(out_MY.to(device, dtype))
        return [y.detach(), x.grad, weight.grad]

    for found, right in zip(run("cuda", torch.bfloat16), run("cpu", torch.float64), strict=True):
        assert relative(found, right) < 1e-2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cross_entropy_in_chunks(dtype, monkeypatch):
    draw = torch.Generator().manual_seed(3)
    x_ND, weight_VD = torch.randn(300, 32, generator=draw), torch.randn(1000, 32, generator=draw)
    target_N = torch.randint(0, 1000, (300,), generator=draw)
    x, weight = (t.double().requires_grad_() for t in (x_ND, weight_VD))
    right = F.cross_entropy(x @ weight.T, target_N)
    right.backward()
    limit = 1e-5 if dtype == torch.float32 else 1e-2
    # 1 << 27 logits: all rows at once; 70,000: chunks of 70 rows, the last of them shorter.
    for logits in (1 << 27, 70_000):
        monkeypatch.setattr(losses, "GPU_LOGITS", logits)
        ours, matrix = (t.cuda().requires_grad_() for t in (x_ND, weight_VD))
        with torch.autocast("cuda", torch.bfloat16, enabled=dtype == torch.bfloat16):
            descend, _ = losses.cross_entropy(ours, matrix, target_N.cuda())
            scores = losses.token_scores(ours.detach(), matrix.detach(), target_N.cuda())
        descend.backward()
        assert descend.item() == pytest.approx(right.item(), rel=limit)
        assert scores.logprob_N.mean().item() == pytest.approx(-right.item(), rel=limit)
        assert relative(ours.grad, x.grad) < limit and relative(matrix.grad, weight.grad) < limit


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    return make_shards(tmp_path_factory.mktemp("data") / "shards")


@pytest.mark.parametrize("model", [{}, {"kind": "moe", "experts": 8, "experts_per_token": 2, "hidden": 16}])
def test_a_run_in_bfloat16_resumes_in_the_same_bits_and_learns_as_in_float32(shards, tmp_path, model):
    def run(out: Path, dtype: str) -> list[float]:
        values = RUN | {"shards": str(shards), "out": str(out), "model": model, "dtype": dtype, "device": "cuda"}
        pretrain(from_mapping(values, RunConfig, "test"))
        return [row["loss"] for row in read_jsonl(out / "metrics.jsonl")]

    found, right = run(tmp_path / "half", "bfloat16"), run(tmp_path / "whole", "float32")
    assert found[0] == pytest.approx(right[0], abs=2e-2)
    assert np.abs(np.array(found) - right).max() < 0.15 and found[-1] < found[0] - 0.5
    *_, last = checkpoint_folders(tmp_path / "half")
    weights = open_checkpoint(last).model_sha256
    (tmp_path / "half" / "result.json").unlink()
    for folder in checkpoint_folders(tmp_path / "half"):
        if open_checkpoint(folder).step > 4:
            shutil.rmtree(folder)
    assert run(tmp_path / "half", "bfloat16") == found
    assert open_checkpoint(last).model_sha256 == weights


@pytest.mark.parametrize("config", [DENSE, EXPERTS], ids=["dense", "experts"])
def test_blocks_computed_again_or_compiled(config):
    tokens = torch.randint(0, 512, (4, 65), generator=torch.Generator().manual_seed(4)).cuda()
    right, right_grads = gradients(decoder(config).initialise(0).cuda(), tokens, half=True)
    again = decoder(config).initialise(0).cuda()
    again.recompute = True
    found, grads = gradients(again, tokens, half=True)
    assert found == right and all(torch.equal(grads[name], grad) for name, grad in right_grads.items())
    compiled = decoder(config).initialise(0).cuda()
    for block in compiled.blocks:
        block.compile()
    found, grads = gradients(compiled, tokens, half=True)
    assert found == pytest.approx(right, abs=5e-3)
    whole = torch.cat([grads[name].flatten() for name in right_grads])
    assert relative(whole, torch.cat([grad.flatten() for grad in right_grads.values()])) < 4e-2


@pytest.mark.parametrize("mixture", [False, True], ids=["dense", "experts"])
def test_fine_tuning_and_preferences_follow_the_cpu(tmp_path, mixture):
    model = a_model(tmp_path / "model", mixture=mixture)
    files = {"sft": write_chats(tmp_path / "chats.jsonl"), "dpo": write_pairs(tmp_path / "pairs.jsonl")}
    for command, train in (("sft", sft), ("dpo", dpo)):
        found = []
        for device in ("cpu", "cuda"):
            out = tmp_path / f"{command}-{device}"
            train(configured(command, out, model, files[command], device=device, batch=16))
            found.append([row["loss"] for row in read_jsonl(out / "metrics.jsonl")])
        assert np.abs(np.array(found[0]) - found[1]).max() < 1e-3
        assert len(found[0]) > 2


def test_served_logits_are_those_of_the_cpu(tmp_path):
    folder = a_checkpoint(tmp_path / "model", MIXTURE)
    tokens_BS = torch.randint(0, 300, (2, 50), generator=torch.Generator().manual_seed(5))
    found = []
    for device in ("cpu", "cuda"):
        model = open_model(folder, device).model
        held_BS, at = torch.ones(2, 25, dtype=torch.bool), torch.tensor([[0, 24], [1, 24]])
        first, memory = model.read(tokens_BS[:, :25].to(device), held_BS.to(device), None, at.to(device))
        second, _ = model.read(tokens_BS[:, 25:].to(device), held_BS.to(device), memory, at.to(device))
        found.append(torch.cat((first, second)).float().cpu())
    assert (found[0] - found[1]).abs().max() < 1e-3
