"""What the configuration file of a post-training run may say. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from trainers.core.optimiser import Optimiser
from trainers.core.plan import LoopConfig
from trainers.names import close, find
from trainers.posttraining.advantages import Scaling
from trainers.process.config_file import check_fields, from_mapping, read_mapping
from trainers.process.errors import TrainerError

CODE_VERSION = "posttraining-1"
"""Part of every fingerprint; raised when the same configuration would give other weights."""

PUBLISHED = Path(__file__).parent / "published"
"""Settings of published runs, a YAML file each."""

Overlong = Literal["cut", "leave out"]
Reduction = Literal["tokens", "sum", "examples"]
PairLossName = Literal["dpo", "dpo_norm", "simpo", "wpo"]
PolicyLoss = Literal["ppo", "grpo", "dr_grpo", "dapo", "gspo", "cispo"]
RewardOf = Literal["verifiers", "random"]

C = TypeVar("C", bound="PostTrainingConfig")


@dataclass(frozen=True, kw_only=True)
class PostTrainingConfig(LoopConfig):
    """The options that all commands of post-training share. `model`, `data` and `out` must be given."""

    model: str
    """The weights to begin with: a run, a checkpoint, or a folder in the Hugging Face format, and its tokenizer."""
    data: Sequence[str]
    """Files of JSON lines."""
    heldout: Sequence[str] = ()
    """Files of JSON lines that the model is measured on."""
    recipe: str = ""
    """Published settings, such as tulu3-8b-sft; what the file says itself goes before them."""
    chat_template: str = ""
    """A Jinja file; empty: the model's own, else Tülu's."""
    template_options: Mapping[str, Any] = field(default_factory=dict)
    """Variables of the template, such as enable_thinking."""
    template_date: str = "2025-01-01"
    """The day that a template's `strftime_now` tells, so that equal rows give equal tokens on every day."""
    stop: Sequence[str] = ()
    """Special tokens that end a reply; empty: the one that the template writes there."""
    not_preserving: Literal["turns", "refuse"] = "turns"
    """Chats whose template writes earlier messages differently as a chat grows: trained turn by turn, or refused."""
    length: int = 0
    """Tokens of a text at most; 0: as many as the model reads."""
    overlong: Overlong = "cut"
    """Longer texts are cut at the end, or left out."""
    packed: bool = True
    """Whether short texts share rows of `length` tokens. Losses and gradients do not depend on it, but in rounding."""
    batch: int = 128
    """Samples an optimiser step: chats, pairs, or prompts."""
    epochs: float = 1.0
    """Passes over the data."""
    steps: int = 0
    """Optimiser steps; 0: as many as `epochs` take."""
    seed: int = 0
    """Of the order of samples, adapters and heads."""
    warmup: float = 0.03
    """Part of the steps over which the learning rate rises, where `optimiser` gives no warmup_steps."""
    optimiser: Mapping[str, Any] = field(default_factory=dict)
    """Fields of Optimiser that replace the command's own."""
    load_balancing_weight: float = -1.0
    """Of the load-balancing loss of experts, over the whole batch of a step; -1: the model's own; 0: off."""
    router_z_weight: float = -1.0
    """Of the router z-loss; -1: the model's own; 0: off."""
    adapters: Mapping[str, Any] = field(default_factory=dict)
    """Train adapters (LoRA) alone: rank, alpha and targets; empty: all weights."""
    verify: bool = True
    """Read the data through once before the first step, to name them by their SHA-256."""


@dataclass(frozen=True, kw_only=True)
class SFTConfig(PostTrainingConfig):
    """Supervised fine-tuning on rows {"messages": [...], "tools": [...]}."""

    reduction: Reduction = "tokens"
    """"tokens": the sum over the tokens of a step over their number, so that each token counts alike (Tülu 3's sum;
    AdamW does not see the difference). "sum": not divided at all. "examples": each chat counts alike."""
    replies: Literal["all", "last"] = "all"
    """Which replies of a chat are trained on."""
    sample_losses: bool = True
    """Write the loss of every row at every epoch to sample_losses/."""


@dataclass(frozen=True, kw_only=True)
class PreferenceConfig(PostTrainingConfig):
    """Preference optimisation on rows {"chosen": [...], "rejected": [...]}; KTO also on {"messages", "label"}."""

    loss: Literal["dpo", "dpo_norm", "simpo", "wpo", "kto"] = "dpo_norm"
    """"dpo": of sums over tokens. "dpo_norm": of means (Tülu 3). The others: see trainers/posttraining/losses.py."""
    beta: float = 5.0
    """How strongly the policy is held to the reference. 5 fits means over tokens, .1 sums, 2 SimPO."""
    gamma: float = 0.5
    """SimPO's margin."""
    label_smoothing: float = 0.0
    """The probability that a pair is the wrong way round."""
    sft_weight: float = 0.0
    """Of the mean cross-entropy of the chosen text, added to the loss (RPO, arXiv 2404.19733)."""
    desirable_weight: float = 1.0
    """KTO's weight of desirable texts."""
    undesirable_weight: float = 1.0
    """KTO's weight of other texts."""
    reference: str = ""
    """The reference policy; empty: `model`. Its log-probabilities are computed once, before the first step."""
    spike: float = 0.0
    """Losses of pairs spread widely: only one that is not finite stops the run."""
    sample_losses: bool = True
    """Write loss, margin and rewards of every row at every epoch to sample_losses/."""


@dataclass(frozen=True, kw_only=True)
class RewardConfig(PostTrainingConfig):
    """A reward model on rows {"chosen": [...], "rejected": [...]}, by Bradley and Terry's loss."""

    margin: float = 0.0
    """By which the chosen text is to be better, in units of reward."""
    sample_losses: bool = True
    """Write loss and rewards of every row at every epoch to sample_losses/."""


@dataclass(frozen=True, kw_only=True)
class RLVRConfig(PostTrainingConfig):
    """Reinforcement learning on rows {"messages": [...], "verifier": "gsm8k", "answer": "18"}."""

    loss: PolicyLoss = "dapo"
    """"ppo": a value model and GAE. The others take the advantage within the group of a prompt's replies. "grpo": the
    mean over tokens, then over replies. "dapo": the mean over all tokens of a step. "dr_grpo": the sum over tokens over
    `reply_tokens`, advantages not scaled. "gspo": the ratio of whole replies. "cispo": bounded weights, no clipping."""
    replies: int = 8
    """Replies to a prompt."""
    reply_tokens: int = 2048
    """Tokens of a reply at most."""
    temperature: float = 1.0
    """Of sampling; log-probabilities and ratios are of the same temperature."""
    prompts_per_rollout: int = 0
    """Prompts answered by one version of the policy; 0: as many as a step has."""
    passes: int = 1
    """How often each rollout is trained on (PPO's K)."""
    lag: int = 0
    """Rollouts of the policy of so many rollout phases ago are trained on; 1: while these are trained on, the next ones
    may be written."""
    max_lag: int = 8
    """Rollouts whose policy is more steps old than this are dropped; 0: never."""
    scaling: Scaling = "group"
    """What advantages are divided by: the deviation of their group, of the batch, or nothing."""
    skip_equal: bool = False
    """Leave out prompts whose replies were all given the same reward: they have no gradient. The others count alike."""
    clip_low: float = 0.2
    clip_high: float = 0.2
    """.272 in Olmo 3, .28 in DAPO."""
    importance_cap: float = 0.0
    """Largest weight of truncated importance sampling between the engine that wrote and the trainer; 0: none."""
    beta: float = 0.0
    """Of the KL divergence from the reference: in the loss of groups, in the reward of PPO."""
    kl: Literal["k1", "k2", "k3"] = "k3"
    """The estimator of the divergence in the loss."""
    reference: str = ""
    """The reference policy; empty: `model`."""
    verified: float = 10.0
    """Reward of a verified reply."""
    no_stop: float = -10.0
    """Reward of a reply that was cut off; PPO in Tülu 3 gives -10. 0: that of its text."""
    replay: str = ""
    """A folder rollouts/ of another run: train on its rows and write none, to compute its updates again."""
    rewards: RewardOf = "verifiers"
    """"random": each reply is verified by the toss of a coin, a control that must not improve."""
    value: str = ""
    """The run of a reward model that PPO's value model begins with; empty: `model` and a drawn head."""
    value_weight: float = 0.1
    value_clip: float = 0.2
    gamma: float = 1.0
    gae_lambda: float = 0.95
    whiten: bool = True
    """Whether PPO's advantages get mean 0 and deviation 1 over the tokens of a rollout phase."""
    cache_tokens: int = 65536
    """Keys and values that the engine keeps, over all replies that are written at the same time."""
    most_rows: int = 128
    """Replies that are written at the same time."""
    spike: float = 0.0
    """The loss of a policy says little about how well it learns: only one that is not finite stops the run."""
    heldout_prompts: int = 256
    """Held-out prompts that a measurement answers at most, at temperature 0."""


@dataclass(frozen=True, kw_only=True)
class AnswerConfig(PostTrainingConfig):
    """Replies of a model to problems, rows {"messages": [...], "verifier": "gsm8k", "answer": "18"}."""

    samples: int = 1
    """Replies to each problem."""
    temperature: float = 0.0
    """0: the likeliest reply."""
    reply_tokens: int = 2048
    """Tokens of a reply at most."""
    cache_tokens: int = 65536
    most_rows: int = 128


def read_posttraining(path: Path | str, kind: type[C]) -> C:
    """Read a configuration file, with the published settings that it names under its own.

    Raises:
        TrainerError: the recipe is unknown, or a field is unknown, missing or of another type.
    """
    values = read_mapping(path)
    name = values.get("recipe") if isinstance(values, Mapping) else None
    if isinstance(name, str) and name:
        published, own = recipe(name, kind), values.get("optimiser")
        merged = {**published.get("optimiser", {}), **(own if isinstance(own, Mapping) else {})}
        values = {**published, **values, **({"optimiser": merged} if merged else {})}
    return from_mapping(values, kind, str(path))


def recipes() -> dict[str, dict[str, Any]]:
    """The published settings by name; `command` says for which command, `source` where they were published."""
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(PUBLISHED.glob("*.yaml"))}


def recipe(name: str, kind: type) -> dict[str, Any]:
    """The fields of a recipe; TrainerError where it is unknown or of another command."""
    known = recipes()
    found = find(name, known)
    if found is None:
        raise TrainerError(f"the recipe {name!r} is unknown{close(name, known)}", f"choose one of {', '.join(known)}")
    fields = dict(known[found])
    fields.pop("source", None)
    command = fields.pop("command")
    if COMMANDS[command] is not kind:
        raise TrainerError(f"the recipe {found} is for trainers.{command}", f"run python -m trainers.{command}")
    return fields


COMMANDS: dict[str, type[Any]] = {"sft": SFTConfig, "dpo": PreferenceConfig, "reward": RewardConfig, "rlvr": RLVRConfig}
RATES = {"sft": 5e-6, "dpo": 5e-7, "reward": 3e-6, "rlvr": 3e-7}
"""Peak learning rates where a file gives none: Tülu 3's at 8B."""
HIDDEN = ("z_loss", "decay_embedding")
"""Fields of Optimiser that say nothing here."""


def check(config: PostTrainingConfig) -> None:
    """Refuse values that no run can have; TrainerError then."""
    limits = {
        "batch": (config.batch >= 1, "1 or more"),
        "epochs": (config.epochs > 0, "above 0"),
        "data": (len(config.data) > 0, "at least one file"),
        "warmup": (config.warmup <= 1, "from 0 to 1"),
    }
    for name, (fits, wanted) in limits.items():
        if not fits:
            raise TrainerError(f"{name} is {getattr(config, name)}", f"give {wanted}")


def optimiser_of(config: PostTrainingConfig, command: str, steps: int) -> Optimiser:
    """AdamW without decay, its rate falling on a line to 0 after the warm-up, but for what the file says."""
    check_fields(config.optimiser, Optimiser, "optimiser", hidden=HIDDEN)
    warmup = round(config.warmup * steps)
    base = Optimiser(learning_rate=RATES[command], warmup_steps=warmup, weight_decay=0.0, beta2=0.999)
    return replace(base, **config.optimiser)
