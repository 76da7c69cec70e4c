"""An optimiser step of ours, of a plain torch loop and of transformers: same weights, batches and AdamW, in turns."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.trainer_stages.plain_decoder import PlainDecoder
from trainers.core import checkpoint
from trainers.core.adamw import AdamW
from trainers.core.optimiser import Optimiser
from trainers.exchange import export_model
from trainers.models.config import DenseConfig, MoEConfig, flops_per_token
from trainers.models.decoder import decoder
from trainers.models.dense import DenseDecoder
from trainers.models.hugging_face import to_tensors
from trainers.process.device import peak_flops

Step = Callable[[Tensor], Tensor]
"""Train on tokens (B, T + 1); returns the loss before the update, nats a token."""

RATE, CLIP = 1e-3, 1.0
OPTIMISER = Optimiser(learning_rate=RATE, warmup_steps=1, weight_decay=0.0, clip=CLIP)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A shape, and how much of it a turn takes."""

    name: str
    config: DenseConfig
    batch: int
    """Sequences a step."""
    steps: int
    """A turn."""
    rounds: int
    device: str = "cpu"
    peers: tuple[str, ...] = ("plain torch", "transformers")


@dataclass(frozen=True, kw_only=True)
class StepRow:
    """One side of a comparison."""

    work: str
    side: str
    tokens_s: float
    """Of the fastest turn: by processor time on a CPU, by the clock on a GPU."""
    ours_over_it: float
    loss_difference: float
    """The largest of the first turn's losses to ours, nats."""
    mfu: float | None
    device: str
    peak_flops: float | None


def dense(**shape: Any) -> DenseConfig:
    """As Olmo2: norms after."""
    return DenseConfig(**shape)


def mixture(**shape: Any) -> MoEConfig:
    """As Olmoe, without the router's losses, which transformers scales otherwise."""
    return MoEConfig(**shape, norm_placement="pre", load_balancing_weight=0.0, router_z_weight=0.0)


CPU_WORKS = (
    Work(
        name="dense, 5 M, T 128",
        config=dense(vocab_size=2048, sequence_length=128, width=256, layers=4, heads=4, hidden=1024),
        batch=8,
        steps=4,
        rounds=4,
    ),
    Work(
        name="mixture, 4 of 16, T 128",
        config=mixture(
            vocab_size=2048,
            sequence_length=128,
            width=256,
            layers=4,
            heads=4,
            hidden=256,
            experts=16,
            experts_per_token=4,
        ),
        batch=8,
        steps=4,
        rounds=4,
    ),
    Work(
        name="the demo's dense 130k",
        config=dense(vocab_size=2048, sequence_length=128, width=40, layers=2, heads=2, hidden=160),
        batch=8,
        steps=12,
        rounds=4,
    ),
)

LARGE_VOCABULARIES = tuple(
    Work(
        name=f"dense, {size}, V {shape['vocab_size']:,}",
        config=dense(sequence_length=128, **shape),
        batch=4,
        steps=1,
        rounds=6,
        peers=("plain torch",),
    )
    for size, shape in (
        ("9 M", {"vocab_size": 8192, "width": 256, "layers": 5, "heads": 4, "hidden": 1024}),
        ("35 M", {"vocab_size": 8192, "width": 512, "layers": 6, "heads": 8, "hidden": 2048}),
        ("9 M", {"vocab_size": 50_304, "width": 80, "layers": 6, "heads": 2, "hidden": 320}),
        ("35 M", {"vocab_size": 50_304, "width": 288, "layers": 4, "heads": 4, "hidden": 1152}),
    )
)
"""Shapes whose output matrix is a large part of a step; the sizes count both embeddings."""

GPU_WORKS = (
    Work(
        name="dense 1B of the ladder, T 2048",
        config=dense(vocab_size=50_304, sequence_length=2048, width=2048, layers=16, heads=16, hidden=8192),
        batch=8,
        steps=6,
        rounds=3,
        device="cuda",
        peers=("plain torch", "plain torch, compiled"),
    ),
    Work(
        name="OLMoE's shape, 4 layers, T 2048",
        config=mixture(
            vocab_size=50_304,
            sequence_length=2048,
            width=2048,
            layers=4,
            heads=16,
            hidden=1024,
            experts=64,
            experts_per_token=8,
        ),
        batch=8,
        steps=6,
        rounds=3,
        device="cuda",
        peers=("plain torch",),
    ),
)


def contest(work: Work, report: Callable[[str], None]) -> list[StepRow]:
    """All sides of one shape in turns; ours comes first."""
    weights = decoder(work.config).initialise(0).state_dict()
    makers = {
        "ours": _ours,
        "plain torch": _plain,
        "plain torch, compiled": partial(_plain, compiled=True),
        "transformers": _transformers,
    }
    sides: dict[str, Step] = {}
    for side in ("ours", *work.peers):
        model = decoder(work.config)
        model.load_state_dict(weights)
        sides[side] = makers[side](model, work)
    draw = torch.Generator().manual_seed(0)
    shape = (work.steps, work.batch, work.config.sequence_length + 1)
    batches = torch.randint(0, work.config.vocab_size, shape, generator=draw).to(work.device)
    losses: dict[str, list[float]] = {}
    best = dict.fromkeys(sides, float("inf"))
    for number in range(work.rounds):
        for side, step in sides.items():
            report(f"{work.name}: round {number + 1} of {work.rounds}, {side}")
            seconds, found = _turn(step, batches)
            losses.setdefault(side, found)
            best[side] = min(best[side], seconds)
    return _rows(work, best, losses)


def _turn(step: Step, batches: Tensor) -> tuple[float, list[float]]:
    gpu = batches.device.type == "cuda"
    clock = time.perf_counter if gpu else time.process_time
    if gpu:
        torch.cuda.synchronize()
    began = clock()
    losses = [step(batch) for batch in batches]
    if gpu:
        torch.cuda.synchronize()
    return clock() - began, [loss.item() for loss in losses]


def _rows(work: Work, best: dict[str, float], losses: dict[str, list[float]]) -> list[StepRow]:
    tokens = work.steps * work.batch * work.config.sequence_length
    peak = peak_flops(torch.device(work.device), "bfloat16")
    return [
        StepRow(
            work=work.name,
            side=side,
            tokens_s=tokens / seconds,
            ours_over_it=seconds / best["ours"],
            loss_difference=max(abs(a - b) for a, b in zip(losses[side], losses["ours"], strict=True)),
            mfu=flops_per_token(work.config) * tokens / seconds / peak[1] if peak else None,
            device=peak[0] if peak else "CPU, one core",
            peak_flops=peak[1] if peak else None,
        )
        for side, seconds in best.items()
    ]


def _precision(work: Work) -> AbstractContextManager[object]:
    return torch.autocast("cuda", torch.bfloat16) if work.device == "cuda" else nullcontext()


def _ours(model: DenseDecoder, work: Work) -> Step:
    if work.device == "cuda":
        for block in model.blocks:
            block.compile()
    model = model.to(work.device)
    optimiser = AdamW(model, OPTIMISER, ())

    def step(tokens: Tensor) -> Tensor:
        with _precision(work):
            descend, report = model.loss(tokens)
        descend.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP, foreach=True)
        optimiser.step(RATE)
        return report

    return step


def _plain(model: DenseDecoder, work: Work, compiled: bool = False) -> Step:
    tensors = dict(to_tensors(work.config, dict(model.named_parameters())))
    plain = PlainDecoder(work.config)
    plain.load_state_dict({name.removeprefix("model."): tensor for name, tensor in tensors.items()})
    plain = plain.to(work.device)
    if compiled:
        plain.compile()
    return _looped(plain, plain, work)


def _transformers(model: DenseDecoder, work: Work) -> Step:
    from transformers import AutoModelForCausalLM

    with tempfile.TemporaryDirectory() as folder:
        state = {"step": 0, "fingerprint": "", "config": {"model": asdict(work.config)}}
        checkpoint.write(Path(folder) / "step_00000000", state, {checkpoint.MODEL: model.state_dict()})
        export_model(Path(folder) / "step_00000000", Path(folder) / "exported")
        theirs = AutoModelForCausalLM.from_pretrained(Path(folder) / "exported", dtype=torch.float32).to(work.device)
    theirs.train()
    return _looped(theirs, lambda tokens: theirs(input_ids=tokens, use_cache=False).logits, work)


def _looped(model: nn.Module, logits_of: Callable[[Tensor], Tensor], work: Work) -> Step:
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=RATE, betas=(OPTIMISER.beta1, OPTIMISER.beta2), weight_decay=0.0, fused=True
    )

    def step(tokens: Tensor) -> Tensor:
        with _precision(work):
            logits = logits_of(tokens[:, :-1])
            loss = F.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        optimiser.zero_grad()
        return loss.detach()

    return step


def works() -> Sequence[Work]:
    """Those that fit the machine."""
    cpu = (*CPU_WORKS, *LARGE_VOCABULARIES)
    return (*cpu, *GPU_WORKS) if torch.cuda.is_available() else cpu
