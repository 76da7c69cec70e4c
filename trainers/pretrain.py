"""Train a decoder on shards: python -m trainers.pretrain --config run.yaml

    run.yaml     preset: 70k-1xC
                 shards: path/of/shards      (a folder with train/, heldout/ and dataset.json)
                 out: runs/70k-1xC

The run folder then holds config.json, metrics.jsonl, checkpoints step_00000100/ and, at the end, result.json. Started
again it goes on from its newest whole checkpoint, to the same weights as if it had never stopped; when it had finished
it returns at once.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch

from trainers import checkpoint
from trainers.adamw import AdamW
from trainers.checkpoint import Checkpoint
from trainers.config import Resolved, RunConfig, read_config, resolve
from trainers.data import Sequences, ShuffledLoader, check_manifest
from trainers.device import chosen_device, peak_memory_bytes
from trainers.errors import TrainerError, exit_code
from trainers.files import write_json
from trainers.heldout import measure
from trainers.models.config import flops_per_token, parameter_count, total_parameter_count
from trainers.models.dense import DenseDecoder
from trainers.progress import Progress, pipes_session
from trainers.run_folder import METRICS, RESULT, Metrics, claimed, finished_result


def pretrain(config: RunConfig) -> dict[str, Any]:
    """Train, or go on training, and return what result.json says."""
    shards = Path(config.shards)
    train = check_manifest(shards / "train", digests=config.verify_digests)
    heldout = check_manifest(shards / "heldout", digests=config.verify_digests)
    resolved = resolve(config, train, heldout)
    out = Path(config.out)
    with claimed(out, resolved.identity, resolved.fingerprint), pipes_session() as pipes:
        done = finished_result(out)
        if done is not None:
            return done
        if config.threads:
            torch.set_num_threads(config.threads)
        loader = ShuffledLoader(train, config.seed)
        return Trainer(resolved, loader, Sequences(heldout), pipes).run()


@dataclass
class Position:
    """How far a run has come; saved with every checkpoint."""

    step: int = 0
    seconds: float = 0.0
    """Wall clock in the training loop, over all processes."""
    step_seconds: float = 0.0
    """Of which in optimiser steps."""
    loss_sum: float = 0.0
    """Of the steps since the last row of metrics, so that a resumed run writes the same row."""
    loss_steps: int = 0
    train_loss: float | None = None
    """Mean training loss, in nats a token, over the steps of the last row of metrics."""
    heldout: dict[str, float] | None = None
    """The last measurement on held-out shards."""


class Trainer:
    """One run, from its newest checkpoint to its result."""

    def __init__(self, resolved: Resolved, loader: ShuffledLoader, heldout: Sequences, pipes: Any) -> None:
        self.resolved, self.config, self.preset = resolved, resolved.config, resolved.preset
        self.run_name = self.config.run or self.config.preset
        self.out = Path(self.config.out)
        self.loader, self.heldout = loader, heldout
        self.device = chosen_device(self.config.device)
        self.model = DenseDecoder(self.preset.model).initialise(self.config.seed).to(self.device)
        if self.config.compile:
            for block in self.model.blocks:
                block.compile()
        self.optimiser = AdamW(self.model, self.preset.optimiser, undecayed=("embedding.weight",))
        self.position = Position()
        self.saved = self._resume()
        self.metrics = Metrics(self.out / METRICS, self.position.step)
        self.progress = Progress("pretrain", self.run_name, self.preset.steps, self.position.step, pipes)

    def _resume(self) -> Checkpoint | None:
        found = checkpoint.latest(self.out)
        if found is not None and found.state["fingerprint"] == self.resolved.fingerprint:
            found.load_model(self.model)
            found.load_optimiser(self.optimiser)
            self.loader.consumed = int(found.state["loader"]["consumed"])
            self.position = Position(**found.state["position"])
            return found
        return None

    @property
    def tokens(self) -> int:
        """Tokens trained on so far."""
        return self.position.step * self.preset.batch * self.preset.model.sequence_length

    def run(self) -> dict[str, Any]:
        """Take the steps that are left, and write result.json."""
        steps = self.preset.steps
        log_every = self.config.log_every or max(1, steps // 200)
        evaluate_every = self.config.evaluate_every or steps
        checkpoint_every = self.config.checkpoint_every or max(1, steps // 4)
        clock = time.monotonic() - self.position.seconds
        while self.position.step < steps:
            norm = self._step()
            step, last = self.position.step, self.position.step == steps
            evaluates = last or step % evaluate_every == 0
            if evaluates:
                self._measure()
            self.position.seconds = time.monotonic() - clock
            if evaluates or step % log_every == 0:
                self._log(norm, evaluates)
            if last or step % checkpoint_every == 0:
                self._save()
            self.progress.step(step, tokens=self.tokens, loss=self.position.train_loss)
        return self._finish()

    def _step(self) -> float:
        """One optimiser step; returns the gradient norm before clipping."""
        began, o, position = time.monotonic(), self.preset.optimiser, self.position
        position.step += 1
        batch_BS = torch.from_numpy(self.loader.next_batch(self.preset.batch)).to(self.device)
        loss = 0.0
        for micro_BS in batch_BS.split(self.config.microbatch or self.preset.batch):
            share = len(micro_BS) / self.preset.batch
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.dtype == "bfloat16"):
                descend, report = self.model.loss(micro_BS, o.z_loss)
            (descend * share).backward()
            loss += share * report.item()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), o.clip, foreach=True).item()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._stop(loss, norm)
        self.optimiser.step(self.preset.schedule.rate(position.step))
        position.loss_sum += loss
        position.loss_steps += 1
        position.step_seconds += time.monotonic() - began
        return norm

    def _stop(self, loss: float, norm: float) -> NoReturn:
        """End a run that diverged; nothing of this step is saved."""
        kept = f"the last good checkpoint is {self.saved.folder}" if self.saved else "no checkpoint was made yet"
        raise TrainerError(
            f"{self.run_name}: at step {self.position.step} the loss is {loss} and the gradient norm {norm}; {kept}",
            "lower optimiser.learning_rate or raise optimiser.warmup_steps, in another `out` folder",
        )

    def _measure(self) -> None:
        found = measure(self.model, self.heldout, self.config.heldout_sequences)
        self.position.heldout = asdict(found)
        self.progress.event("heldout", step=self.position.step, **asdict(found))

    def _log(self, norm: float, evaluated: bool) -> None:
        position = self.position
        position.train_loss = position.loss_sum / position.loss_steps
        position.loss_sum, position.loss_steps = 0.0, 0
        row = {
            "step": position.step,
            "tokens": self.tokens,
            "loss": position.train_loss,
            "lr": self.preset.schedule.rate(position.step),
            "grad_norm": norm,
            "tokens_per_s": round(self.tokens / position.step_seconds, 1),
            "elapsed_s": round(position.seconds, 3),
        }
        if evaluated and position.heldout is not None:
            row |= {f"heldout_{name}": position.heldout[name] for name in ("nats_per_token", "bits_per_byte")}
        self.metrics.write(row)

    def _save(self) -> None:
        state = {
            "step": self.position.step,
            "tokens": self.tokens,
            "fingerprint": self.resolved.fingerprint,
            "config": self.resolved.identity,
            "loader": self.loader.state(),
            "position": asdict(self.position),
        }
        self.saved = checkpoint.save(self.out, state, self.model, self.optimiser)
        checkpoint.prune(self.out, self.config.keep_checkpoints)
        self.progress.event("checkpoint", step=self.position.step, path=str(self.saved.folder))

    def _finish(self) -> dict[str, Any]:
        self.metrics.close()
        saved, position, model = self.saved, self.position, self.preset.model
        assert saved is not None and position.heldout is not None
        result = {
            "run": self.run_name,
            "preset": self.config.preset,
            "parameters": parameter_count(model),
            "total_parameters": total_parameter_count(model),
            "flops_per_token": flops_per_token(model),
            "flops": flops_per_token(model) * self.tokens,
            "tokens": self.tokens,
            "steps": position.step,
            "seed": self.config.seed,
            "train_loss": position.train_loss,
            "heldout_nats_per_token": position.heldout["nats_per_token"],
            "heldout_bits_per_byte": position.heldout["bits_per_byte"],
            "checkpoint": str(saved.folder),
            "checkpoint_sha256": saved.model_sha256,
            "fingerprint": self.resolved.fingerprint,
            "seconds": round(position.seconds, 3),
            "tokens_per_s": round(self.tokens / position.step_seconds, 1),
            "peak_memory_bytes": peak_memory_bytes(self.device),
        }
        write_json(self.out / RESULT, result)
        self.progress.event("finished", **result)
        return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trainers.pretrain", description="Train a decoder on shards.")
    parser.add_argument("--config", required=True, metavar="FILE", help="YAML or JSON; fields in trainers/config.py")
    path = parser.parse_args(arguments).config
    return exit_code(lambda: pretrain(read_config(path, RunConfig)))


if __name__ == "__main__":
    sys.exit(main())
