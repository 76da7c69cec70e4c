"""The training loop: one run, from its newest checkpoint to its result, whatever its objective.

The same run gives the same weights to the last bit however often it was killed and resumed, and whatever the number of
worker threads. With several ranks it reads the same samples in the same order, and its weights differ in rounding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from trainers.core import checkpoint
from trainers.core.adamw import AdamW
from trainers.core.checkpoint import Checkpoint
from trainers.core.objective import Objective, check_state
from trainers.core.parts import Parts, available_cores, cut
from trainers.core.plan import Plan
from trainers.core.ranks import Ranks, number, reduce_gradients, reshard, shard, started_ranks
from trainers.data.loader import Loader
from trainers.process.device import chosen_device, peak_flops, peak_memory_bytes
from trainers.process.errors import TrainerError
from trainers.process.files import write_json
from trainers.process.progress import Progress, pipes_session
from trainers.process.run_folder import METRICS, RESULT, Metrics, claimed, finished_result
from trainers.process.stops import recorded
from trainers.process.trackers import check_tracker, tracker

USUAL_LOSS_RATE = 0.05
"""Weight of the newest step in the running mean of the loss: about the last twenty steps count."""


@dataclass
class Position:
    """How far a run has come; saved with every checkpoint."""

    step: int = 0
    seconds: float = 0.0
    """Wall clock in the training loop, over all processes."""
    step_seconds: float = 0.0
    """Of which in optimiser steps."""
    logged_tokens: int = 0
    """Tokens at the last row of metrics."""
    logged_seconds: float = 0.0
    """`step_seconds` at the last row of metrics."""
    loss_sum: float = 0.0
    """Of the steps since the last row of metrics, so that a resumed run writes the same row."""
    loss_steps: int = 0
    train_loss: float | None = None
    """Mean training loss over the steps of the last row of metrics."""
    heldout: dict[str, float] | None = None
    """The last measurement of the model."""
    usual_loss: float | None = None
    """A running mean of the loss, against which a spike is recognised."""


def train(plan: Plan, objective: Objective, loader: Loader) -> dict[str, Any]:
    """Train, or continue to train, in the plan's folder; returns the contents of result.json.

    A finished run returns at once.

    Raises:
        TrainerError: the folder holds another run, the device is missing, or the loss diverged.
    """
    config = plan.config
    device = chosen_device(config.device)
    check_tracker(config.tracker)
    if config.threads:
        torch.set_num_threads(config.threads)
    with started_ranks(device.type) as ranks, _claimed(plan, objective, ranks), _pipes(ranks) as pipes:
        done = ranks.from_first(finished_result(Path(config.out)))
        if done is not None:
            return done
        objective.prepare(Path(config.out))
        trainer = Trainer(plan, objective, loader, pipes, device=device, ranks=ranks)
        with trainer.parts, _followed(trainer):
            return trainer.train()


@contextmanager
def _claimed(plan: Plan, objective: Objective, ranks: Ranks) -> Generator[None]:
    """The run's folder, held by the first rank; the other ranks wait until it has it."""
    place = Path(plan.config.out)
    held = claimed(place, plan.identity, plan.fingerprint, objective.kind) if ranks.first else nullcontext()
    with held:
        ranks.from_first(None)
        yield


@contextmanager
def _followed(trainer: Trainer) -> Generator[None]:
    """Rows of metrics go to the run's tracker, and why the process ends is recorded; by the first rank alone."""
    if not trainer.ranks.first:
        yield
        return
    plan, out = trainer.plan, trainer.out
    with (
        recorded(out, lambda: trainer.position.step),
        tracker(trainer.config.tracker, out, plan.name, plan.identity) as trainer.track,
    ):
        yield


def _pipes(ranks: Ranks) -> AbstractContextManager[Any]:
    return pipes_session() if ranks.first else nullcontext()


class Trainer:
    """One run: the state of its loop, and the steps that are left."""

    def __init__(
        self, plan: Plan, objective: Objective, loader: Loader, pipes: Any, *, device: torch.device, ranks: Ranks
    ) -> None:
        self.plan, self.config, self.objective, self.loader = plan, plan.config, objective, loader
        self.out = Path(self.config.out)
        self.device, self.ranks = device, ranks
        self.model = self._built()
        self.optimiser = AdamW(self.model, plan.optimiser, tuple(objective.undecayed))
        self.schedule = plan.optimiser.over(plan.steps)
        self.position = Position()
        self.saved = self._resume()
        self.parts = Parts(self.model, self._part_count(), self.config.workers or available_cores())
        self.peak = peak_flops(self.device, self.config.dtype)
        self.metrics = Metrics(self.out / METRICS, self.position.step) if ranks.first else None
        self.progress = Progress(
            objective.kind, plan.name, plan.steps, self.position.step, pipes, silent=not ranks.first
        )
        self._last_clock = time.monotonic()
        self.track: Callable[[Mapping[str, Any]], None] = lambda row: None

    def _built(self) -> nn.Module:
        # On the meta device no rank ever holds the whole; but it loads torch's compiler, four seconds a process.
        with torch.device("meta") if self.ranks.count > 1 else nullcontext():
            model = self.objective.build()
        blocks = self.objective.blocks(model)
        if self.config.compile:
            for block in blocks:
                block.compile()
        shard(model, self.ranks, self.device.type, blocks, self.objective.entry_points)
        model = model.to_empty(device=self.device)
        self.objective.initialise(model)
        return model

    def _resume(self) -> Checkpoint | None:
        """The newest whole checkpoint of this run, if any, loaded into model, optimiser, loader and objective."""
        found = self.ranks.from_first(checkpoint.latest(self.out) if self.ranks.first else None)
        if found is None or found.state["fingerprint"] != self.plan.fingerprint:
            return None
        found.load_model(self.model)
        found.load_optimiser(self.optimiser)
        self.loader.consumed = int(found.state["loader"]["consumed"])
        self.objective.restore(found.state)
        self.position = Position(**found.state["position"])
        return found

    def _part_count(self) -> int:
        """Parts of a batch: several only where threads can share them, so neither on a GPU nor among ranks."""
        alone = self.ranks.count == 1 and self.device.type == "cpu" and not self.config.compile
        return max(1, min(self.config.parts or self.plan.parts, self.plan.batch)) if alone else 1

    @property
    def tokens(self) -> int:
        """Tokens trained on so far."""
        return self.objective.tokens(self.position.step)

    def train(self) -> dict[str, Any]:
        """Take the steps that are left, and write result.json."""
        self._last_clock = time.monotonic()
        while self.position.step < self.plan.steps:
            began = time.monotonic()
            self.position.step += 1
            loss = self._compute_gradients()
            norm = self._clip_gradients()
            self._stop_at_a_spike(loss, norm)
            self._update_weights()
            self._count(loss, time.monotonic() - began)
            measured = self._measure() if self._due(self.config.evaluate_every or self.plan.steps) else None
            self._advance_clock()
            if measured is not None or self._due(self.config.log_every or max(1, self.plan.steps // 200), last=False):
                self._log(norm, measured)
            if self._due(self.config.checkpoint_every or max(1, self.plan.steps // 4)):
                self._save()
            self.progress.step(self.position.step, tokens=self.tokens, loss=self.position.train_loss)
        return self._finish()

    def _due(self, every: int, *, last: bool = True) -> bool:
        """Whether this step is one of every `every`, or, if `last`, the run's last."""
        return self.position.step % every == 0 or (last and self.position.step == self.plan.steps)

    def _compute_gradients(self) -> float:
        """Gradients of the next batch, in the model; returns its mean loss over all ranks."""
        self.objective.begin_step()
        loss = 0.0
        for found in self.parts.compute(self._gradients_of, self._next_parts()):
            for share, report, notes in found:
                loss += share * report
                self.objective.note(notes, share)
        return self.ranks.total(loss, self.device)

    def _next_parts(self) -> list[list[tuple[Any, float]]]:
        """This rank's samples of the next batch: for each part its microbatches, each with its share of the batch."""
        batch, ranks = self.plan.batch, self.ranks
        samples = self.loader.next_batch(batch, ranks.rank, ranks.count)
        # Every rank has as many microbatches, because ranks compute together.
        most = -(-batch // ranks.count)
        parts = cut(samples, len(self.parts.models)) if len(self.parts.models) > 1 else [samples]
        found = [list(self._microbatches(part, most if len(parts) == 1 else len(part))) for part in parts]
        total = ranks.total(sum(weight for part in found for _, weight in part), self.device)
        return [[(micro, weight / (total or 1)) for micro, weight in part] for part in found]

    def _microbatches(self, samples: Any, most: int) -> Iterator[tuple[Any, float]]:
        size = self.config.microbatch or most
        for start in range(0, most, size):
            micro = samples[start : start + size]
            yield (micro, self.objective.weight(micro)) if len(micro) else (self.objective.placeholder(), 0.0)

    def _gradients_of(self, model: nn.Module, microbatches: list[tuple[Any, float]]) -> list[tuple[float, float, Any]]:
        """Add one part's gradients to its model; returns share, reported loss and notes of each microbatch."""
        found = []
        for place, (samples, share) in enumerate(microbatches, start=1):
            reduce_gradients(model, now=place == len(microbatches))
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.dtype == "bfloat16"):
                loss = self.objective.loss(model, samples, self.device)
            # FSDP takes the mean of the ranks' gradients, and shares add up to one over all ranks.
            (loss.descend * (share * self.ranks.count)).backward()
            found.append((share, loss.report.item(), loss.notes))
        return found

    def _clip_gradients(self) -> float:
        """Limit the norm of all gradients together; returns it as it was before."""
        limit = self.plan.optimiser.clip
        return number(torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit, foreach=True))

    def _stop_at_a_spike(self, loss: float, norm: float) -> None:
        """Stop at a loss that is not finite or far above usual, before it reaches the weights."""
        usual = self.position.usual_loss
        leaps = self.config.spike and usual is not None and loss > usual + self.config.spike
        if leaps or not (math.isfinite(loss) and math.isfinite(norm)):
            self._diverged(loss, norm)
        self.position.usual_loss = loss if usual is None else usual + USUAL_LOSS_RATE * (loss - usual)

    def _diverged(self, loss: float, norm: float) -> NoReturn:
        """End a run that diverged; nothing of this step is saved."""
        kept = f"the last good checkpoint is {self.saved.folder}" if self.saved else "no checkpoint was made yet"
        usual = self.position.usual_loss
        before = "" if usual is None else f", after {usual:.3f} usually,"
        raise TrainerError(
            f"{self.plan.name}: at step {self.position.step} the loss is {loss}{before} and the gradient norm {norm};"
            f" {kept}",
            "lower optimiser.learning_rate or raise optimiser.warmup_steps, in another `out` folder",
        )

    def _update_weights(self) -> None:
        self.optimiser.step(self.schedule.rate(self.position.step))

    def _count(self, loss: float, seconds: float) -> None:
        self.position.loss_sum += loss
        self.position.loss_steps += 1
        self.position.step_seconds += seconds

    def _advance_clock(self) -> None:
        now = time.monotonic()
        self.position.seconds += now - self._last_clock
        self._last_clock = now

    def _measure(self) -> dict[str, float]:
        measured = self.objective.measure(self.model, self.ranks)
        reshard(self.model)
        self.position.heldout = measured
        self.progress.event("heldout", step=self.position.step, **measured)
        return measured

    def _log(self, norm: float, measured: dict[str, float] | None) -> None:
        position = self.position
        position.train_loss = position.loss_sum / position.loss_steps
        position.loss_sum, position.loss_steps = 0.0, 0
        row = {
            "step": position.step,
            "tokens": self.tokens,
            "loss": position.train_loss,
            "lr": self.schedule.rate(position.step),
            "grad_norm": norm,
            "tokens_per_s": self._throughput(),
            "elapsed_s": round(position.seconds, 3),
            **self._utilisation(),
            **self.objective.columns(measured, self.ranks),
        }
        if self.metrics is not None:
            self.metrics.write(row)
            self.track(row)

    def _throughput(self) -> float:
        """Tokens a second of optimiser steps since the last row of metrics."""
        position = self.position
        tokens, seconds = self.tokens - position.logged_tokens, position.step_seconds - position.logged_seconds
        position.logged_tokens, position.logged_seconds = self.tokens, position.step_seconds
        return round(tokens / max(seconds, 1e-9), 1)

    def _utilisation(self) -> dict[str, float]:
        """MFU where the device's peak is known: FLOPs of the parameters a token meets, over what the devices could."""
        flops = self.objective.flops(self.tokens)
        if self.peak is None or flops is None:
            return {}
        return {"mfu": round(flops / self.position.step_seconds / (self.peak[1] * self.ranks.count), 4)}

    def _save(self) -> None:
        own = self.objective.state()
        state: dict[str, Any] = {
            "step": self.position.step,
            "tokens": self.tokens,
            "fingerprint": self.plan.fingerprint,
            "config": self.plan.identity,
            **own,
            "loader": self.loader.state(),
            "position": asdict(self.position),
        }
        check_state(own, ("step", "tokens", "fingerprint", "config", "loader", "position", "digests"))
        self.saved = checkpoint.save(self.out, state, self.model, self.optimiser, self.ranks)
        if self.ranks.first:
            checkpoint.prune(self.out, self.config.keep_checkpoints)
        self.progress.event("checkpoint", step=self.position.step, path=str(self.saved.folder))

    def _finish(self) -> dict[str, Any]:
        saved, position = self.saved, self.position
        assert saved is not None and position.heldout is not None
        result = {
            "run": self.plan.name,
            **self.objective.result(self.tokens, position.heldout),
            "tokens": self.tokens,
            "steps": position.step,
            "train_loss": position.train_loss,
            "checkpoint": str(saved.folder),
            "checkpoint_sha256": saved.model_sha256,
            "fingerprint": self.plan.fingerprint,
            "seconds": round(position.seconds, 3),
            "tokens_per_s": round(self.tokens / position.step_seconds, 1),
            "peak_memory_bytes": peak_memory_bytes(self.device),
            "ranks": self.ranks.count,
            "device": self.peak[0] if self.peak else self.device.type,
            "peak_flops": self.peak[1] if self.peak else None,
            **self._utilisation(),
        }
        if self.metrics is not None:
            self.metrics.close()
            write_json(self.out / RESULT, result)
        self.progress.event("finished", **result)
        return result
