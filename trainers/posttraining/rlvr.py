"""Reinforcement learning from verified rewards: PPO, and GRPO with the fixes that came after it.

A step trains on replies that the policy wrote itself. A phase is one version of the policy writing `replies` replies to
each of some prompts; verifiers judge them, and the steps of the phase train on them. Which reply counts how much is set
by the name of the loss (RLVRConfig.loss).

Shape suffixes: N tokens of replies in the order of the batch's rows, S replies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from trainers.core.expert_balance import RoutingSums
from trainers.core.loading import DECODER
from trainers.core.objective import Loss
from trainers.core.ranks import Ranks, put
from trainers.models.config import flops_per_token
from trainers.models.dense import DenseDecoder
from trainers.models.moe import MoEDecoder
from trainers.posttraining import losses
from trainers.posttraining.begin import Beginning
from trainers.posttraining.config import RLVRConfig
from trainers.posttraining.layout import Layout, segment_sums
from trainers.posttraining.losses import TokenLoss
from trainers.posttraining.models import PolicyAndValue, Scorer, buffers_of
from trainers.posttraining.objective import Notes, PostTraining
from trainers.posttraining.phases import Phases
from trainers.posttraining.prompts import Prompts
from trainers.posttraining.rollouts import Rollout, joined
from trainers.process.errors import TrainerError

BY_REPLY = ("grpo", "gspo", "dr_grpo")
"""Losses that weight replies alike; the others weight tokens alike."""


DECIDES = (
    *("loss", "replies", "reply_tokens", "temperature", "prompts_per_rollout", "passes", "lag", "max_lag", "scaling"),
    *("skip_equal", "clip_low", "clip_high", "importance_cap", "beta", "kl", "verified", "no_stop", "rewards"),
    *("value_weight", "value_clip", "gamma", "gae_lambda", "whiten"),
)
"""Fields of the configuration that decide the weights, beside those of every run."""


class Verified(PostTraining):
    """The policy's loss on rollouts."""

    kind = "rlvr"

    def __init__(self, beginning: Beginning, prompts: Prompts, heldout: Prompts | None) -> None:
        self.rl = cast(RLVRConfig, beginning.config)
        super().__init__(beginning, cast(Any, prompts), seed=beginning.config.seed, lines=False)
        self.ppo = self.rl.loss == "ppo"
        if self.ppo:
            self.undecayed = ("policy.embedding.weight", "value.decoder.embedding.weight")
        self.phases = Phases(beginning, prompts, heldout)
        self._trained = {0: 0}

    # The model

    def build(self) -> nn.Module:
        if not self.ppo:
            return super().build()
        model = PolicyAndValue(self.model_config)
        model.policy.recompute = model.value.decoder.recompute = self.config.recompute
        return model

    def blocks(self, model: nn.Module) -> Sequence[nn.Module]:
        if not self.ppo:
            return super().blocks(model)
        both = cast(PolicyAndValue, model)
        return [*both.policy.blocks, *both.value.decoder.blocks]

    def initialise(self, model: nn.Module) -> None:
        if self.ppo:
            assert self._initial is not None
            both, weights = cast(PolicyAndValue, model), self._initial.state_dict()
            for name, parameter in both.policy.named_parameters():
                put(parameter, weights[name])
            self.begin_value(both.value, self._initial)
            with torch.no_grad():
                buffers_of(model)
            self._initial = None
        else:
            super().initialise(model)
        value = cast(PolicyAndValue, model).value if self.ppo else None
        self.phases.open(self.policy(model), value)

    def begin_value(self, value: Scorer, policy: DenseDecoder) -> None:
        """Set the value model: a reward model's weights, or the policy's with a drawn head."""
        if not self.rl.value:
            value.begin(policy, self.config.seed, put)
            return
        from trainers.core import checkpoint

        found = checkpoint.chosen(Path(self.rl.value)).weights()
        for name, parameter in value.named_parameters():
            if name not in found or found[name].shape != parameter.shape:
                raise TrainerError(
                    f"{self.rl.value} is not a reward model of the policy's shape", "train one from `model`"
                )
            put(parameter, found[name])

    def policy(self, model: nn.Module) -> DenseDecoder:
        """The policy in the model."""
        return cast(PolicyAndValue, model).policy if self.ppo else cast(DenseDecoder, model)

    def prepare(self, out: Path) -> None:
        if self.ranks.count > 1:
            raise TrainerError("trainers.rlvr runs on one rank", "start it without torchrun")
        super().prepare(out)
        self.phases.prepare(out)

    # Samples

    def placeholder(self) -> list[Rollout]:
        return [self.phases.placeholder()]

    def texts_of(self, samples: Any) -> list[Any]:
        return list(samples)

    def read(self, model: nn.Module, layout: Layout) -> None:
        self.policy(model).hidden(layout.tokens_BT, layout.documents)

    def router(self, model: nn.Module) -> MoEDecoder:
        return cast(MoEDecoder, self.policy(model))

    def weight(self, samples: list[Rollout]) -> float:
        if self.rl.loss in BY_REPLY:
            return float(len(samples))
        return float(sum(rollout.targets for rollout in samples))

    def loss(self, model: nn.Module, samples: list[Rollout], device: torch.device) -> Loss:
        layout = self.laid_out(samples, device)
        scores = self.policy(model).score(
            layout.tokens_BT, layout.target_BT, layout.chosen_BT, layout.documents, self.rl.temperature
        )
        term, routing = self.router_terms(model, layout, self.weight(samples))
        # In the order of the replies, as the rows of the rollouts have their numbers.
        logprob_N = scores.logprob_N[layout.order_N]
        text_N = layout.text_N[layout.order_N]
        given = {
            name: torch.from_numpy(joined(samples, name)).to(device)
            for name in ("engine", "old", "reference", "advantages", "values", "returns")
        }
        found = self.of_tokens(logprob_N, text_N, layout.counts, given)
        loss = self.reduced(found.loss_N, layout.counts)
        divergence_N = losses.kl_estimate(logprob_N.detach(), given["reference"], self.rl.kl)
        sums = {
            "ratio": found.ratio_N.sum().item(),
            "clipped": found.clipped_N.sum().item(),
            "entropy": scores.entropy_N.sum().item(),
            "kl": divergence_N.sum().item() if self.rl.beta else 0.0,
            "approximate_kl": losses.kl_estimate(given["old"], logprob_N.detach(), "k1").sum().item(),
        }
        report = loss.detach()
        if self.ppo:
            values = cast(PolicyAndValue, model).value(layout.tokens_BT, layout.documents)[layout.chosen_BT]
            value_N = losses.value_loss(values[layout.order_N], given["values"], given["returns"], self.rl.value_clip)
            sums["value_loss"] = value_N.sum().item()
            loss = loss + self.rl.value_weight * value_N.mean()
        return Loss(loss + term, report, self._noted(sums, samples, routing))

    def of_tokens(self, logprob_N: Tensor, text_N: Tensor, counts_S: Tensor, given: Mapping[str, Tensor]) -> TokenLoss:
        """The loss of each token before it is averaged, with its importance weight and the divergence.

        Args:
            text_N: the number of each token's reply; replies stand one after the other.
            counts_S: tokens of each reply.
            given: numbers of each token as the fields of a `Rollout`.
        """
        old_N, advantage_N, config = given["old"], given["advantages"], self.rl
        if config.loss == "cispo":
            found = losses.cispo_loss(logprob_N, old_N, advantage_N, config.clip_high)
        else:
            ours_N = logprob_N
            if config.loss == "gspo":
                mean_S = segment_sums((logprob_N - old_N).detach(), counts_S) / counts_S
                ours_N = losses.sequence_logratio(logprob_N, old_N, text_N, mean_S)
            found = losses.clipped_loss(ours_N, old_N, advantage_N, config.clip_low, config.clip_high)
        loss_N = found.loss_N
        if config.importance_cap:
            loss_N = loss_N * losses.importance_weights(old_N, given["engine"], config.importance_cap)
        if config.beta and config.loss != "ppo":
            loss_N = loss_N + config.beta * losses.kl_estimate(logprob_N, given["reference"], config.kl)
        return TokenLoss(loss_N, found.ratio_N, found.clipped_N)

    def reduced(self, loss_N: Tensor, counts_S: Tensor) -> Tensor:
        """The mean of the samples' losses by their weight."""
        if self.rl.loss not in BY_REPLY:
            return loss_N.mean()
        sums_S = segment_sums(loss_N, counts_S)
        return (sums_S / (self.rl.reply_tokens if self.rl.loss == "dr_grpo" else counts_S)).mean()

    def _noted(self, sums: dict[str, float], samples: Sequence[Rollout], routing: RoutingSums | None) -> Notes:
        return Notes(sums, float(sum(rollout.targets for rollout in samples)), [], routing)

    # What is reported

    def tokens(self, step: int) -> int:
        trained = self.phases.trained_tokens
        self._trained.setdefault(step, trained)
        return self._trained[step]

    def flops(self, tokens: int) -> int | None:
        return flops_per_token(self.model_config) * tokens

    def columns(self, ranks: Ranks) -> dict[str, Any]:
        return {**super().columns(ranks), **self.phases.columns()}

    def measure(self, model: nn.Module, ranks: Ranks, samples: int) -> dict[str, float]:
        return self.phases.measure(self.step)

    def result(self, tokens: int, measured: Mapping[str, float]) -> dict[str, Any]:
        return {**measured, "data": self.phases.prompts.counts}

    def state(self) -> dict[str, Any]:
        own = {**super().state(), "rollouts": self.phases.state()}
        return {**own, DECODER: "policy."} if self.ppo else own

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.phases.restore(state["rollouts"])
        self._trained = {self.step: self.phases.trained_tokens}
