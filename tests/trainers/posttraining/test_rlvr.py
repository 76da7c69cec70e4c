"""Reinforcement learning from verified rewards: what its rollouts hold, and that its updates follow from them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_posttraining import a_model, configured, write_pairs, write_problems

from trainers.core.checkpoint import checkpoint_folders, open_checkpoint
from trainers.core.loading import load_decoder
from trainers.posttraining.config import RLVRConfig
from trainers.posttraining.recompute import RecomputeConfig, recomputed
from trainers.posttraining.rollouts import digest_of_row, read_rollouts, sealed_row
from trainers.process.errors import TrainerError
from trainers.process.files import read_jsonl
from trainers.recompute_update import main as recompute
from trainers.reward import reward
from trainers.rlvr import rlvr
from trainers.serving.served import open_served

OPTIONS = {
    "batch": 2, "replies": 4, "reply_tokens": 12, "steps": 4, "prompts_per_rollout": 4, "passes": 1, "beta": 0.1,
    "checkpoint_every": 1, "keep_checkpoints": 0, "no_stop": 0.0, "rewards": "random", "packed": True,
    "optimiser": {"learning_rate": 1e-3, "warmup_steps": 0},
}  # fmt: skip


def options(out: Path, made: dict[str, Path], **changes) -> RLVRConfig:
    return configured("rlvr", out, made["model"], made["problems"], **(OPTIONS | changes))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("made")
    return {
        "model": a_model(folder / "model"),
        "problems": write_problems(folder / "problems.jsonl"),
        "pairs": write_pairs(folder / "pairs.jsonl"),
    }


@pytest.fixture(scope="module")
def trained(made, tmp_path_factory) -> tuple[Path, dict]:
    """A run with two phases of two steps."""
    out = tmp_path_factory.mktemp("runs") / "rlvr"
    return out, rlvr(options(out, made, heldout=[str(made["problems"])]))


def rows_of(out: Path, phase: int) -> list[dict]:
    return read_jsonl(out / "rollouts" / f"phase_{phase:08d}.jsonl")


def test_a_rollout_holds_what_was_drawn_from_which_policy(made, trained):
    out, result = trained
    assert sorted(path.name for path in (out / "rollouts").iterdir()) == [
        "phase_00000000.jsonl",
        "phase_00000001.jsonl",
    ]
    for phase in (0, 1):
        rows = rows_of(out, phase)
        assert len(rows) == 16 and {row["policy_version"] for row in rows} == {2 * phase}
        policy = load_decoder(made["model"] if phase == 0 else out / "step_00000002")
        served = open_served(str(made["model"]))
        for row in rows:
            tokens = torch.tensor([row["prompt_tokens"] + row["tokens"]])
            logits = policy(tokens)[0].log_softmax(-1)
            begin = len(row["prompt_tokens"])
            expected = [logits[begin + k - 1, token].item() for k, token in enumerate(row["tokens"])]
            assert row["logprobs"] == pytest.approx(expected, abs=2e-4)
            assert row["policy_logprobs"] == pytest.approx(expected, abs=2e-4)
            assert row["finish"] == ("stop" if row["tokens"][-1] == 0 else "length")
            assert row["text"] == served.tokenizer.decode([token for token in row["tokens"] if token])
            assert row["reward"] == 10 * row["score"] and len(row["tokens"]) <= 12
    assert len({tuple(row["tokens"]) for row in rows_of(out, 0)}) > 12
    assert 0 <= result["heldout_verified"] <= 1 and (out / "heldout" / "step_00000004.jsonl").is_file()


def test_the_first_update_by_hand_from_its_rows_alone(made, trained):
    out, _ = trained
    rows = rows_of(out, 0)
    size, groups = 4, {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row["reward"])
    metrics = read_jsonl(out / "metrics.jsonl")[0]
    # Two of the four prompts: those whose mean reward the row of metrics tells, in whichever order.
    policy, loss, found = load_decoder(made["model"]), torch.zeros(()), None
    for pair in ((a, b) for a in range(4) for b in range(a + 1, 4)):
        mine = [row for row in rows if row["group"] in pair]
        tokens = sum(len(row["tokens"]) for row in mine)
        if np.isclose(np.mean([row["reward"] for row in mine]), metrics["reward"]) and np.isclose(
            tokens / 8, metrics["reply_tokens"]
        ):
            found = mine
    assert found is not None
    policy.zero_grad()
    tokens = sum(len(row["tokens"]) for row in found)
    for row in found:
        group = np.array(groups[row["group"]])
        advantage = (row["reward"] - group.mean()) / (group.std(ddof=1) + 1e-4)
        ids = torch.tensor([row["prompt_tokens"] + row["tokens"]])
        logprobs = policy(ids)[0].log_softmax(-1)
        for k, token in enumerate(row["tokens"]):
            logprob = logprobs[len(row["prompt_tokens"]) + k - 1, token]
            ratio = (logprob - row["policy_logprobs"][k]).exp()
            away = row["reference_logprobs"][k] - logprob
            loss = (
                loss
                - torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
                + 0.1 * (away.exp() - 1 - away)
            )
    assert len(found) == 2 * size
    (loss / tokens).backward()
    norm = torch.stack([p.grad.norm() for p in policy.parameters() if p.grad is not None]).norm().item()
    assert metrics["loss"] == pytest.approx(loss.item() / tokens, abs=1e-5)
    assert metrics["grad_norm"] == pytest.approx(norm, rel=1e-4)


def test_every_update_follows_from_the_rows_and_the_first_weights(made, trained, tmp_path):
    out, result = trained
    again = rlvr(options(tmp_path / "replayed", made, replay=str(out / "rollouts")))
    assert again["checkpoint_sha256"] == result["checkpoint_sha256"]
    assert not (tmp_path / "replayed" / "rollouts").exists()


@pytest.fixture(scope="module")
def rows_alone(trained, tmp_path_factory) -> Path:
    """All rollouts of the run in one file, the phases in the wrong order."""
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for phase in (1, 0) for row in rows_of(trained[0], phase)))
    return file


@pytest.mark.parametrize("step", [1, 2, 4])
def test_any_update_is_computed_again_from_rows_and_the_weights_before_it(made, trained, rows_alone, tmp_path, step):
    out, _ = trained
    # Nothing but config.json and the checkpoint of the run is read.
    run = tmp_path / "run"
    run.mkdir()
    for path in (*checkpoint_folders(out), out / "config.json", out / "tokenizer.json", out / "chat_template.jinja"):
        (run / path.name).symlink_to(path)
    config = tmp_path / "update.json"
    fields = {"run": str(run), "step": step, "rollouts": str(rows_alone), "out": str(tmp_path / "out.json")}
    config.write_text(json.dumps(fields | ({"model": str(made["model"])} if step == 1 else {"microbatch": 3})))
    assert recompute(["--config", str(config)]) == 0
    found = json.loads((tmp_path / "out.json").read_text())
    row = next(row for row in read_jsonl(out / "metrics.jsonl") if row["step"] == step)
    assert found["loss"] == pytest.approx(row["loss"], abs=1e-5, rel=1e-5)
    assert found["grad_norm"] == pytest.approx(row["grad_norm"], rel=1e-5)
    assert (found["step"], found["rollouts"]) == (step, 8)


def test_an_update_is_not_computed_from_rows_that_were_not_drawn(trained, rows_alone, tmp_path):
    out, _ = trained
    rows = read_jsonl(rows_alone)
    tokens = [*rows[20]["tokens"][:-1], rows[20]["tokens"][-1] + 1]
    again = tmp_path / "again.jsonl"
    again.write_text("".join(json.dumps({**r, "tokens": tokens} if r is rows[20] else r) + "\n" for r in rows))
    for fields, why in (
        ({"rollouts": str(again), "step": 2}, "a text that is tokenized again is another reply"),
        ({"step": 1}, "needs the weights that the run began with"),
        ({"step": 5}, "step is 5"),
    ):
        chosen: dict[str, Any] = {"run": str(out), "rollouts": str(rows_alone), "out": str(tmp_path / "o")} | fields
        with pytest.raises(TrainerError, match=why):
            recomputed(RecomputeConfig(**chosen))


@pytest.mark.parametrize("step", [3, 2, 1])
def test_a_run_that_goes_on_ends_in_the_same_bits(made, trained, tmp_path, step):
    whole, result = trained
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    (out / "result.json").unlink()
    for folder in checkpoint_folders(out):
        if open_checkpoint(folder).step > step:
            shutil.rmtree(folder)
    if step < 2:
        (out / "rollouts" / "phase_00000001.jsonl").unlink()
    assert rlvr(options(out, made, heldout=[str(made["problems"])]))["checkpoint_sha256"] == result["checkpoint_sha256"]


def test_a_reply_that_was_tokenized_again_is_refused(made, trained, tmp_path):
    out, _ = trained
    tokenizer = open_served(str(made["model"])).tokenizer
    rows = rows_of(out, 0)
    spelt = [(row, tokenizer.encode(row["text"], special=False)) for row in rows]
    row, tokens = next((row, t) for row, t in spelt if t + [0] * (row["finish"] == "stop") != row["tokens"])
    assert tokenizer.decode(tokens) == row["text"], "the text is the same, its tokens are not"
    folder = tmp_path / "rollouts"
    shutil.copytree(out / "rollouts", folder)
    path = folder / "phase_00000000.jsonl"

    def refused(changed: dict, why: str) -> None:
        path.write_text("".join(json.dumps(changed if each is row else each) + "\n" for each in rows))
        with pytest.raises(TrainerError, match=why):
            rlvr(options(tmp_path / "run", made, replay=str(folder)))

    refused({**row, "tokens": tokens}, "not those that were drawn; a text that is tokenized again is another reply")
    refused(sealed_row({**row, "tokens": [*row["tokens"], 5]}), "logprobs has")
    refused({**row, "policy_version": 1}, "not those that were drawn")
    refused({name: value for name, value in row.items() if name != "digest"}, "is not a rollout")
    assert digest_of_row(row) == row["digest"]


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "grpo"},
        {"loss": "dr_grpo"},
        {"loss": "gspo", "clip_low": 3e-4, "clip_high": 4e-4},
        {"loss": "cispo", "clip_high": 0.3, "importance_cap": 2.0},
        {"skip_equal": True, "clip_high": 0.272, "scaling": "none", "importance_cap": 2.0},
        {"passes": 2, "lag": 1, "max_lag": 3, "prompts_per_rollout": 2},
    ],
    ids=lambda changes: changes.get("loss", "dapo" + "+".join(changes)),
)
def test_each_variant_trains_alike_in_one_batch_and_in_pieces(made, trained, tmp_path, changes):
    rows = {}
    # A variant of the loss alone reads the rollouts of the module's run; others write theirs once.
    replay = str(trained[0] / "rollouts") if "loss" in changes else ""
    for name, layout in {"one": {"packed": False}, "pieces": {"packed": True, "microbatch": 3, "parts": 2}}.items():
        out = tmp_path / name
        rlvr(options(out, made, steps=3, checkpoint_every=0, replay=replay, **layout, **changes))
        replay = replay or str(out / "rollouts")
        rows[name] = read_jsonl(out / "metrics.jsonl")
    for one, pieces in zip(rows["one"], rows["pieces"], strict=True):
        for column in ("loss", "grad_norm", "reward", "kl", "ratio", "stale", "skipped"):
            assert pieces[column] == pytest.approx(one[column], rel=1e-5, abs=1e-5), column
    if changes.get("lag"):
        versions = [
            {r.version for r in read_rollouts(tmp_path / "one" / "rollouts" / f"phase_{p:08d}.jsonl")}
            for p in (0, 1, 2)
        ]
        assert versions == [{0}, {0}, {2}]


def test_stale_rollouts_and_groups_without_a_difference_are_dropped(made, tmp_path):
    # Steps 2 and 3 train on what the policy of step 0 wrote.
    out = tmp_path / "stale"
    rlvr(options(out, made, passes=2, lag=1, max_lag=1, prompts_per_rollout=2))
    assert [row["stale"] for row in read_jsonl(out / "metrics.jsonl")] == [0, 0, 8, 8]
    out = tmp_path / "equal"
    rlvr(options(out, made, rewards="verifiers", skip_equal=True, beta=0.0))
    rows = read_jsonl(out / "metrics.jsonl")
    assert all(row["verified"] == 0 and row["skipped"] == 8 and row["loss"] == 0 for row in rows)


def test_ppo_with_a_value_model_from_a_reward_model(made, tmp_path):
    value = tmp_path / "reward"
    reward(configured("reward", value, made["model"], made["pairs"], batch=10, steps=2))
    options_ = {
        "loss": "ppo",
        "replies": 2,
        "passes": 2,
        "value": str(value),
        "no_stop": -10.0,
        "prompts_per_rollout": 4,
    }
    result = rlvr(options(tmp_path / "ppo", made, **options_))
    rows = rows_of(tmp_path / "ppo", 0)
    assert all(
        len(row["values"]) == len(row["advantages"]) == len(row["returns"]) == len(row["tokens"]) for row in rows
    )
    assert {row["reward"] for row in rows if row["finish"] == "length"} <= {-10.0}
    together = np.concatenate([row["advantages"] for row in rows])
    assert together.mean() == pytest.approx(0, abs=1e-6) and together.std(ddof=1) == pytest.approx(1, abs=1e-4)
    metrics = read_jsonl(tmp_path / "ppo" / "metrics.jsonl")
    assert metrics[0]["value_loss"] > 0 and metrics[0]["ratio"] == pytest.approx(1, abs=1e-4)
    assert load_decoder(Path(result["checkpoint"])).config.width == 32
    assert open_served(str(tmp_path / "ppo")).template is not None
