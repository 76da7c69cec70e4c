"""Train a decoder on shards: python -m trainers.pretrain --config run.yaml

    run.yaml     preset: 70k-1xC
                 shards: path/of/shards      (a folder with train/, heldout/ and dataset.json)
                 out: runs/70k-1xC

The run folder then holds config.json, metrics.jsonl, checkpoints step_00000100/ and, at the end, result.json. Started
again it goes on from its newest whole checkpoint, to the same weights as if it had never stopped; when it had finished
it returns at once. With `torchrun --nproc-per-node R -m trainers.pretrain` R ranks take the same batches together; a
run may go on with another number of them, with the same data in the same order.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch

from trainers.core import checkpoint
from trainers.core.adamw import AdamW
from trainers.core.checkpoint import Checkpoint, digest_of
from trainers.core.ranks import Ranks, put, reshard, shard, started_ranks, whole_number
from trainers.data.batches import Loader, loader_of
from trainers.data.shards import Sequences, check_manifest
from trainers.models.config import active_parameter_count, flops_per_token, parameter_count, total_parameter_count
from trainers.models.decoder import decoder
from trainers.models.dense import DenseDecoder
from trainers.pretraining.balance import ExpertBalance
from trainers.pretraining.config import Resolved, RunConfig, named_sources, resolve
from trainers.pretraining.heldout import measure
from trainers.process.config_file import read_config
from trainers.process.device import chosen_device, peak_flops, peak_memory_bytes
from trainers.process.errors import TrainerError, exit_code
from trainers.process.files import write_atomically, write_json
from trainers.process.progress import Progress, pipes_session
from trainers.process.run_folder import METRICS, RESULT, TOKENIZER, Metrics, claimed, finished_result

USUAL_LOSS_RATE = 0.05
"""Of the running mean that tells a spike: about the last twenty steps."""


def pretrain(config: RunConfig) -> dict[str, Any]:
    """Train, or go on training, and return what result.json says."""
    shards = Path(config.shards)
    sources = [(check_manifest(at, digests=config.verify_digests), weight) for at, weight in named_sources(config)]
    heldout = check_manifest(shards / "heldout", digests=config.verify_digests)
    initial = _initial(config)
    begun = (initial.config, digest_of(initial)) if initial is not None else None
    resolved = resolve(config, sources[0][0], heldout, sources if config.sources else (), begun)
    device = chosen_device(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    with started_ranks(device.type) as ranks, _claimed(resolved, ranks), _pipes(ranks) as pipes:
        done = ranks.told(finished_result(Path(config.out)))
        if done is not None:
            return done
        _take_tokenizer(shards, Path(config.out))
        loader = loader_of(resolved.identity, [split for split, _ in sources])
        trainer = Trainer(resolved, loader, Sequences(heldout), pipes, device=device, ranks=ranks, initial=initial)
        del initial
        return trainer.run()


def _initial(config: RunConfig) -> DenseDecoder | None:
    """The model whose weights the run begins with, on the CPU."""
    if not config.init:
        return None
    from trainers.core.loading import load_decoder

    return load_decoder(Path(config.init))


@contextmanager
def _claimed(resolved: Resolved, ranks: Ranks) -> Generator[None]:
    """The run's folder, held by the first rank; the others come when it has it."""
    held = claimed(Path(resolved.config.out), resolved.identity, resolved.fingerprint) if ranks.first else nullcontext()
    with held:
        ranks.told(None)
        yield


def _pipes(ranks: Ranks) -> AbstractContextManager[Any]:
    return pipes_session() if ranks.first else nullcontext()


def _take_tokenizer(shards: Path, out: Path) -> None:
    """Keep the shards' tokenizer beside the checkpoints, for whoever asks the model for text."""
    if (shards / TOKENIZER).is_file():
        write_atomically(out / TOKENIZER, (shards / TOKENIZER).read_text(encoding="utf-8"))


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
    usual_loss: float | None = None
    """A running mean of the loss, by which a spike is told."""


class Trainer:
    """One run, from its newest checkpoint to its result."""

    def __init__(
        self,
        resolved: Resolved,
        loader: Loader,
        heldout: Sequences,
        pipes: Any,
        *,
        device: torch.device,
        ranks: Ranks,
        initial: DenseDecoder | None = None,
    ) -> None:
        self.resolved, self.config, self.preset = resolved, resolved.config, resolved.preset
        self.run_name = self.config.run or self.config.preset
        self.out = Path(self.config.out)
        self.loader, self.heldout = loader, heldout
        self.device, self.ranks = device, ranks
        self.model = self._model(initial)
        undecayed = () if self.preset.optimiser.decay_embedding else ("embedding.weight",)
        self.optimiser = AdamW(self.model, self.preset.optimiser, undecayed)
        self.position = Position()
        self.saved = self._resume()
        self.balance = ExpertBalance(self.preset.model, self.device)
        self.peak = peak_flops(self.device, self.config.dtype)
        self.metrics = Metrics(self.out / METRICS, self.position.step) if ranks.first else None
        self.progress = Progress(
            "pretrain", self.run_name, self.preset.steps, self.position.step, pipes, silent=not ranks.first
        )

    def _model(self, initial: DenseDecoder | None) -> DenseDecoder:
        # On the meta device no rank ever holds the whole; but it loads torch's compiler, four seconds a process.
        with torch.device("meta") if self.ranks.count > 1 else nullcontext():
            model = decoder(self.preset.model)
        if self.config.compile:
            for block in model.blocks:
                block.compile()
        shard(model, self.ranks, self.device.type)
        model = model.to_empty(device=self.device).initialise(self.config.seed, put)
        if initial is not None:
            weights = initial.state_dict()
            for name, parameter in model.named_parameters():
                put(parameter, weights[name])
        return model

    def _resume(self) -> Checkpoint | None:
        found = self.ranks.told(checkpoint.latest(self.out) if self.ranks.first else None)
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
        loss, balance = 0.0, self.balance
        balance.clear()
        for micro_BS, share in self._microbatches():
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.dtype == "bfloat16"):
                descend, report = self.model.loss(micro_BS, o.z_loss)
            # FSDP takes the mean of the ranks' gradients, and shares add up to one over all ranks.
            (descend * (share * self.ranks.count)).backward()
            loss += share * report.item()
            balance.add(self.model, share)
        loss = self.ranks.total(loss, self.device)
        norm = whole_number(torch.nn.utils.clip_grad_norm_(self.model.parameters(), o.clip, foreach=True))
        self._check(loss, norm)
        self.optimiser.step(self.preset.schedule.rate(position.step))
        position.loss_sum += loss
        position.loss_steps += 1
        position.step_seconds += time.monotonic() - began
        return norm

    def _microbatches(self) -> Iterator[tuple[torch.Tensor, float]]:
        """This rank's sequences of the next batch, some at a time, each with its share of the whole batch.

        Every rank gives as many, because they compute together: one that has a sequence less ends with one that counts
        nothing.
        """
        batch, ranks = self.preset.batch, self.ranks
        rows_BS = torch.from_numpy(self.loader.next_batch(batch, ranks.rank, ranks.count)).to(self.device)
        most = -(-batch // ranks.count)
        size = self.config.microbatch or most
        for start in range(0, most, size):
            micro_BS = rows_BS[start : start + size]
            yield (micro_BS, len(micro_BS) / batch) if len(micro_BS) else (self._nothing(), 0.0)

    def _nothing(self) -> torch.Tensor:
        shape = (1, self.preset.model.sequence_length + 1)
        return torch.zeros(shape, dtype=torch.int64, device=self.device)

    def _check(self, loss: float, norm: float) -> None:
        """Stop at a loss that is no number or leaps up, before it reaches the weights."""
        usual = self.position.usual_loss
        leaps = self.config.spike and usual is not None and loss > usual + self.config.spike
        if leaps or not (math.isfinite(loss) and math.isfinite(norm)):
            self._stop(loss, norm)
        self.position.usual_loss = loss if usual is None else usual + USUAL_LOSS_RATE * (loss - usual)

    def _stop(self, loss: float, norm: float) -> NoReturn:
        """End a run that diverged; nothing of this step is saved."""
        kept = f"the last good checkpoint is {self.saved.folder}" if self.saved else "no checkpoint was made yet"
        usual = self.position.usual_loss
        before = "" if usual is None else f", after {usual:.3f} usually,"
        raise TrainerError(
            f"{self.run_name}: at step {self.position.step} the loss is {loss}{before} and the gradient norm {norm};"
            f" {kept}",
            "lower optimiser.learning_rate or raise optimiser.warmup_steps, in another `out` folder",
        )

    def _measure(self) -> None:
        found = measure(self.model, self.heldout, self.config.heldout_sequences, ranks=self.ranks)
        reshard(self.model)
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
            **self._utilisation(),
        }
        if evaluated and position.heldout is not None:
            row |= {f"heldout_{name}": position.heldout[name] for name in ("nats_per_token", "bits_per_byte")}
        row |= self.balance.report(self.ranks)
        if self.metrics is not None:
            self.metrics.write(row)

    def _utilisation(self) -> dict[str, float]:
        """MFU where the device's peak is known: FLOPs of the parameters a token meets, over what the devices could."""
        if self.peak is None:
            return {}
        flops = flops_per_token(self.preset.model) * self.tokens
        return {"mfu": round(flops / self.position.step_seconds / (self.peak[1] * self.ranks.count), 4)}

    def _save(self) -> None:
        state = {
            "step": self.position.step,
            "tokens": self.tokens,
            "fingerprint": self.resolved.fingerprint,
            "config": self.resolved.identity,
            "eot": self.loader.splits[0].eot,
            "loader": self.loader.state(),
            "position": asdict(self.position),
        }
        self.saved = checkpoint.save(self.out, state, self.model, self.optimiser, self.ranks)
        if self.ranks.first:
            checkpoint.prune(self.out, self.config.keep_checkpoints)
        self.progress.event("checkpoint", step=self.position.step, path=str(self.saved.folder))

    def _finish(self) -> dict[str, Any]:
        saved, position, model = self.saved, self.position, self.preset.model
        assert saved is not None and position.heldout is not None
        result = {
            "run": self.run_name,
            "preset": self.config.preset,
            "parameters": parameter_count(model),
            "total_parameters": total_parameter_count(model),
            "active_parameters": active_parameter_count(model),
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trainers.pretrain", description="Train a decoder on shards.")
    parser.add_argument(
        "--config", required=True, metavar="FILE", help="YAML or JSON; fields in trainers/pretraining/config.py"
    )
    path = parser.parse_args(arguments).config
    return exit_code(lambda: pretrain(read_config(path, RunConfig)))


if __name__ == "__main__":
    sys.exit(main())
