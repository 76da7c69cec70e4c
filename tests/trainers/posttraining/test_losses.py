"""The losses of post-training against numbers worked out by hand and against TRL's own functions."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainers.models.loss import token_scores
from trainers.posttraining import advantages, losses

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
    assert weights.tolist() == pytest.approx([math.exp(-0.75), 1.0])
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


def trl_grpo(texts: dict[str, Tensor], **settings: Any) -> float:
    """The loss that TRL's GRPOTrainer computes of these texts."""
    from collections import defaultdict

    from trl.trainer.grpo_trainer import GRPOTrainer

    given = {
        "beta": 0.0, "loss_type": "grpo", "epsilon_low": 0.2, "epsilon_high": 0.28, "max_completion_length": 9,
        "importance_sampling_level": "token", "use_vllm": False, "vllm_importance_sampling_correction": False,
    } | settings  # fmt: skip
    trainer = SimpleNamespace(
        **given,
        _get_per_token_logps_and_entropies=lambda *a, **k: (texts["new"], torch.zeros_like(texts["new"])),
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(gather=lambda x: x, num_processes=1),
        _metrics={"train": defaultdict(list), "eval": defaultdict(list)},
        current_gradient_accumulation_steps=1,
        top_entropy_quantile=1.0,
        use_bias_correction_kl=False,
        off_policy_mask_threshold=None,
        aux_loss_enabled=False,
        tools=None,
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False),
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
    }
    if given["vllm_importance_sampling_correction"]:
        inputs["importance_sampling_ratio"] = (texts["old"] - texts["engine"]).exp().clamp(max=2.0)
    compute: Any = GRPOTrainer._compute_loss
    return compute(trainer, None, inputs).item()
