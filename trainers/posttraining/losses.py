"""The losses of post-training, as functions of log-probabilities in nats.

Functions of pairs and texts return one value each, and functions of tokens one value a token: what is averaged over
what, and so how much a text counts, is the objective's to say. Sums run over the tokens that are trained on.

Shape suffixes: P pairs, S texts, N tokens.

Sources: DPO arXiv 2305.18290, equation 7; its length-normalised form Tülu 3, arXiv 2411.15124, equation 6; SimPO
arXiv 2405.14734, equation 6; WPO arXiv 2406.11827, equation 2; KTO arXiv 2402.01306, equations 7 and 8; Bradley-Terry
arXiv 2203.02155, equation 1; PPO arXiv 1707.06347, equation 7; GRPO arXiv 2402.03300, equation 3; DAPO
arXiv 2503.14476; Dr. GRPO arXiv 2503.20783; GSPO arXiv 2507.18071; CISPO arXiv 2506.13585; estimators of the KL
divergence: http://joschu.net/blog/kl-approx.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

KLEstimator = Literal["k1", "k2", "k3"]


@dataclass(frozen=True)
class PairLoss:
    """The loss of each pair, and the rewards that the policy implies."""

    loss_P: Tensor
    chosen_P: Tensor
    """Implicit reward of the chosen text, without a gradient."""
    rejected_P: Tensor


def dpo_loss(
    chosen_P: Tensor,
    rejected_P: Tensor,
    reference_chosen_P: Tensor,
    reference_rejected_P: Tensor,
    *,
    beta: float,
    label_smoothing: float = 0.0,
) -> PairLoss:
    """-log sigmoid(beta (log pi/ref (chosen) - log pi/ref (rejected))).

    Of sums over tokens this is DPO; of means over tokens it is Tülu 3's length-normalised DPO. Where the policy is the
    reference the loss is ln 2.

    Args:
        label_smoothing: the probability that a pair is the wrong way round (cDPO).

    Example:
        >>> zero = torch.zeros(1)
        >>> round(dpo_loss(zero, zero, zero, zero, beta=0.1).loss_P.item(), 6)
        0.693147
    """
    reward_chosen_P = beta * (chosen_P - reference_chosen_P)
    reward_rejected_P = beta * (rejected_P - reference_rejected_P)
    margin_P = reward_chosen_P - reward_rejected_P
    loss_P = -F.logsigmoid(margin_P)
    if label_smoothing:
        loss_P = (1 - label_smoothing) * loss_P - label_smoothing * F.logsigmoid(-margin_P)
    return PairLoss(loss_P, reward_chosen_P.detach(), reward_rejected_P.detach())


def simpo_loss(chosen_P: Tensor, rejected_P: Tensor, beta: float, gamma: float) -> PairLoss:
    """-log sigmoid(beta (chosen - rejected) - gamma), of means over tokens; there is no reference.

    Args:
        gamma: the margin that is asked for; 0.5 and 1.6 with beta 2 and 2.5 in the paper.
    """
    loss_P = -F.logsigmoid(beta * (chosen_P - rejected_P) - gamma)
    return PairLoss(loss_P, beta * chosen_P.detach(), beta * rejected_P.detach())


def wpo_weights(chosen_P: Tensor, rejected_P: Tensor) -> Tensor:
    """WPO's weight of each pair: how likely the policy would write both of its texts; without a gradient.

    The paper has no bound on it; its authors' code takes at most 1.

    Args:
        chosen_P: the mean over tokens of log pi(token) - log sum_v pi(v)^2: the token's probability relative to that
            of a token drawn from the policy ("sampled alignment").
    """
    return (chosen_P + rejected_P).detach().exp()


@dataclass(frozen=True)
class TextLoss:
    """The loss of each text, and the reward that the policy implies."""

    loss_S: Tensor
    reward_S: Tensor


def kto_loss(
    policy_S: Tensor,
    reference_S: Tensor,
    desirable_S: Tensor,
    kl: Tensor,
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> TextLoss:
    """weight (1 - sigmoid(+-beta (log pi/ref - kl))): + for a desirable text, - for another.

    Args:
        desirable_S: true or false.
        kl: the scalar reference point z0: the mean of log pi/ref over mismatched prompts and replies, at least 0,
            without a gradient.
    """
    ratio_S = policy_S - reference_S
    sign_S = torch.where(desirable_S, 1.0, -1.0)
    weight_S = torch.where(desirable_S, desirable_weight, undesirable_weight)
    loss_S = weight_S * (1 - torch.sigmoid(beta * sign_S * (ratio_S - kl)))
    return TextLoss(loss_S, beta * ratio_S.detach())


def ranking_loss(chosen_P: Tensor, rejected_P: Tensor, margin: float = 0.0) -> PairLoss:
    """-log sigmoid(chosen - rejected - margin) of two rewards: Bradley and Terry's model of comparisons."""
    return PairLoss(-F.logsigmoid(chosen_P - rejected_P - margin), chosen_P.detach(), rejected_P.detach())


def kl_estimate(logprob_N: Tensor, reference_N: Tensor, estimator: KLEstimator) -> Tensor:
    """Of KL(policy || reference) at tokens that the policy drew.

    k1 = log pi/ref, k2 = (log pi/ref)^2 / 2, k3 = ref/pi - 1 - log ref/pi. k1 and k3 have the right mean; the gradient
    of k2 is that of the divergence where the tokens are on-policy.
    """
    ratio_N = logprob_N - reference_N
    if estimator == "k1":
        return ratio_N
    if estimator == "k2":
        return ratio_N.square() / 2
    return torch.expm1(-ratio_N) + ratio_N


@dataclass(frozen=True)
class TokenLoss:
    """The loss of each token, and what is worth watching."""

    loss_N: Tensor
    ratio_N: Tensor
    """pi / pi_old, without a gradient."""
    clipped_N: Tensor
    """True where clipping took the gradient away."""


def clipped_loss(logprob_N: Tensor, old_N: Tensor, advantage_N: Tensor, clip_low: float, clip_high: float) -> TokenLoss:
    """-min(r A, clip(r, 1 - low, 1 + high) A), r = pi / pi_old: the loss of PPO and GRPO.

    A larger `clip_high` (DAPO's "clip higher", .28 beside .2) lets unlikely tokens grow.

    Example:
        >>> two = torch.tensor([2.0])
        >>> clipped_loss(two.log(), torch.zeros(1), torch.ones(1), 0.2, 0.28).loss_N.item()
        -1.2799999713897705
    """
    ratio_N = (logprob_N - old_N).exp()
    plain_N = ratio_N * advantage_N
    bounded_N = ratio_N.clamp(1 - clip_low, 1 + clip_high) * advantage_N
    return TokenLoss(-torch.minimum(plain_N, bounded_N), ratio_N.detach(), (bounded_N < plain_N).detach())


def cispo_loss(logprob_N: Tensor, old_N: Tensor, advantage_N: Tensor, clip_high: float) -> TokenLoss:
    """-stop(min(r, 1 + high)) A log pi: no token's gradient is dropped, its weight is bounded."""
    ratio_N = (logprob_N - old_N).exp().detach()
    loss_N = -ratio_N.clamp(max=1 + clip_high) * advantage_N * logprob_N
    return TokenLoss(loss_N, ratio_N, ratio_N > 1 + clip_high)


def sequence_logratio(logprob_N: Tensor, old_N: Tensor, text_N: Tensor, mean_S: Tensor) -> Tensor:
    """GSPO's log ratio at each token: the mean over its text's tokens, with the gradient of each token's own.

    Args:
        mean_S: of logprob_N - old_N over each text's tokens.
    """
    return logprob_N - logprob_N.detach() + mean_S.detach()[text_N] + old_N


def importance_weights(old_N: Tensor, sampler_N: Tensor, cap: float) -> Tensor:
    """Truncated importance sampling: min(pi_old / pi_sampler, cap), without a gradient.

    The engine that writes replies and the trainer compute the same probabilities in other kernels, or of other
    versions of the weights; this weight corrects for the difference (https://fengyao.notion.site/off-policy-rl).
    """
    return (old_N - sampler_N).detach().exp().clamp(max=cap)


def value_loss(value_N: Tensor, old_N: Tensor, return_N: Tensor, clip: float) -> Tensor:
    """max((v - R)^2, (clip(v, v_old - c, v_old + c) - R)^2) / 2, one a token; clip 0: the first alone."""
    plain_N = (value_N - return_N).square()
    if not clip:
        return plain_N / 2
    near_N = old_N + (value_N - old_N).clamp(-clip, clip)
    return torch.maximum(plain_N, (near_N - return_N).square()) / 2
