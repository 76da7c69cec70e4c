"""The phases of a run from verified rewards: who writes the rollouts that a step trains on, and when.

The loop asks for samples as it asks any loader. Phase k is trained on by `steps_of_phase` steps; its rollouts were
written by the policy as it was when phase k - lag began. A run that is resumed reads the rollouts of its phases from
their files, as the policy that wrote them is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from trainers.data.loader import ShuffledLoader
from trainers.data.permutation import permute
from trainers.models.decoder import decoder
from trainers.models.dense import DenseDecoder
from trainers.posttraining import advantages
from trainers.posttraining.answers import answered, text_of, written_replies
from trainers.posttraining.begin import Beginning
from trainers.posttraining.config import RLVRConfig
from trainers.posttraining.generate import Reply
from trainers.posttraining.labels import Labelled
from trainers.posttraining.layout import laid_out
from trainers.posttraining.models import Scorer
from trainers.posttraining.prompts import Prompt, Prompts
from trainers.posttraining.rollouts import (
    FOLDER,
    Rollout,
    path_of,
    read_rollouts,
    rollout_of,
    sealed_row,
    write_rollouts,
)
from trainers.process.errors import TrainerError
from trainers.process.files import canonical_json, sha256_text, write_jsonl
from trainers.serving.sampling import Sampling
from trainers.verifiers.verdict import Verdict

TOKENS = 8192
"""Tokens of texts whose log-probabilities are computed at a time."""
HELDOUT = "heldout"


class Phases:
    """A loader of rollouts; the policy is given to it when it is built.

    Args:
        heldout: prompts that measurements answer.
    """

    def __init__(self, beginning: Beginning, prompts: Prompts, heldout: Prompts | None) -> None:
        self.beginning, self.prompts, self.heldout = beginning, prompts, heldout
        self.config = cast(RLVRConfig, beginning.config)
        self.order = ShuffledLoader(prompts, self.config.seed)
        self.consumed = 0
        self.trained_tokens = 0
        self.prompts_of_phase = self.config.prompts_per_rollout or self.config.batch
        if self.prompts_of_phase % self.config.batch:
            raise TrainerError(
                f"prompts_per_rollout is {self.prompts_of_phase}, no multiple of batch, {self.config.batch}",
                "give a multiple of batch",
            )
        self.steps_of_pass = self.prompts_of_phase // self.config.batch
        self.steps_of_phase = self.steps_of_pass * self.config.passes
        self.out, self.folder = Path(), Path()
        self._policy = cast(DenseDecoder, None)
        self._value: Scorer | None = None
        self._reference: DenseDecoder | None = None
        self._held: dict[int, list[Rollout]] = {}
        self._columns: dict[str, float] = {}

    # Its parts

    def open(self, policy: DenseDecoder, value: Scorer | None) -> None:
        """Take the models that are trained."""
        self._policy, self._value = policy, value
        if self.config.beta:
            self._reference = decoder(self.beginning.model)
            self._reference.load_state_dict(self._reference_weights())
            self._reference.eval().to(policy.embedding.weight.device)

    def _reference_weights(self) -> Mapping[str, Any]:
        from trainers.core.loading import load_decoder

        source = self.config.reference
        return (load_decoder(Path(source)) if source else self.beginning.decoder).state_dict()

    def prepare(self, out: Path) -> None:
        """Take the run's folder."""
        self.out = out
        self.folder = Path(self.config.replay) if self.config.replay else out / FOLDER

    def placeholder(self) -> Rollout:
        """A reply of one token that counts nothing."""
        prompt, end = list(self.prompts.prompts[0].tokens), self.beginning.stop or 0
        row = {"prompt_tokens": prompt, "tokens": [end], "logprobs": [0.0], "policy_version": 0, "temperature": 1.0}
        return rollout_of(canonical_json(sealed_row(row)), "placeholder")

    # As a loader

    def state(self) -> dict[str, int]:
        """Seed, samples given, and the tokens that were trained on."""
        return {"seed": self.config.seed, "consumed": self.consumed, "trained_tokens": self.trained_tokens}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.consumed, self.trained_tokens = int(state["consumed"]), int(state["trained_tokens"])

    def epochs(self, samples: int) -> tuple[float, ...]:
        """How often the prompts are answered by the first `samples` samples."""
        return (samples / self.config.replies / self.config.passes / len(self.prompts),)

    def next_batch(self, count: int, rank: int = 0, ranks: int = 1) -> list[Rollout]:
        """The rollouts of the next step: of `count` replies those that are trained on."""
        del rank, ranks
        step = self.consumed // count
        phase, within = divmod(step, self.steps_of_phase)
        rollouts = self._of_phase(phase, step)
        number, place = divmod(within, self.steps_of_pass)
        groups = np.arange(place * self.config.batch, (place + 1) * self.config.batch)
        if number or self.steps_of_pass > 1:
            groups = permute(groups, self.prompts_of_phase, self.config.seed + 1, phase * self.config.passes + number)
        size = self.config.replies
        taken = [rollouts[group * size + reply] for group in groups.tolist() for reply in range(size)]
        self.consumed += count
        kept = self._kept(taken, step)
        self.trained_tokens += sum(len(rollout) for rollout in kept)
        return kept

    def _kept(self, taken: list[Rollout], step: int) -> list[Rollout]:
        """Those that are trained on, without stale ones and, if asked for, those of groups without a difference."""
        fresh = [r for r in taken if not self.config.max_lag or step - r.version <= self.config.max_lag]
        kept = fresh
        if self.config.skip_equal:
            kept = [rollout for rollout in fresh if np.any(rollout.advantages)]
        rows = [rollout.row for rollout in taken]
        self._columns = {
            "reward": _mean([row["reward"] for row in rows]),
            "verified": _mean([row["score"] for row in rows]),
            "stopped": _mean([row["finish"] == "stop" for row in rows]),
            "reply_tokens": _mean([len(row["tokens"]) for row in rows]),
            "stale": float(len(taken) - len(fresh)),
            "skipped": float(len(fresh) - len(kept)),
            "policy_lag": _mean([step - rollout.version for rollout in taken]),
            "engine_difference": _mean([float(np.abs(r.engine - r.old).max(initial=0.0)) for r in taken]),
        }
        # A step without any sample would have no gradient at all, not even of momentum.
        return kept or taken[: self.config.replies]

    def columns(self) -> dict[str, float]:
        """Of the last step, for its row of metrics."""
        return dict(self._columns)

    # Writing

    def _of_phase(self, phase: int, step: int) -> list[Rollout]:
        lag = self.config.lag
        if step % self.steps_of_phase == 0:
            for ahead in range(0 if phase == 0 else lag, lag + 1):
                self._write(phase + ahead, step)
        self._held = {number: rollouts for number, rollouts in self._held.items() if number >= phase}
        if phase not in self._held:
            self._held[phase] = read_rollouts(path_of(self.folder, phase))
        return self._held[phase]

    def _write(self, phase: int, version: int) -> None:
        """Let the policy of now write the rollouts of a phase, if they are not there."""
        place = path_of(self.folder, phase)
        if self.config.replay:
            return
        if place.is_file():
            there = read_rollouts(place)
            if there and all(rollout.version == version for rollout in there):
                return
        size = self.config.replies
        prompts = self.prompts[self.order.items(phase * self.prompts_of_phase, self.prompts_of_phase)]
        repeated = [prompt for prompt in prompts for _ in range(size)]
        seeds = [_seed(self.config.seed, phase, number) for number in range(len(repeated))]
        written = written_replies(
            self._policy,
            self.beginning,
            repeated,
            [Sampling(temperature=self.config.temperature, seed=seed) for seed in seeds],
            tokens=self.config.reply_tokens,
            most_rows=self.config.most_rows,
            cache_tokens=self.config.cache_tokens,
        )
        rows = [
            self._judged(prompt, reply, number // size, seed)
            for number, (prompt, reply, seed) in enumerate(zip(repeated, written, seeds, strict=True))
        ]
        self._complete(rows, repeated)
        for row in rows:
            row |= {"phase": phase, "policy_version": version, "temperature": self.config.temperature}
        write_rollouts(place, [sealed_row(row) for row in rows])

    def _judged(self, prompt: Prompt, reply: Reply, group: int, seed: int) -> dict[str, Any]:
        config, text = self.config, text_of(self.beginning, reply)
        if config.rewards == "random":
            verdict = Verdict(float(np.random.default_rng(seed).random() < 0.5), "the toss of a coin")
        else:
            verdict = prompt.judge(text)
        cut_off = not reply.stopped and config.no_stop != 0
        return {
            "row": prompt.row,
            "id": prompt.id,
            "source": prompt.source,
            "group": group,
            "seed": seed,
            "prompt_tokens": list(prompt.tokens),
            "tokens": reply.tokens,
            "logprobs": reply.logprobs,
            "text": text,
            "finish": "stop" if reply.stopped else "length",
            "verifier": prompt.verifier,
            "score": verdict.score,
            "reason": verdict.reason[:200],
            "reward": config.no_stop if cut_off else config.verified * verdict.score,
        }

    def _complete(self, rows: list[dict[str, Any]], prompts: Sequence[Prompt]) -> None:
        """Add log-probabilities by the trainer, values, advantages and returns."""
        texts = [_labelled(prompt.tokens, row["tokens"]) for prompt, row in zip(prompts, rows, strict=True)]
        for name, model in (("policy_logprobs", self._policy), ("reference_logprobs", self._reference)):
            if model is not None:
                for row, found in zip(rows, self._scored(model, texts), strict=True):
                    row[name] = found
        if self._value is not None:
            for row, found in zip(rows, self._scored(self._value, texts), strict=True):
                row["values"] = found
            self._generalised(rows)
            return
        reward_GK = np.array([row["reward"] for row in rows], dtype=np.float64).reshape(-1, self.config.replies)
        scaling = "none" if self.config.loss == "dr_grpo" else self.config.scaling
        for row, advantage in zip(rows, advantages.group_advantages(reward_GK, scaling).ravel().tolist(), strict=True):
            row["advantages"] = [advantage] * len(row["tokens"])

    def _generalised(self, rows: list[dict[str, Any]]) -> None:
        config = self.config
        found = []
        for row in rows:
            reward_T = np.zeros(len(row["tokens"]))
            if config.beta:
                ratio_T = np.array(row["policy_logprobs"]) - np.array(row["reference_logprobs"])
                reward_T -= config.beta * ratio_T
            reward_T[-1] += row["reward"]
            found.append(advantages.gae(reward_T, np.array(row["values"]), config.gamma, config.gae_lambda))
        together = np.concatenate([advantage_T for advantage_T, _ in found])
        if config.whiten:
            together = advantages.whitened(together)
        ends = np.cumsum([len(row["tokens"]) for row in rows])[:-1]
        for row, advantage_T, (_, return_T) in zip(rows, np.split(together, ends), found, strict=True):
            row["advantages"], row["returns"] = advantage_T.tolist(), return_T.tolist()

    def _scored(self, model: DenseDecoder | Scorer, texts: Sequence[Labelled]) -> list[list[float]]:
        """Of each text, a number for each token of its reply: its log-probability, or its value."""
        device = self._policy.embedding.weight.device
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=self.config.dtype == "bfloat16")
        found: list[list[float]] = []
        size = max(1, TOKENS // max(len(text) for text in texts))
        for start in range(0, len(texts), size):
            part = texts[start : start + size]
            layout = laid_out(part, device, packed=self.config.packed, length=self.beginning.length)
            with torch.no_grad(), autocast:
                if isinstance(model, Scorer):
                    values_N = model(layout.tokens_BT, layout.documents)[layout.chosen_BT]
                else:
                    read = (layout.tokens_BT, layout.target_BT, layout.chosen_BT, layout.documents)
                    values_N = model.score(*read, self.config.temperature).logprob_N
            values: NDArray[np.float32] = values_N[layout.order_N].cpu().numpy()
            ends = np.cumsum([text.targets for text in part])[:-1]
            found += [each.tolist() for each in np.split(values, ends)]
        return found

    # Measuring

    def measure(self, step: int) -> dict[str, float]:
        """The part of held-out prompts whose likeliest reply is verified; their replies are written to heldout/."""
        if self.heldout is None:
            return {}
        prompts = self.heldout.prompts[: self.config.heldout_prompts]
        rows = answered(
            self._policy,
            self.beginning,
            prompts,
            samples=1,
            temperature=0.0,
            tokens=self.config.reply_tokens,
            most_rows=self.config.most_rows,
            cache_tokens=self.config.cache_tokens,
        )
        write_jsonl(self.out / HELDOUT / f"step_{step:08d}.jsonl", [{"step": step, **row} for row in rows])
        return {
            "heldout_verified": _mean([row["score"] for row in rows]),
            "heldout_stopped": _mean([row["finish"] == "stop" for row in rows]),
        }


def _labelled(prompt: Sequence[int], reply: Sequence[int]) -> Labelled:
    labels = np.array([False] * len(prompt) + [True] * len(reply), dtype=np.bool_)
    return Labelled(np.array([*prompt, *reply], dtype=np.int32), labels)


def _seed(seed: int, phase: int, number: int) -> int:
    """A seed of its own for each reply of a run."""
    return int(sha256_text(f"rollout {seed} {phase} {number}")[:15], 16)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0
