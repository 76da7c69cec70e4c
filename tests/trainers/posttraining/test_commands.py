"""The commands of post-training: what they write, how they resume, and what they refuse."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_posttraining import a_model, configured, write_chats, write_pairs, write_rows

from trainers.core.checkpoint import checkpoint_folders, open_checkpoint
from trainers.core.loading import load_decoder
from trainers.dpo import dpo
from trainers.posttraining.config import COMMANDS, read_posttraining, recipes
from trainers.process.errors import TrainerError
from trainers.process.files import read_jsonl
from trainers.reward import reward
from trainers.serving.served import open_served
from trainers.sft import main as sft_main
from trainers.sft import sft

OFTEN = {
    "checkpoint_every": 3,
    "keep_checkpoints": 0,
    "batch": 16,
    "epochs": 2.0,
    "optimiser": {"learning_rate": 1e-3},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("made")
    return {
        "model": a_model(folder / "model"),
        "chats": write_chats(folder / "chats.jsonl"),
        "pairs": write_pairs(folder / "pairs.jsonl"),
    }


@pytest.fixture(scope="module")
def tuned(made, tmp_path_factory) -> tuple[Path, dict]:
    """A fine-tuning run that was never stopped."""
    out = tmp_path_factory.mktemp("runs") / "sft"
    return out, sft(configured("sft", out, made["model"], made["chats"], heldout=[str(made["chats"])], **OFTEN))


def go_back(out: Path, step: int) -> None:
    (out / "result.json").unlink()
    for folder in checkpoint_folders(out):
        if open_checkpoint(folder).step > step:
            shutil.rmtree(folder)


def lines(out: Path) -> list[dict]:
    return [row for path in sorted((out / "sample_losses").iterdir()) for row in read_jsonl(path)]


def test_fine_tuning_writes_a_model_that_is_served_with_its_template(made, tuned):
    out, result = tuned
    assert result["steps"] == 8 and result["data"]["rows"] == result["data"]["examples"] == 60
    assert result["heldout_nats_per_token"] < 10
    served = open_served(str(out))
    assert served.template is not None and 0 in served.ends
    assert served.template.render([{"role": "user", "content": "rain"}]).endswith("<|start|>assistant\n")
    rows = read_jsonl(out / "metrics.jsonl")
    assert rows[-1]["tokens"] > rows[0]["tokens"] > 0 and rows[-1]["loss"] < rows[0]["loss"]


def test_the_loss_of_every_row_at_every_epoch_is_written_once(tuned):
    out, _ = tuned
    found = lines(out)
    times = Counter((row["row"], row["epoch"]) for row in found)
    assert {epoch for _, epoch in times} == {1, 2, 3} and len(found) == 8 * 16
    assert all(times[row, epoch] == 1 for row in range(60) for epoch in (1, 2))
    by_step = {row["step"]: row["loss"] for row in read_jsonl(out / "metrics.jsonl")}
    for step, loss in by_step.items():
        mine = [row for row in found if row["step"] == step]
        mean = sum(row["loss"] * row["tokens"] for row in mine) / sum(row["tokens"] for row in mine)
        assert mean == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("step", [3, 0])
def test_a_run_that_goes_on_ends_in_the_same_bits(made, tuned, tmp_path, step):
    whole, result = tuned
    out = tmp_path / "sft"
    shutil.copytree(whole, out)
    go_back(out, step)
    again = sft(configured("sft", out, made["model"], made["chats"], heldout=[str(made["chats"])], **OFTEN))
    assert again["checkpoint_sha256"] == result["checkpoint_sha256"]
    for name in ("model.pt", "optimizer.pt"):
        assert (Path(again["checkpoint"]) / name).read_bytes() == (Path(result["checkpoint"]) / name).read_bytes()
    key = [(row["step"], row["row"], row["loss"]) for row in lines(out)]
    assert sorted(key) == sorted((row["step"], row["row"], row["loss"]) for row in lines(whole))


def test_rows_without_a_label_are_listed_and_not_trained_on(made, tmp_path):
    good = [json.loads(line) for line in made["chats"].read_text().splitlines()[:4]]
    bad = [
        {"id": "no reply", "messages": [{"role": "user", "content": "rain"}]},
        {
            "id": "late",
            "messages": [{"role": "user", "content": "rain " * 300}, {"role": "assistant", "content": "so"}],
        },
        {
            "id": "marker",
            "messages": [{"role": "user", "content": "<|start|>x"}, {"role": "assistant", "content": "so"}],
        },
        {"id": "none"},
    ]
    data = write_rows(tmp_path / "rows.jsonl", [good[0], *bad, *good[1:]])
    result = sft(configured("sft", tmp_path / "run", made["model"], data, batch=4, steps=2))
    left_out = {row["id"]: row["reason"] for row in read_jsonl(tmp_path / "run" / "examples" / "left_out.jsonl")}
    assert set(left_out) == {"no reply", "late", "marker", "none"}
    assert left_out["late"] == "no reply begins in its first 256 tokens"
    assert result["data"]["left_out"] == 4 and result["data"]["examples"] == 4
    assert {row["row"] for row in lines(tmp_path / "run")} == {0, 5, 6, 7}
    with pytest.raises(TrainerError, match="none of 1 rows can be trained on: it has no messages"):
        sft(configured("sft", tmp_path / "none", made["model"], write_rows(tmp_path / "none.jsonl", [bad[3]])))


def test_the_model_stops_at_the_marker_that_its_template_writes(made, tmp_path):
    template = tmp_path / "other.jinja"
    template.write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<|start|>\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    options = {"chat_template": str(template), "batch": 4, "steps": 1}
    sft(configured("sft", tmp_path / "run", made["model"], made["chats"], **options))
    served = open_served(str(tmp_path / "run"))
    # Its own end of a text is token 0.
    assert served.tokenizer.number("<|start|>") == 1 and 1 in served.ends
    assert served.template is not None and served.template.text == template.read_text()


def test_adapters_alone_are_trained_and_merged_into_the_model(made, tmp_path):
    out = tmp_path / "lora"
    # Every step reads every row, so its loss falls.
    options = {"adapters": {"rank": 4, "alpha": 8.0}, "batch": 60, "steps": 4, "checkpoint_every": 2}
    options = OFTEN | options | {"optimiser": {"learning_rate": 1e-3, "warmup_steps": 0}}
    result = sft(configured("sft", out, made["model"], made["chats"], **options))
    rows = read_jsonl(out / "metrics.jsonl")
    assert rows[-1]["loss"] < rows[0]["loss"]
    checkpoint = open_checkpoint(Path(result["checkpoint"]))
    weights, base = checkpoint.weights(), load_decoder(made["model"]).state_dict()
    frozen = "blocks.0.attention.query_key_value"
    assert torch.equal(weights[f"{frozen}.base_layer.weight"], base[f"{frozen}.weight"])
    merged = load_decoder(out).state_dict()
    change = merged[f"{frozen}.weight"] - base[f"{frozen}.weight"]
    assert torch.linalg.matrix_rank(change) == 4
    assert torch.equal(merged["embedding.weight"], base["embedding.weight"])
    moments = torch.load(checkpoint.folder / "optimizer.pt", weights_only=True)
    assert set(moments["first"]) == {name for name in weights if "lora_" in name}
    go_back(out, 2)
    again = sft(configured("sft", out, made["model"], made["chats"], **options))
    assert again["checkpoint_sha256"] == result["checkpoint_sha256"]


def test_preferences_are_learned_and_the_reference_is_computed_once(made, tmp_path, monkeypatch):
    out = tmp_path / "dpo"
    options: dict[str, Any] = {"batch": 10, "steps": 12, "heldout": [str(made["pairs"])], "checkpoint_every": 6}
    options |= {"keep_checkpoints": 0, "optimiser": {"learning_rate": 3e-4}}
    result = dpo(configured("dpo", out, made["model"], made["pairs"], **options))
    rows = read_jsonl(out / "metrics.jsonl")
    assert rows[0]["loss"] == pytest.approx(np.log(2), abs=1e-5) and rows[-1]["loss"] < 0.5
    assert result["heldout_accuracy"] > 0.9
    found = lines(out)
    assert {"row", "loss", "margin", "chosen_reward", "rejected_reward", "epoch", "step"} <= found[0].keys()
    go_back(out, 6)
    monkeypatch.setattr("trainers.posttraining.reference.Reference.sums", lambda self, texts: pytest.fail("again"))
    again = dpo(configured("dpo", out, made["model"], made["pairs"], **options))
    assert again["checkpoint_sha256"] == result["checkpoint_sha256"]


def test_a_reward_model_tells_pairs_apart_and_holds_a_decoder(made, tmp_path):
    options = {"batch": 10, "steps": 15, "heldout": [str(made["pairs"])], "optimiser": {"learning_rate": 1e-3}}
    result = reward(configured("reward", tmp_path / "reward", made["model"], made["pairs"], **options))
    assert result["heldout_accuracy"] >= 0.8
    assert load_decoder(tmp_path / "reward").config.width == 32


def test_published_settings_are_fields_of_their_commands(tmp_path, made):
    for name, fields in recipes().items():
        assert fields["source"]
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"recipe: {name}\nmodel: m\ndata: [d]\nout: o\noptimiser: {{beta2: 0.95}}\n")
        config = read_posttraining(path, COMMANDS[fields["command"]])
        assert config.optimiser["beta2"] == 0.95 and config.optimiser["learning_rate"] > 0
    tulu = read_posttraining(tmp_path / "tulu3-8b-dpo.yaml", COMMANDS["dpo"])
    assert (tulu.loss, tulu.beta, tulu.batch, tulu.length, tulu.warmup) == ("dpo_norm", 5.0, 128, 2048, 0.1)
    with pytest.raises(TrainerError, match=r"is for trainers\.dpo"):
        read_posttraining(tmp_path / "tulu3-8b-dpo.yaml", COMMANDS["sft"])


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ("stop: ['<|stop|>']", "the tokenizer has no token '<|stop|>'"),
        ("adapters: {ranks: 3}", "adapters has no field 'ranks'"),
        ("batch: 0", "batch is 0"),
        ("template_date: today", "template_date is 'today'"),
        ("recipe: tulu4", "the recipe 'tulu4' is unknown"),
        ("data: [missing.jsonl]", "missing.jsonl is not a file"),
    ],
)
def test_a_wrong_configuration_is_two_lines_and_exit_code_2(made, tmp_path, capsys, fields, why):
    path = tmp_path / "sft.yaml"
    data = "" if fields.startswith("data") else f"data: [{made['chats']}]\n"
    path.write_text(f"model: {made['model']}\n{data}out: {tmp_path / 'run'}\n{fields}\n")
    assert sft_main(["--config", str(path)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and why in told[0] and told[1].startswith("mend: ")
