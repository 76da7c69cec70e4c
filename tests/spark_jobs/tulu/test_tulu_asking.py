"""Every declared task that a chat can answer, from rows in its published format to a score, with a scripted model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.model_server import Script, running
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import EndpointSettings, load_settings
from dagster_project.families.tulu.results import instance_scores, scored
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.tulu.asking import conversation, replies
from spark_jobs.tulu.suites import tasks

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
        better = "first" if last.index("Mine") < last.index("</first>") else "second"
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


def test_every_task_runs_from_published_rows_to_a_score(tmp_path: Path) -> None:
    assert tasks().keys() - ROWS.keys() == {"truthfulqa"}
    lake = Lake.of(load_settings(tmp_path))
    with running(Script(answer=answer)) as url:
        settings = EndpointSettings(concurrency=8, timeout=60.0)
        model, judge = (Endpoint(name=n, url=url, model=n, revision="", settings=settings) for n in ("tiny", "judge"))
        for name, rows in ROWS.items():
            task = tasks()[name]
            asked, examples = rows[: max(1, len(rows) - task.shots)], rows[len(rows) - task.shots :]
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


def test_a_task_of_a_judge_needs_one(tmp_path: Path) -> None:
    endpoint = Endpoint(name="m", url="http://127.0.0.1:1", model="m", revision="", settings=EndpointSettings())
    with pytest.raises(WatershedError, match="href is scored by a judge"):
        replies(Lake.of(load_settings(tmp_path)), endpoint, tasks()["href"], ROWS["href"])
