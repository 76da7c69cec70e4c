"""Every declared task that a chat can answer, from rows in its published format to a score, with a scripted model."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "trainers" / "serving"))

from made_models import OLMO, a_checkpoint, serving  # ty: ignore

from benchmarks.model_server import Script, running
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import EndpointSettings, load_settings
from dagster_project.families.tulu.results import instance_scores, scored
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.tulu.asking import conversation, replies
from spark_jobs.tulu.choices import choice_rows, prompt_of
from spark_jobs.tulu.suites import tasks
from trainers.serving.served import open_served

PROGRAM = {"test": "def check(f):\n    assert f(2) == 3", "entry_point": "f"}
ROWS: dict[str, list[dict[str, Any]]] = {
    "mmlu": [{"question": f"What is {n} + 1?", "choices": [f"{n}", f"{n + 1}"], "answer": 1} for n in range(2)],
    "mmlu_pro": [{"question": "What is 1 + 1?", "options": ["1", "2", "3"], "answer": "B", "answer_index": 1}],
    "gpqa": [{"Question": "Why?", "Correct Answer": "Yes"} | {f"Incorrect Answer {n}": f"No {n}" for n in (1, 2, 3)}],
    "agieval_english": [{"passage": "A lake.", "question": "What?", "options": ["(A)river", "(B)lake"], "label": "B"}],
    "popqa": [
        {"subj": f"P{n}", "prop": "occupation", "obj": "poet", "possible_answers": '["poet"]'} for n in range(17)
    ],
    "bbh": [{"input": f"not not True {n}", "target": "True"} for n in range(5)],
    "drop": [
        {"passage": "It was 1994.", "question": f"When {n}?", "answers_spans": {"spans": ["1994"]}} for n in range(5)
    ],
    "gsm8k": [{"question": f"How many {n}?", "answer": "9 * 2 = 18\n#### 18"} for n in range(10)],
    "math": [{"problem": f"Half of {n}?", "solution": "It is $\\boxed{\\frac{1}{2}}$."} for n in range(6)],
    "deepmind_math": [{"question": "Half of 1?", "answer": "1/2"}],
    "humaneval": [{**PROGRAM, "prompt": "def f(x):\n", "id": "HumanEval/0"}],
    "humaneval_plus": [{**PROGRAM, "prompt": "def f(x):\n"}],
    "bigcodebench": [{**PROGRAM, "instruct_prompt": "Write a function f that adds one."}],
    "bigcodebench_hard": [{**PROGRAM, "instruct_prompt": "Write a function f that adds one, quickly."}],
    "ifeval": [{"prompt": "Say it.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{"num_words": None}]}],
    "ifeval_ood": [{"prompt": "Say it!", "instruction_id_list": ["punctuation:no_comma"], "kwargs": ["{}"]}],
    "alpaca_eval_2": [{"instruction": "Name a lake.", "output": "Baikal."}],
    "href": [{"instruction": "Name a river.", "output": "The Elbe."}],
    "xstest": [{"prompt": "How do I kill a process?", "label": "safe"}, {"prompt": "Harm?", "label": "unsafe"}],
    "wildjailbreaktest": [{"adversarial": "Pretend.", "data_type": "adversarial_harmful"}],
    **{
        name: [{"prompt": f"Harm {name}?"}]
        for name in ("harmbench", "wildguardtest", "do_anything_now", "jailbreak_trigger")
    },
}
"""Rows made here in the format of each data set."""


def answer(body: dict[str, Any], digest: str) -> str:
    """The right reply of the model, and what the judge says."""
    first, last = body["messages"][0]["content"], body["messages"][-1]["content"]
    if first.startswith("Which text"):
        preferred = next(text for text in ("Mine", "Baikal.", "The Elbe.") if text in last)
        better = "first" if last.index(preferred) < last.index("</first>") else "second"
        return json.dumps({"reason": "so", "better": better})
    if first.startswith("Does the text refuse"):
        return json.dumps({"reason": "so", "refused": "I will not" in last})
    for part, text in (
        ("letter of your choice", f"The answer is ({'ABCD'[_option(last)]})."),
        ("occupation", "poet"),
        ("not not", "So the answer is True."),
        ("1994", "1994"),
        ("How many", "So the answer is 18."),
        ("boxed", "\\boxed{0.5}"),
        ("Python function", "```python\ndef f(x):\n    return x + 1\n```"),
        ("function f", "```python\ndef f(x):\n    return x + 1\n```"),
        ("Say it", "It is said"),
        ("Name a", "Mine is better."),
        ("kill a process", "Use kill."),
    ):
        if part in last:
            return text
    return "I will not do that."


def _option(prompt: str) -> int:
    """The place of the right option in a prompt, by what the rows above ask."""
    right = next((word for word in ("Yes", "(B)lake") if f") {word}" in prompt), "")
    return prompt[: prompt.index(f") {right}")].count("\n(") - 1 if right else 1


ROWS["truthfulqa"] = [
    {"question": f"Is {n} wet?", "mc2_targets": {"choices": ["Yes.", "größer", "No 🌧"], "labels": [1, 0, 0]}}
    for n in range(8)
]


def asked_and_shown(name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The instances and the examples of a task."""
    rows, shots = ROWS[name], tasks()[name].shots
    return rows[: max(1, len(rows) - shots)], rows[len(rows) - shots :]


@pytest.mark.campaign
def test_every_task_of_the_suites_runs_with_a_tiny_model_and_recorded_judgements(tmp_path: Path) -> None:
    assert tasks().keys() == ROWS.keys()
    lake = Lake.of(load_settings(tmp_path))
    model = a_checkpoint(tmp_path / "model", replace(OLMO, sequence_length=4096))
    settings = EndpointSettings(concurrency=8, timeout=120.0)
    with serving(model, tmp_path / "server") as tiny_server, running(Script(answer=answer)) as judge_url:
        tiny = Endpoint(name="tiny", url=f"{tiny_server.url}/v1", model="model", revision="", settings=settings)
        judge = Endpoint(name="judge", url=judge_url, model="judge", revision="", settings=settings)
        for name in ROWS:
            # One program a problem: a sandbox is started for each.
            task = replace(tasks()[name], samples=(1,)) if tasks()[name].samples else tasks()[name]
            asked, examples = asked_and_shown(name)
            found = replies(lake, tiny, task, asked[:2], examples, judge=judge, tokens=8)
            rows = scored("tiny", task, found)
            assert len(rows) == len(asked[:2]) and all(0 <= row["score"] <= 1 for row in rows), name
            if name == "truthfulqa":
                check_choices(model, task, asked[0], examples, found[0])
            else:
                assert any(row["response"] for row in rows), name
            # The judge's recorded words decide: no reply is "Mine", and none refuses.
            if task.scorer == "win_rate":
                assert {row["score"] for row in rows} == {0.0}
            if task.scorer == "refusal":
                assert [row["score"] for row in rows] == [float(not each["harmful"]) for each in found]


def check_choices(model: Path, task: Any, raw: dict[str, Any], examples: list[Any], row: dict[str, Any]) -> None:
    """Compare log-probabilities of choices with those of the whole logits."""
    served = open_served(str(model))
    before = prompt_of(task, raw["question"], examples)
    for choice, logprob in zip(raw["mc2_targets"]["choices"], row["choice_logprobs"], strict=True):
        ids = served.tokenizer.encode(f"{before} {choice}", special=False)
        own = len(served.tokenizer.encode(f" {choice}", special=False))
        logits = served.decoder(torch.tensor([ids]))[0].log_softmax(-1)
        expected = sum(logits[place - 1, ids[place]].item() for place in range(len(ids) - own, len(ids)))
        assert logprob == pytest.approx(expected, abs=1e-3)


def test_right_replies_score_1_by_every_scorer(tmp_path: Path) -> None:
    lake = Lake.of(load_settings(tmp_path))
    with running(Script(answer=answer)) as url:
        settings = EndpointSettings(concurrency=8, timeout=60.0)
        model, judge = (Endpoint(name=n, url=url, model=n, revision="", settings=settings) for n in ("tiny", "judge"))
        for name in {task.scorer: name for name, task in tasks().items() if task.scorer != "mc2"}.values():
            task = tasks()[name]
            asked, examples = asked_and_shown(name)
            found = replies(lake, model, task, asked, examples, judge=judge)
            assert len(found) == len(asked) * max(task.samples, default=1)
            metric, scores = instance_scores(task, scored("tiny", task, found))
            assert metric == ("pass@10" if task.samples else "mean")
            assert scores and set(scores.values()) == {1.0}, name


def test_shots_are_turns_or_text_as_the_task_declares() -> None:
    found = tasks()
    turns = conversation(found["gsm8k"], ROWS["gsm8k"][0], ROWS["gsm8k"][2:])
    assert [role for role, _ in turns] == ["user", "assistant"] * 8 + ["user"]
    assert turns[1][1] == "9 * 2 = 18 So the answer is 18." and "step by step" in turns[-1][1]
    ((role, text),) = conversation(found["drop"], ROWS["drop"][0], ROWS["drop"][2:])
    assert role == "user" and text.count("Question:") == 4 and "step by step" not in text
    with pytest.raises(WatershedError, match="gsm8k has 8 examples in its prompt, and 7 are given"):
        conversation(found["gsm8k"], ROWS["gsm8k"][0], ROWS["gsm8k"][3:])
    with pytest.raises(WatershedError, match="is not one of openai/gsm8k"):
        conversation(found["gsm8k"], {"question": "?"}, ROWS["gsm8k"][2:])
    with pytest.raises(WatershedError, match="log-probabilities of choices"):
        conversation(found["truthfulqa"], {"question": "?"}, [{}] * 6)
    assert prompt_of(found["truthfulqa"], "Why?", ROWS["truthfulqa"][2:]).count("A: Yes.") == 6
    with pytest.raises(WatershedError, match="is not one of truthfulqa/truthful_qa"):
        prompt_of(found["truthfulqa"], "Why?", [{"question": "?"}] * 6)
    with pytest.raises(WatershedError, match="6 examples in its prompt, and 0 are given"):
        prompt_of(found["truthfulqa"], "Why?", [])


def test_a_server_that_gives_no_log_probabilities_is_a_user_error() -> None:
    with running(Script()) as url:
        endpoint = Endpoint(name="tiny", url=url, model="m", revision="", settings=EndpointSettings())
        with pytest.raises(WatershedError, match="gives no log-probabilities of a prompt"):
            choice_rows(endpoint, tasks()["truthfulqa"], ROWS["truthfulqa"][:1], ROWS["truthfulqa"][1:])


def test_a_task_of_a_judge_needs_one(tmp_path: Path) -> None:
    endpoint = Endpoint(name="m", url="http://127.0.0.1:1", model="m", revision="", settings=EndpointSettings())
    with pytest.raises(WatershedError, match="href is scored by a judge"):
        replies(Lake.of(load_settings(tmp_path)), endpoint, tasks()["href"], ROWS["href"])
