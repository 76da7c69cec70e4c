"""The training loop: one run, from its newest checkpoint to its result, whatever its objective.

The same run gives the same weights to the last bit however often it was killed and resumed, and whatever the number of
worker threads. With several ranks it reads the same samples in the same order, and its weights differ in rounding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from trainers.core import checkpoint
from trainers.core.checkpoint import Checkpoint
from trainers.core.muon import optimiser_of
from trainers.core.objective import Objective, check_state
from trainers.core.parts import Parts, available_cores, cut
from trainers.core.plan import Plan
from trainers.core.ranks import Ranks, number, reduce_gradients, reshard, shard, started_ranks
from trainers.data.loader import Loader
from trainers.process.device import chosen_device, peak_flops, peak_memory_bytes
from trainers.process.errors import RunStoppedError, TrainerError, no_room
from trainers.process.progress import Progress, pipes_session
from trainers.process.run_folder import (
    METRICS,
    RESULT,
    Metrics,
    claimed,
    finished_result,
    metrics_mark,
    read_metrics,
)
from trainers.process.sealed import write_sealed
from trainers.process.stopping import StopRequested, StopSignals
from trainers.process.stops import recorded
from trainers.process.trackers import check_tracker, tracker

USUAL_LOSS_RATE = 0.05
"""Weight of the newest step in the running mean of the loss: about the last twenty steps count."""


MOST_EPOCHS = 4
"""Up to so many, repeated data are worth nearly as much as new ones (arXiv 2305.16264)."""


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
    row: dict[str, Any] | None = None
    """The row of metrics of a step whose checkpoint was saved and which is still to be measured."""
    usual_loss: float | None = None
    """A running mean of the loss, against which a spike is recognised."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a run besides its steps."""

    stop: bool = False
    """To end now."""
    late: bool = False
    """To save now, as the last checkpoint is long ago."""


def train(plan: Plan, objective: Objective, loader: Loader) -> dict[str, Any]:
    """Train, or continue to train, in the plan's folder; returns the contents of result.json.

    A finished run returns at once.

    Raises:
        TrainerError: the folder holds another run, the device is missing, the disk is full, or the loss diverged.
        RunStoppedError: SIGTERM or SIGINT asked the run to stop; its state is saved.
    """
    config = plan.config
    device = chosen_device(config.device)
    check_tracker(config.tracker)
    if config.threads:
        torch.set_num_threads(config.threads)
    with (
        StopSignals() as signals,
        _stops(plan, signals),
        started_ranks(device.type) as ranks,
        _claimed(plan, objective, ranks),
        _pipes(ranks) as pipes,
    ):
        out = Path(plan.config.out)
        done = ranks.from_first(finished_result(out))
        if done is not None:
            return done
        objective.ranks = ranks
        objective.prepare(out)
        trainer = Trainer(plan, objective, loader, pipes, device=device, ranks=ranks, signals=signals)
        with trainer.parts, _followed(trainer), signals.noting():
            return trainer.train()


@contextmanager
def _stops(plan: Plan, signals: StopSignals) -> Generator[None]:
    """Turn a signal before the first step, and a full disk, into errors that say so."""
    try:
        yield
    except StopRequested:
        raise RunStoppedError(f"{plan.name} by {signals.received}, before a step") from None
    except OSError as error:
        raise no_room(error) from None


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
        self,
        plan: Plan,
        objective: Objective,
        loader: Loader,
        pipes: Any,
        *,
        device: torch.device,
        ranks: Ranks,
        signals: StopSignals,
    ) -> None:
        self.plan, self.config, self.objective, self.loader = plan, plan.config, objective, loader
        self.out = Path(self.config.out)
        self.device, self.ranks, self.signals = device, ranks, signals
        self.asked = Asked()
        self.model = self._built()
        self.optimiser = optimiser_of(self.model, plan.optimiser, tuple(objective.undecayed))
        self.schedule = plan.optimiser.over(plan.steps)
        self.position = Position()
        self.scale = 1.0
        """What the gradient of a step is multiplied by: 1 where it is that of the mean loss."""
        self.saved = self._resume()
        self.parts = Parts(self.model, self._part_count(), self.config.workers or available_cores())
        self.peak = peak_flops(self.device, self.config.dtype)
        measured_before = self.position.step if self.position.row is None else self.position.step - 1
        self.metrics = Metrics(self.out / METRICS, measured_before) if ranks.first else None
        self.progress = Progress(
            objective.kind, plan.name, plan.steps, self.position.step, pipes, silent=not ranks.first
        )
        self._last_clock = self._last_save = time.monotonic()
        self.track: Callable[[Mapping[str, Any]], None] = lambda row: None

    def _built(self) -> nn.Module:
        # On the meta device no rank ever holds the whole; but it loads torch's compiler, four seconds a process.
        with torch.device("meta") if self.ranks.count > 1 else nullcontext():
            model = self.objective.build()
        blocks = self.objective.blocks(model)
        if self.config.compile:
            for block in blocks:
                block.compile()
        half = self.config.dtype == "bfloat16"
        shard(model, self.ranks, self.device.type, blocks, self.objective.entry_points, half=half)
        model = model.to_empty(device=self.device)
        self.objective.initialise(model)
        return model

    def _resume(self) -> Checkpoint | None:
        """The newest whole checkpoint of this run, if any, loaded into model, optimiser, loader and objective."""
        found = self.ranks.from_first(checkpoint.latest(self.out) if self.ranks.first else None)
        if found is None or found.state["fingerprint"] != self.plan.fingerprint:
            self._begin()
            return None
        found.load_model(self.model)
        found.load_optimiser(self.optimiser)
        self.loader.consumed = int(found.state["loader"]["consumed"])
        self.objective.restore(found.state)
        self.position = Position(**found.state["position"])
        if self.ranks.first:
            # A process that was killed may have saved without removing what that checkpoint made needless.
            checkpoint.prune(self.out, self.config.keep_checkpoints, found)
            if (self.out / METRICS).is_file():
                read_metrics(self.out, found.state.get("metrics"))
        return found

    def _begin(self) -> None:
        """Take over what the plan names of another run's checkpoint."""
        start = self.plan.start
        if start is None:
            return
        found = start.checkpoint
        found.load_optimiser(self.optimiser)
        if start.branch:
            found.load_model(self.model)
            self.loader.consumed = start.consumed
            self.objective.restore(found.state)
            self.position = replace(Position(**found.state["position"]), heldout=None, row=None)

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
        self._report_epochs()
        self._last_clock = time.monotonic()
        if self.position.row is not None:
            self._measure()
        while self.position.step < self.plan.steps:
            began = time.monotonic()
            self.position.step += 1
            loss = self._compute_gradients()
            norm = self._clip_gradients()
            self._stop_at_a_spike(loss, norm)
            self._update_weights()
            self._count(loss, time.monotonic() - began)
            self._advance_clock()
            measuring = self._due(self.config.evaluate_every or self.plan.steps)
            if measuring or self._due(self.config.log_every or max(1, self.plan.steps // 200), last=False):
                self._log(norm, measuring)
            # The checkpoint comes before the measurement: whatever happens there, the steps are not lost.
            if self._due(self.config.checkpoint_every or max(1, self.plan.steps // 4)):
                self._save()
            elif self._asked().late:
                self._save(passing=True)
            if measuring:
                self._measure()
            self.progress.step(self.position.step, tokens=self.tokens, loss=self.position.train_loss)
            if self._asked().stop:
                self._stop()
        return self._finish()

    def _report_epochs(self) -> None:
        """Say before the first step how often the run reads its data."""
        epochs = self._epochs()
        self.progress.event("started", step=self.position.step, steps=self.plan.steps, epochs=epochs)
        if max(epochs) > MOST_EPOCHS:
            cause = f"{self.plan.name} reads its data {max(epochs)} times; above {MOST_EPOCHS} that teaches ever less"
            self.progress.warn(cause, "train on more data, or for fewer steps (arXiv 2305.16264)")

    def _epochs(self) -> list[float]:
        """Of each source, over the whole run."""
        return [round(found, 3) for found in self.loader.epochs(self.plan.steps * self.plan.batch)]

    def _asked(self) -> Asked:
        """What is asked of this run now. Several ranks answer alike: as they agreed when they added up their losses."""
        return self._asked_here() if self.ranks.count == 1 else self.asked

    def _asked_here(self) -> Asked:
        minutes = (time.monotonic() - self._last_save) / 60
        late = self.ranks.first and 0 < self.config.checkpoint_minutes <= minutes
        return Asked(bool(self.signals.received), late)

    def _stop(self) -> NoReturn:
        """End the process with everything saved."""
        if self.saved is None or self.saved.step != self.position.step:
            self._save(passing=True)
        if self.metrics is not None:
            self.metrics.close()
        cause = self.signals.received or "a signal to another rank"
        self.progress.event("stopped", step=self.position.step, cause=cause)
        raise RunStoppedError(f"{self.plan.name} after step {self.position.step} by {cause}; its state is saved")

    def _due(self, every: int, *, last: bool = True) -> bool:
        """Whether this step is one of every `every`, or, if `last`, the run's last."""
        return self.position.step % every == 0 or (last and self.position.step == self.plan.steps)

    def _compute_gradients(self) -> float:
        """Gradients of the next batch, in the model; returns its mean loss over all ranks."""
        self.objective.begin_step()
        loss, parts = 0.0, self._next_parts()
        self._survey(parts)
        for found in self.parts.compute(self._gradients_of, parts):
            for share, report, notes in found:
                loss += share * report
                self.objective.note(notes, share)
        if self.ranks.count > 1:
            here = self._asked_here()
            sums = torch.tensor([loss, here.stop, here.late], dtype=torch.float64, device=self.device)
            loss, stop, late = self.ranks.totals(sums).tolist()
            self.asked = Asked(stop > 0, late > 0)
        return loss

    def _survey(self, parts: list[list[tuple[Any, float]]]) -> None:
        """Look at all samples of a step before its first gradient, where a loss needs that and sees but some of them.

        Every rank decides alike: from the number of its pieces, and whether a rank has none.
        """
        in_pieces = len(parts) > 1 or len(parts[0]) > 1 or self.plan.batch < self.ranks.count
        if self.objective.surveys and in_pieces:
            sums = [total for found in self.parts.compute(self._surveyed_of, parts) for total in found]
            self.objective.surveyed(self.ranks.totals(torch.stack(sums).sum(0)))
            reshard(self.model)

    def _surveyed_of(self, model: nn.Module, microbatches: list[tuple[Any, float]]) -> list[Tensor]:
        """The surveys of one part's microbatches; a sample that stands for none adds nothing."""
        found = []
        for samples, share in microbatches:
            with torch.no_grad(), self._autocast():
                sums = self.objective.survey(model, samples, self.device)
            found.append(sums if share else torch.zeros_like(sums))
        return found

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.dtype == "bfloat16")

    def _next_parts(self) -> list[list[tuple[Any, float]]]:
        """This rank's samples of the next batch: for each part its microbatches, each with its share of the batch."""
        batch, ranks = self.plan.batch, self.ranks
        samples = self.loader.next_batch(batch, ranks.rank, ranks.count)
        # Every rank has as many microbatches, because ranks compute together.
        most = -(-batch // ranks.count)
        parts = cut(samples, len(self.parts.models)) if len(self.parts.models) > 1 else [samples]
        found = [list(self._microbatches(part, most if len(parts) == 1 else len(part))) for part in parts]
        total = ranks.total(sum(weight for part in found for _, weight in part), self.device)
        self.scale = (total or 1) / self.objective.divisor(total or 1)
        return [[(micro, weight / (total or 1)) for micro, weight in part] for part in found]

    def _microbatches(self, samples: Any, most: int) -> Iterator[tuple[Any, float]]:
        size = self.config.microbatch or max(1, most)
        for start in range(0, most, size):
            micro = samples[start : start + size]
            yield (micro, self.objective.weight(micro)) if len(micro) else (self.objective.placeholder(), 0.0)

    def _gradients_of(self, model: nn.Module, microbatches: list[tuple[Any, float]]) -> list[tuple[float, float, Any]]:
        """Add one part's gradients to its model; returns share, reported loss and notes of each microbatch."""
        found = []
        for place, (samples, share) in enumerate(microbatches, start=1):
            reduce_gradients(model, now=place == len(microbatches))
            with self._autocast():
                loss = self.objective.loss(model, samples, self.device)
            # FSDP takes the mean of the ranks' gradients, and shares add up to one over all ranks.
            (loss.descend * (share * self.scale * self.ranks.count)).backward()
            found.append((share, loss.report.item(), loss.notes))
        return found

    def _clip_gradients(self) -> float:
        """Limit the norm of all gradients together, if it is to be limited; returns it as it was before."""
        limit = self.plan.optimiser.clip or math.inf
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
        mend = "lower optimiser.learning_rate or raise optimiser.warmup_steps, in another `out` folder"
        if math.isfinite(loss) and math.isfinite(norm):
            mend += "; raise `spike` where the losses of batches differ as much"
        raise TrainerError(
            f"{self.plan.name}: at step {self.position.step} the loss is {loss}{before} and the gradient norm {norm};"
            f" {kept}",
            mend,
        )

    def _update_weights(self) -> None:
        step = self.position.step
        self.optimiser.step(self.schedule.rate(step), self.objective.rates(step))

    def _count(self, loss: float, seconds: float) -> None:
        self.position.loss_sum += loss
        self.position.loss_steps += 1
        self.position.step_seconds += seconds

    def _advance_clock(self) -> None:
        now = time.monotonic()
        self.position.seconds += now - self._last_clock
        self._last_clock = now

    def _measure(self) -> None:
        """Measure the model, and write the row of metrics that waits for it."""
        pieces = self.ranks.count * len(self.parts.models)
        most = self.config.microbatch or -(-self.plan.batch // pieces)
        try:
            # One rank can leave a measurement at once; several would have to agree on where.
            with self.signals.raising(self.ranks.count == 1), self._autocast():
                measured = self.objective.measure(self.model, self.ranks, most)
        except StopRequested:
            self._stop()
        reshard(self.model)
        self._advance_clock()
        row, self.position.row, self.position.heldout = self.position.row, None, measured
        self.progress.event("heldout", step=self.position.step, **measured)
        self._write_row((row or {}) | self.objective.measured_columns(measured))

    def _log(self, norm: float, measuring: bool) -> None:
        position = self.position
        position.train_loss = position.loss_sum / position.loss_steps
        position.loss_sum, position.loss_steps = 0.0, 0
        tokens, seconds = self._since_last_row()
        row = {
            "step": position.step,
            "tokens": self.tokens,
            "loss": position.train_loss,
            "lr": self.schedule.rate(position.step),
            "grad_norm": norm,
            "tokens_per_s": round(tokens / seconds, 1),
            "elapsed_s": round(position.seconds, 3),
            **self._utilisation(tokens, seconds),
            **self.objective.columns(self.ranks),
        }
        if measuring:
            position.row = row
        else:
            self._write_row(row)

    def _write_row(self, row: dict[str, Any]) -> None:
        if self.metrics is not None:
            self.metrics.write(row)
            self.track(row)

    def _since_last_row(self) -> tuple[int, float]:
        """Tokens, and seconds of optimiser steps, since the last row of metrics."""
        position = self.position
        tokens, seconds = self.tokens - position.logged_tokens, position.step_seconds - position.logged_seconds
        position.logged_tokens, position.logged_seconds = self.tokens, position.step_seconds
        return tokens, max(seconds, 1e-9)

    def _utilisation(self, tokens: int, seconds: float) -> dict[str, float]:
        """MFU where the device's peak is known: FLOPs of the parameters a token meets, over what the devices could."""
        flops = self.objective.flops(tokens)
        if self.peak is None or flops is None:
            return {}
        return {"mfu": round(flops / seconds / (self.peak[1] * self.ranks.count), 4)}

    def _save(self, *, passing: bool = False) -> None:
        own = self.objective.state()
        state: dict[str, Any] = {
            "step": self.position.step,
            "tokens": self.tokens,
            "fingerprint": self.plan.fingerprint,
            "config": self.plan.identity,
            **own,
            "loader": self.loader.state(),
            "position": asdict(self.position),
            "metrics": metrics_mark(self.out) if self.ranks.first else None,
            "passing": passing,
            "lineage": list(self.plan.lineage),
        }
        check_state(own, checkpoint.RESERVED)
        self.saved = checkpoint.save(self.out, state, self.model, self.optimiser, self.ranks)
        self._last_save = time.monotonic()
        if self.ranks.first:
            checkpoint.prune(self.out, self.config.keep_checkpoints, self.saved)
        self.progress.event("checkpoint", step=self.position.step, path=str(self.saved.folder))

    def _finish(self) -> dict[str, Any]:
        saved, position = self.saved, self.position
        assert saved is not None and position.heldout is not None
        result = {
            "run": self.plan.name,
            **self.objective.result(self.tokens, position.heldout),
            "tokens": self.tokens,
            "steps": position.step,
            "epochs": self._epochs(),
            "train_loss": position.train_loss,
            "checkpoint": str(saved.folder),
            "checkpoint_sha256": saved.model_sha256,
            "fingerprint": self.plan.fingerprint,
            "lineage": list(self.plan.lineage),
            "seconds": round(position.seconds, 3),
            "tokens_per_s": round(self.tokens / position.step_seconds, 1),
            "peak_memory_bytes": peak_memory_bytes(self.device),
            "metrics": metrics_mark(self.out),
            "ranks": self.ranks.count,
            "device": self.peak[0] if self.peak else self.device.type,
            "peak_flops": self.peak[1] if self.peak else None,
            **self._utilisation(self.tokens, position.step_seconds),
        }
        if self.metrics is not None:
            self.metrics.close()
            write_sealed(self.out / RESULT, result)
        self.progress.event("finished", **result)
        return result
