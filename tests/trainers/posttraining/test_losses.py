"""The losses of post-training against numbers worked out by hand and against TRL's own functions."""

from __future__ import annotations

import ast
import importlib.util
import math
from collections import defaultdict
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.models.loss import TokenScores, token_scores
from trainers.posttraining import advantages, losses
from trainers.posttraining.config import PreferenceConfig, RLVRConfig
from trainers.posttraining.layout import segment_sums
from trainers.posttraining.preferences import DirectPreference
from trainers.posttraining.rlvr import Verified

LN2 = math.log(2)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_dpo_by_hand():
    found = losses.dpo_loss(
        torch.tensor([-2.0]), torch.tensor([-5.0]), torch.tensor([-3.0]), torch.tensor([-4.0]), beta=0.1
    )
    # beta ((-2 + 3) - (-5 + 4)) = .2
    assert found.loss_P.item() == pytest.approx(-math.log(sigmoid(0.2)), abs=1e-6)
    assert (found.chosen_P.item(), found.rejected_P.item()) == (pytest.approx(0.1), pytest.approx(-0.1))
    smoothed = losses.dpo_loss(*(torch.tensor([x]) for x in (-2.0, -5.0, -3.0, -4.0)), beta=0.1, label_smoothing=0.1)
    expected = -0.9 * math.log(sigmoid(0.2)) - 0.1 * math.log(sigmoid(-0.2))
    assert smoothed.loss_P.item() == pytest.approx(expected, abs=1e-6)


def test_a_policy_that_is_its_reference_has_the_loss_ln_2():
    same = torch.tensor([-3.0, -7.0])
    assert losses.dpo_loss(same, same - 2, same, same - 2, beta=5.0).loss_P.tolist() == pytest.approx([LN2, LN2])


def test_simpo_wpo_and_kto_by_hand():
    simpo = losses.simpo_loss(torch.tensor([-1.0]), torch.tensor([-1.5]), beta=2.0, gamma=0.5)
    assert simpo.loss_P.item() == pytest.approx(-math.log(sigmoid(0.5)), abs=1e-6)
    weights = losses.wpo_weights(torch.tensor([-0.5, 1.0]), torch.tensor([-0.25, 0.5]))
    assert weights.tolist() == pytest.approx([math.exp(-0.75), math.exp(1.5)])
    kto = losses.kto_loss(
        torch.tensor([-2.0, -2.0]),
        torch.tensor([-3.0, -3.0]),
        torch.tensor([True, False]),
        torch.tensor(0.5),
        beta=0.1,
        undesirable_weight=1.5,
    )
    assert kto.loss_S.tolist() == pytest.approx([1 - sigmoid(0.05), 1.5 * (1 - sigmoid(-0.05))], abs=1e-6)
    ranked = losses.ranking_loss(torch.tensor([2.0]), torch.tensor([0.5]), margin=0.5)
    assert ranked.loss_P.item() == pytest.approx(-math.log(sigmoid(1.0)), abs=1e-6)


def test_clipping_by_hand():
    ratio = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.1])
    advantage = torch.tensor([1.0, -1.0, 1.0, -1.0, 2.0])
    found = losses.clipped_loss(ratio.log(), torch.zeros(5), advantage, 0.2, 0.28)
    assert found.loss_N.tolist() == pytest.approx([-1.28, 1.5, -0.5, 0.8, -2.2], abs=1e-6)
    assert found.clipped_N.tolist() == [True, False, False, True, False]
    values = losses.value_loss(torch.tensor([2.0, 0.1]), torch.tensor([1.0, 0.0]), torch.tensor([3.0, 1.0]), 0.2)
    assert values.tolist() == pytest.approx([max(1.0, 1.8**2) / 2, 0.81 / 2], abs=1e-6)
    assert losses.importance_weights(
        torch.tensor([0.0, 1.0]), torch.tensor([0.5, -1.0]), 2.0
    ).tolist() == pytest.approx([math.exp(-0.5), 2.0])


def test_kl_estimators_by_hand_and_in_the_mean():
    assert losses.kl_estimate(torch.tensor([-1.0]), torch.tensor([-2.0]), "k1").item() == pytest.approx(1.0)
    assert losses.kl_estimate(torch.tensor([-1.0]), torch.tensor([-2.0]), "k2").item() == pytest.approx(0.5)
    assert losses.kl_estimate(torch.tensor([-1.0]), torch.tensor([-2.0]), "k3").item() == pytest.approx(math.exp(-1))
    policy, other = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])
    divergence = (policy * (policy / other).log()).sum().item()
    for estimator in ("k1", "k3"):
        mean = (policy * losses.kl_estimate(policy.log(), other.log(), estimator)).sum().item()
        assert mean == pytest.approx(divergence, abs=1e-6)


def test_advantages_by_hand():
    # delta = [0 + .5 - .5, 1 - .5] = [0, .5]; A = [.5 x .95, .5]
    found, returns = advantages.gae(np.array([0.0, 1.0]), np.array([0.5, 0.5]), 1.0, 0.95)
    assert found.tolist() == pytest.approx([0.475, 0.5]) and returns.tolist() == pytest.approx([0.975, 1.0])
    rewards = np.array([[1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    deviation = np.sqrt(1 / 3)
    grouped = advantages.group_advantages(rewards, "group")
    assert grouped[0].tolist() == pytest.approx(np.array([0.5, -0.5, -0.5, 0.5]) / (deviation + 1e-4))
    assert grouped[1].tolist() == [0.0] * 4
    whole = advantages.group_advantages(rewards, "batch")
    assert whole[0, 0] == pytest.approx(0.5 / (rewards.std(ddof=1) + 1e-4))
    white = advantages.whitened(np.array([1.0, 2.0, 3.0, 6.0]))
    assert white.mean() == pytest.approx(0) and white.std(ddof=1) == pytest.approx(1)


def test_scores_of_tokens_and_their_gradients_are_those_of_whole_logits(monkeypatch):
    monkeypatch.setattr("trainers.models.loss.rows_of_chunk", lambda vocabulary, device: 3)
    draw = torch.Generator().manual_seed(0)
    x, w = (torch.randn(shape, generator=draw, dtype=torch.float64).requires_grad_() for shape in ((8, 5), (11, 5)))
    target, weight = torch.randint(11, (8,), generator=draw), torch.randn(8, generator=draw)
    found = token_scores(x, w, target, temperature=0.7)
    logprob = (x @ w.t() / 0.7).log_softmax(-1)
    expected = logprob.gather(1, target[:, None])[:, 0]
    assert torch.allclose(found.logprob_N.double(), expected, atol=1e-6)
    assert torch.allclose(found.entropy_N.double(), -(logprob.exp() * logprob).sum(-1), atol=1e-6)
    assert torch.allclose(found.collision_N.double(), logprob.exp().square().sum(-1).log(), atol=1e-6)
    ours = torch.autograd.grad((found.logprob_N * weight).sum(), (x, w))
    theirs = torch.autograd.grad((expected * weight).sum(), (x, w))
    for mine, its in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, its, atol=1e-6)


# Against TRL


@cache
def method_of_trl(path: str, owner: str, name: str) -> Any:
    """A method of an installed trainer of TRL as a function, compiled from its file: to import TRL takes 17 seconds."""
    spec = importlib.util.find_spec("trl")
    assert spec is not None and spec.submodule_search_locations
    file = Path(next(iter(spec.submodule_search_locations))) / path
    tree = ast.parse(file.read_text(encoding="utf-8"))
    (of,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == owner]
    (found,) = [node for node in of.body if isinstance(node, ast.FunctionDef) and node.name == name]
    # The last two serve its metrics alone.
    space: dict[str, Any] = {"torch": torch, "F": F, "math": math, "nanmin": torch.min, "nanmax": torch.max}
    exec(compile(ast.Module([found], []), str(file), "exec"), space)
    return space[name]


@pytest.fixture(scope="module")
def texts() -> dict[str, Tensor]:
    """Three prompts of two replies each: log-probabilities by four models, advantages, and which tokens are there."""
    draw = torch.Generator().manual_seed(3)
    made = {name: -torch.rand(6, 7, generator=draw) * 3 for name in ("new", "reference")}
    made["old"] = made["new"] + 0.4 * torch.randn(6, 7, generator=draw)
    made["engine"] = made["old"] + 0.3 * torch.randn(6, 7, generator=draw)
    made["advantages"] = torch.randn(6, generator=draw)
    lengths = torch.tensor([7, 3, 5, 1, 6, 4])
    made["mask"] = (torch.arange(7)[None] < lengths[:, None]).long()
    return made


def trl_grpo(texts: dict[str, Tensor], new: Tensor, **settings: Any) -> Tensor:
    """The loss that TRL's GRPOTrainer computes of these texts."""
    given = {
        "beta": 0.0, "loss_type": "grpo", "epsilon_low": 0.2, "epsilon_high": 0.28, "max_completion_length": 9,
        "importance_sampling_level": "token", "use_vllm": False, "vllm_importance_sampling_correction": True,
    } | settings  # fmt: skip
    trainer = SimpleNamespace(
        **given,
        _get_per_token_logps_and_entropies=lambda *a, **k: (new, torch.zeros_like(new), None),
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(gather=lambda x: x, reduce=lambda x, **_: x, num_processes=1, sync_gradients=True),
        _metrics={"train": defaultdict(list), "eval": defaultdict(list)},
        _entropy_bonus_enabled=False,
        current_gradient_accumulation_steps=1,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        aux_loss_enabled=False,
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1),
    )
    inputs = {
        "prompt_ids": torch.zeros(6, 2, dtype=torch.long),
        "prompt_mask": torch.ones(6, 2, dtype=torch.long),
        "completion_ids": torch.zeros(6, 7, dtype=torch.long),
        "completion_mask": texts["mask"],
        "advantages": texts["advantages"],
        "old_per_token_logps": texts["old"],
        "ref_per_token_logps": texts["reference"],
        "num_items_in_batch": texts["mask"].sum(),
        "importance_sampling_ratio": (texts["old"] - texts["engine"]).exp().clamp(max=2.0),
    }
    compute = method_of_trl("trainer/grpo_trainer.py", "GRPOTrainer", "_compute_loss")
    return compute(trainer, None, inputs)


def our_grpo(texts: dict[str, Tensor], new: Tensor, **settings: Any) -> Tensor:
    """The same by the objective of trainers.rlvr."""
    objective = object.__new__(Verified)
    base: dict[str, Any] = {"out": "", "model": "", "data": ["-"], "reply_tokens": 9, "clip_high": 0.28, "beta": 0.0}
    objective.rl = RLVRConfig(**base | settings)
    mask, counts = texts["mask"].bool(), texts["mask"].sum(1)
    given = {name: texts[name][mask] for name in ("engine", "old", "reference")}
    given["advantages"] = texts["advantages"][:, None].expand(-1, 7)[mask]
    text_N = torch.arange(6)[:, None].expand(-1, 7)[mask]
    return objective.reduced(objective.of_tokens(new[mask], text_N, counts, given).loss_N, counts)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"loss": "grpo"}, {"loss_type": "grpo"}),
        ({"loss": "grpo", "beta": 0.04}, {"loss_type": "grpo", "beta": 0.04}),
        ({"loss": "dapo"}, {"loss_type": "dapo"}),
        (
            {"loss": "dapo", "clip_low": 0.1, "clip_high": 0.5},
            {"loss_type": "dapo", "epsilon_low": 0.1, "epsilon_high": 0.5},
        ),
        ({"loss": "dapo", "importance_cap": 2.0, "beta": 0.1}, {"loss_type": "dapo", "use_vllm": True, "beta": 0.1}),
        ({"loss": "dr_grpo"}, {"loss_type": "dr_grpo"}),
        ({"loss": "gspo"}, {"loss_type": "grpo", "importance_sampling_level": "sequence"}),
        ({"loss": "cispo"}, {"loss_type": "cispo", "epsilon_high": 1.28}),
    ],
    ids=lambda given: "-".join(map(str, given.values())),
)
def test_variants_of_grpo_are_those_of_trl(texts, ours, theirs):
    new = texts["new"].clone().requires_grad_()
    mine, its = our_grpo(texts, new, **ours), trl_grpo(texts, new, **theirs)
    assert mine.item() == pytest.approx(its.item(), abs=1e-5)
    gradients = [torch.autograd.grad(loss, new)[0] for loss in (mine, its)]
    assert torch.allclose(*gradients, atol=1e-6)


def trl_dpo(texts: dict[str, Tensor], new: Tensor, **settings: Any) -> Tensor:
    """The loss that TRL's DPOTrainer computes, the first three texts being chosen."""
    mask = texts["mask"]
    zeros = torch.zeros_like(new)
    outputs = SimpleNamespace(
        log_probs=new * mask,
        log_sum_sq_probs=texts["old"],
        entropy=zeros,
        mean_logits=zeros,
        is_top1=zeros.bool(),
        aux_loss=None,
    )
    given = {"loss_types": ["sigmoid"], "beta": 0.1, "use_weighting": False} | settings
    trainer = SimpleNamespace(
        **given,
        loss_weights=[1.0],
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x),
        _metrics={"train": defaultdict(list), "eval": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
        aux_loss_enabled=False,
        precompute_ref_logps=True,
        ld_alpha=None,
        f_divergence_type="reverse_kl",
        label_smoothing=0.0,
    )
    reference = (texts["reference"] * mask).sum(1)
    inputs = {
        "input_ids": torch.zeros(6, 8, dtype=torch.long),
        "attention_mask": torch.ones(6, 8, dtype=torch.long),
        "completion_mask": torch.cat([torch.zeros(6, 1, dtype=torch.long), mask], 1),
        "ref_chosen_logps": reference[:3],
        "ref_rejected_logps": reference[3:],
    }
    compute = method_of_trl("trainer/dpo_trainer.py", "DPOTrainer", "_compute_loss")
    return compute(trainer, lambda **_: outputs, inputs, False)


def our_dpo(texts: dict[str, Tensor], new: Tensor, **settings: Any) -> Tensor:
    """The same by the objective of trainers.dpo, whose pairs are neighbours."""
    objective = object.__new__(DirectPreference)
    objective.preferences = PreferenceConfig(**cast(Any, {"out": "", "model": "", "data": ["-"]} | settings))
    order = [0, 3, 1, 4, 2, 5]
    mask, counts = texts["mask"][order].bool(), texts["mask"][order].sum(1)
    layout: Any = SimpleNamespace(sums=lambda values: segment_sums(values, counts), counts=counts)
    scores = TokenScores(new[order][mask], torch.zeros(1), texts["old"][order][mask])
    reference = (texts["reference"] * texts["mask"]).sum(1)[order].double().numpy()
    numbered: Any = [SimpleNamespace(number=number) for number in range(6)]
    return objective.of_pairs(layout, scores, numbered, reference)[0].loss_P.mean()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"loss": "dpo", "beta": 0.1}, {"loss_types": ["sigmoid"]}),
        ({"loss": "dpo_norm", "beta": 5.0}, {"loss_types": ["sigmoid_norm"], "beta": 5.0}),
        ({"loss": "wpo", "beta": 0.1}, {"loss_types": ["sigmoid"], "use_weighting": True}),
    ],
    ids=lambda given: str(given.get("loss", "")),
)
def test_dpo_and_its_kin_are_those_of_trl(texts, ours, theirs):
    new = texts["new"].clone().requires_grad_()
    mine, its = our_dpo(texts, new, **ours), trl_dpo(texts, new, **theirs)
    assert mine.item() == pytest.approx(its.item(), abs=1e-5)
    assert torch.allclose(*(torch.autograd.grad(loss, new)[0] for loss in (mine, its)), atol=1e-6)


def test_simpo_is_that_of_trl():
    draw = torch.Generator().manual_seed(5)
    chosen, rejected = (-torch.rand(9, generator=draw) for _ in range(2))
    trainer = SimpleNamespace(
        alpha=0.0,
        beta=2.0,
        simpo_gamma=0.5,
        label_smoothing=0.0,
        loss_type="simpo",
        accelerator=SimpleNamespace(device="cpu"),
    )
    compute = method_of_trl("experimental/cpo/cpo_trainer.py", "CPOTrainer", "cpo_loss")
    theirs, their_chosen, _ = compute(trainer, chosen, rejected)
    ours = losses.simpo_loss(chosen, rejected, beta=2.0, gamma=0.5)
    assert torch.allclose(ours.loss_P, theirs, atol=1e-6) and torch.allclose(ours.chosen_P, their_chosen, atol=1e-6)
