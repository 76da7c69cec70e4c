"""What post-training runs leave behind: losses of rows, rollouts with rewards, curves, and held-out replies."""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import column, integer, real, text
from catalog.contract import Contract, between, matches, one_of
from catalog.family import Models, Report
from catalog.tables.tulu.mixtures import OWNER
from catalog.view import View

COMMAND = "watershed tulu record"
IDS = pa.list_(pa.int32())
LOGS = pa.list_(pa.float64())
FINISHES = ("stop", "length")

SAMPLE_LOSSES = Contract(
    name="tulu.sample_losses",
    description="Loss, margin and rewards of every training row at every epoch.",
    command=COMMAND,
    columns=(
        text("run", "Name of the training run."),
        text("row_id", "The row.", derived_from="tulu.rows.row_id"),
        integer("example", "Number of the text that the row became; a row may be trained on turn by turn."),
        text("source", "Source of the row.", derived_from="tulu.rows.source"),
        integer("epoch", "Epoch, from 1.", bits=32),
        integer("step", "Optimiser step that trained on the row."),
        real("loss", "Loss before the step: of a text the sum over its trained tokens or their mean, as the run asks."),
        integer("tokens", "Trained tokens of the text; null for pairs.", nullable=True),
        real("margin", "Reward of the chosen minus reward of the rejected reply.", nullable=True),
        real("chosen_reward", "Implicit or modelled reward of the chosen reply.", nullable=True),
        real("rejected_reward", "The same of the rejected reply.", nullable=True),
    ),
    primary_key=("run", "row_id", "example", "epoch", "step"),
    partition_by=("run",),
    licence="CC0-1.0",
    owner=OWNER,
    expectations=(between("epoch", 1), between("step", 0), between("tokens", 1)),
)

PER_TOKEN = ("policy_logprobs", "reference_logprobs", "advantages", "values", "returns")
"""Columns with a number for each token of the reply, null where the algorithm has none."""

ROLLOUTS = Contract(
    name="tulu.rollouts",
    description="Every rollout of a reinforcement-learning run, as it was sampled, with its reward.",
    command=COMMAND,
    columns=(
        text("run", "Name of the training run."),
        text("rollout_id", "Name of the rollout within its run: phase and number."),
        text("prompt_id", "The prompt: a row of tulu.rows or tulu.prompts, or the run's own."),
        text("source", "Source of the prompt."),
        integer("phase", "Phase of the run that the rollout belongs to."),
        integer("group", "Number of the prompt in its phase; rollouts of a group are compared with each other."),
        integer("policy_version", "Optimiser steps of the policy that sampled."),
        real("temperature", "Temperature of the sampling."),
        column("prompt_tokens", IDS, "Token ids of the prompt, as they were sampled from."),
        column("tokens", IDS, "Token ids that were sampled."),
        column("logprobs", LOGS, "Log-probabilities of these tokens by the sampler, nats."),
        column("policy_logprobs", LOGS, "The same by the trainer, before the update.", nullable=True),
        column("reference_logprobs", LOGS, "The same by the reference model.", nullable=True),
        column("advantages", LOGS, "Advantage of each token.", nullable=True),
        column("values", LOGS, "Value of each token by the value model.", nullable=True),
        column("returns", LOGS, "Return of each token.", nullable=True),
        text("completion", "The reply as text, as the verifier read it."),
        text("finish", "How the reply ended: stop or length."),
        text("verifier", "Scorer that gave the reward."),
        text("answer", "What the scorer compared with, as JSON; null if it is not known.", nullable=True),
        real("score", "Verdict of the scorer, 0..1."),
        text("reason", "Reason of the verdict."),
        real("reward", "Reward that the run trained on."),
        text("digest", "SHA-256 of what was drawn: ids, log-probabilities, version of the policy and temperature."),
    ),
    primary_key=("run", "rollout_id"),
    partition_by=("run",),
    licence="CC0-1.0",
    owner=OWNER,
    expectations=(
        between("policy_version", 0),
        between("score", 0, 1),
        one_of("finish", FINISHES),
        matches("digest", r"^[0-9a-f]{64}$"),
    ),
)

CURVES = Contract(
    name="tulu.curves",
    description="Numbers of post-training runs by optimiser step: loss, gradient norm, margin, reward and others.",
    command=COMMAND,
    columns=(
        text("run", "Name of the training run."),
        integer("step", "Optimiser step, from 1."),
        text("metric", "Name of the number, as metrics.jsonl has it."),
        real("value", "The number."),
    ),
    primary_key=("run", "step", "metric"),
    partition_by=("run",),
    licence="CC0-1.0",
    owner=OWNER,
    expectations=(between("step", 0),),
)

HELDOUT = Contract(
    name="tulu.heldout",
    description="Replies of post-training runs to held-out problems, each with its verdict.",
    command=COMMAND,
    columns=(
        text("run", "Name of the training run."),
        integer("step", "Optimiser steps of the policy that replied."),
        text("problem", "The held-out problem."),
        integer("sample", "Number of the reply to the problem, from 0."),
        text("source", "Source of the problem."),
        text("prompt", "The problem as the policy read it."),
        text("reply", "The reply."),
        text("finish", "How the reply ended: stop or length."),
        text("verifier", "Scorer that gave the verdict."),
        real("score", "Verdict of the scorer, 0..1."),
        text("reason", "Reason of the verdict."),
    ),
    primary_key=("run", "step", "problem", "sample"),
    partition_by=("run",),
    licence="CC0-1.0",
    owner=OWNER,
    expectations=(between("step", 0), between("sample", 0), between("score", 0, 1), one_of("finish", FINISHES)),
)

HARDEST = """
SELECT run, source, epoch, count(*) AS rows, avg(loss) AS loss, quantile_cont(loss, 0.95) AS loss_95,
       avg(margin) AS margin, avg(CASE WHEN margin > 0 THEN 1.0 WHEN margin <= 0 THEN 0.0 END) AS preferred
FROM tulu.sample_losses GROUP BY ALL ORDER BY run, epoch, loss DESC
"""
REWARDS = """
SELECT run, source, phase, min(policy_version) AS policy_version, count(*) AS rollouts, avg(score) AS verified,
       avg(reward) AS reward, avg(len(tokens)) AS tokens, avg((finish = 'stop')::INT) AS stopped
FROM tulu.rollouts GROUP BY run, source, phase ORDER BY run, source, phase
"""
VERIFIED = """
SELECT run, step, source, count(*) AS replies, avg(score) AS verified, avg((finish = 'stop')::INT) AS stopped
FROM tulu.heldout GROUP BY run, step, source ORDER BY run, step, source
"""
LENIENT = """
WITH verdicts AS (
    SELECT r.run, r.verifier, r.score AS given, c.score AS again
    FROM tulu.rollouts r JOIN tulu.rescores c
      ON c.origin = 'tulu.rollouts' AND c.run = r.run AND c.row_id = r.rollout_id
)
SELECT run, verifier, count(*) AS rollouts,
       count(*) FILTER (WHERE again < 1) AS wrong,
       count(*) FILTER (WHERE again < 1 AND given >= 1) AS passed_wrong,
       round(count(*) FILTER (WHERE again < 1 AND given >= 1) / nullif(count(*) FILTER (WHERE again < 1), 0), 4)
           AS pass_rate_of_wrong,
       count(*) FILTER (WHERE again >= 1 AND given < 1) AS failed_right
FROM verdicts GROUP BY ALL ORDER BY pass_rate_of_wrong DESC, run, verifier
"""
VIEWS = {
    "tulu.losses_by_source": View(
        "Loss and margin of each source at each epoch of a run.", ("tulu.sample_losses",), HARDEST
    ),
    "tulu.rewards_by_source": View(
        "Reward of each source's rollouts in each phase of a run.", ("tulu.rollouts",), REWARDS
    ),
    "tulu.heldout_by_source": View(
        "Part of each source's held-out problems that a run solves.", ("tulu.heldout",), VERIFIED
    ),
    "tulu.lenient_verifiers": View(
        "How often each verifier of a run passed replies that Watershed's own scorer finds wrong.",
        ("tulu.rollouts", "tulu.rescores"),
        LENIENT,
    ),
}

MODELS = Models(
    table=CURVES.name,
    sql=f"""
    SELECT run, max(step) AS steps, arg_max(value, step) FILTER (WHERE metric = 'loss') AS train_loss
    FROM {CURVES.name} GROUP BY run
    """,
    trained_on=("tulu.mixture",),
    reports=(
        Report(
            title="Training rows by source",
            tables=(SAMPLE_LOSSES.name,),
            sql=f"""
            SELECT source, count(DISTINCT row_id) AS rows, max(epoch) AS epochs, round(avg(loss), 4) AS loss
            FROM {SAMPLE_LOSSES.name} WHERE run = $model GROUP BY source ORDER BY rows DESC, source
            """,
        ),
        Report(
            title="Rollouts by source",
            tables=(ROLLOUTS.name,),
            sql=f"""
            SELECT source, count(*) AS rollouts, round(avg(score), 4) AS verified, round(avg(reward), 4) AS reward
            FROM {ROLLOUTS.name} WHERE run = $model GROUP BY source ORDER BY rollouts DESC, source
            """,
        ),
        Report(
            title="Evaluations",
            tables=(HELDOUT.name,),
            sql=f"""
            SELECT source, step, count(*) AS replies, round(avg(score), 4) AS verified
            FROM {HELDOUT.name} WHERE run = $model GROUP BY ALL ORDER BY source, step
            """,
        ),
        Report(
            title="Training",
            tables=(CURVES.name,),
            sql=f"""
            SELECT metric AS series, step AS x, value AS y FROM {CURVES.name}
            WHERE run = $model AND metric IN ('loss', 'reward', 'margin', 'accuracy') ORDER BY metric, step
            """,
            x="steps",
            y="loss, reward or margin",
        ),
    ),
    intended=(
        "It is intended for measuring what instructions, preferences and verified rewards change in a model.",
        "It was not tested for harm, and is not intended to advise people.",
    ),
)
"""Post-training runs: what `watershed tulu record` has recorded of them."""
