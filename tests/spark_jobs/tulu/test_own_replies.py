"""A policy's own verified replies as data for fine-tuning and for pairs."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from catalog.errors import WatershedError
from dagster_project.cli import main
from spark_jobs.tulu.own_replies import drawn
from trainers.posttraining.rows import both_chats, messages_of

PROMPTS = [
    {"id": f"p{n}", "source": "sums", "messages": [{"role": "user", "content": f"{n} + {n}?"}]} for n in range(5)
]
REPLIES: list[dict[str, Any]] = [
    *({"row": 0, "text": text, "score": float(text == "0")} for text in ("0", "1", "0", "2")),
    *({"row": 1, "text": text, "score": 1.0} for text in ("2", "It is 2.")),
    {"row": 2, "text": "5", "score": 0.0},
    {"row": 3, "text": " ", "score": 1.0},
]


def test_a_verified_reply_is_trained_on_and_a_refuted_one_is_its_rejected_side() -> None:
    best, left_out = drawn(REPLIES, PROMPTS, "best")
    assert [row["id"] for row in best] == ["p0", "p1"] and left_out == {"no reply": 2, "no verified reply": 1}
    assert [message["role"] for message in messages_of(best[0])] == ["user", "assistant"]
    assert best[0]["messages"][-1]["content"] == "0" and best[1]["messages"][-1]["content"] in ("2", "It is 2.")
    (pair,), left_out = drawn(REPLIES, PROMPTS, "pairs")
    assert left_out == {"no reply": 2, "no verified reply": 1, "no refuted reply": 1}
    chosen, rejected = both_chats(pair)
    assert chosen[-1]["content"] == "0" and rejected[-1]["content"] in ("1", "2") and chosen[:-1] == rejected[:-1]
    assert pair["on_policy"] is True and pair["source"] == "sums"


def test_the_same_replies_in_any_order_give_the_same_rows_and_another_seed_other_ones() -> None:
    many = [{"row": n % 5, "text": f"{n}", "score": float(n % 3 == 0)} for n in range(200)]
    mixed = random.Random(1).sample(many, len(many))
    for use in ("best", "pairs"):
        assert drawn(many, PROMPTS, use) == drawn(mixed, PROMPTS, use)
        assert drawn(many, PROMPTS, use, seed=1) != drawn(many, PROMPTS, use)


@pytest.mark.parametrize("answer", [{"row": 5}, {"row": -1}, {"row": 0, "text": "x"}, {"text": "x", "score": 1.0}])
def test_an_answer_to_nothing_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(WatershedError, match="answer 0 has no row of the data, text and score"):
        drawn([{"text": "x", "score": 1.0, **answer} if answer.get("row") else answer], PROMPTS, "best")


def test_the_command_writes_what_a_trainer_reads(tmp_path: Path) -> None:
    answers, data, out = (tmp_path / name for name in ("answers.jsonl", "prompts.jsonl", "round/pairs.jsonl"))
    answers.write_text("".join(json.dumps(row) + "\n" for row in REPLIES))
    data.write_text("".join(json.dumps(row) + "\n" for row in PROMPTS))
    words = ["tulu", "draw", str(answers), "--data", str(data), "--out", str(out), "--for", "pairs"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0 and "1 rows; 2 prompts have no reply; 1 prompts have no verified reply" in done.stdout
    (row,) = map(json.loads, out.read_text().splitlines())
    assert row["chosen"] == "0"
    answers.write_text(json.dumps(REPLIES[6]) + "\n")
    done = CliRunner().invoke(main, words)
    assert (done.exit_code, "no prompt can be used: 4 prompts have no reply" in done.stderr) == (2, True)
