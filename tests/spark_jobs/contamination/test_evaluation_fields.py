"""An evaluation example is compared as a reader meets it: its question, each answer behind it, and its passage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import WatershedError
from spark_jobs.contamination.examples import evaluation_names, example_batches
from spark_jobs.contamination.fields import all_text, parts_of


def parts(example: Any) -> dict[str, str]:
    return {part.field: part.text for part in parts_of(example).parts}


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        # The answer follows the question, whatever the order of the fields.
        (
            {"choices": ["in a cage", "outside"], "gold": 0, "query": "Question: Where does the canary live?\n"},
            {
                "question": "Where does the canary live?",
                "question + choices[0]": "Where does the canary live? in a cage",
                "question + choices[1]": "Where does the canary live? outside",
            },
        ),
        (
            {"context_options": ["Ann saw Sue because Ann", "Ann saw Sue because Sue"], "continuation": "waved."},
            {
                "context_options[0] + continuation": "Ann saw Sue because Ann waved.",
                "context_options[1] + continuation": "Ann saw Sue because Sue waved.",
            },
        ),
        (
            {"context": "The capital of Peru is", "continuation": "Lima"},
            {"question": "The capital of Peru is", "question + continuation": "The capital of Peru is Lima"},
        ),
        (
            {"query": "Passage: Canaries sing.\nQuestion: What do canaries do?\nAnswer:", "choices": ["yes", "no"]},
            {
                "passage": "Canaries sing.",
                "question": "What do canaries do?",
                "question + choices[0]": "What do canaries do? yes",
                "question + choices[1]": "What do canaries do? no",
            },
        ),
        # Answers that are letters stand for the options that the prompt lists.
        (
            {"query": "Question: Where?\nChoices:\nA. a bank\nB. a mall\nAnswer:", "choices": ["A", "B"], "gold": 0},
            {
                "question": "Where?",
                "question + option A": "Where? a bank",
                "question + option B": "Where? a mall",
                "prompt": "Where? A. a bank B. a mall",
            },
        ),
        (
            {"id": "7", "question": {"stem": "Which?", "choices": [{"text": "this", "label": "A"}]}, "answerKey": "A"},
            {"question": "Which?", "question + choices[0]": "Which? this"},
        ),
        (
            {"question": "Which?", "choices": {"text": ["this", "that"], "label": ["A", "B"]}},
            {"question": "Which?", "question + choices[0]": "Which? this", "question + choices[1]": "Which? that"},
        ),
        # A gap in a sentence is filled in.
        (
            {"sentence": "Ann waved because _ was glad.", "option1": "Ann", "option2": "Sue"},
            {
                "question": "Ann waved because _ was glad.",
                "question + option1": "Ann waved because Ann was glad.",
                "question + option2": "Ann waved because Sue was glad.",
            },
        ),
        (
            {"context": "Lima is in Peru.", "question": "Where is Lima?", "answers": {"text": ["Peru"], "start": [11]}},
            {"passage": "Lima is in Peru.", "question + answers[0]": "Where is Lima? Peru"},
        ),
        (
            {"instruction": "Translate.", "input": "Guten Tag", "output": "Good day"},
            {"question": "Translate.\nGuten Tag", "question + output": "Translate.\nGuten Tag Good day"},
        ),
        ({"prompt": "def f():", "canonical_solution": "return 1", "test": "assert f()"},
         {"question": "def f():", "question + canonical_solution": "def f(): return 1"}),
        (
            {"premise": "Canaries sing.", "hypothesis": "Birds sing.", "label": 0},
            {"passage": "Canaries sing.", "passage + question": "Canaries sing. Birds sing."},
        ),
        ({"a": "in a cage", "q": "Where?"}, {"question": "Where?", "question + a": "Where? in a cage"}),
        # Unknown fields are compared each on its own, and all together.
        ({"alpha": "one", "beta": ["two", "three"]}, {"alpha": "one", "beta": "three", "all fields": "one two three"}),
        ("a bare text", {"text": "a bare text"}),
    ],
)  # fmt: skip
def test_parts_are_joined_in_the_order_of_the_prompt(example: Any, expected: dict[str, str]) -> None:
    found = parts(example)
    assert {field: text for field, text in found.items() if field in expected} == expected
    assert found.keys() >= expected.keys()


def test_fields_that_are_not_compared_are_named(tmp_path: Path) -> None:
    code = {"task_id": "HumanEval/1", "prompt": "def f(): pass", "test": "assert f([1, 2, 3])", "tests": 3}
    assert parts_of(code).ignored == ("task_id", "test")
    (tmp_path / "code.jsonl").write_text(json.dumps(code) + "\n")
    notes: list[str] = []
    list(example_batches([tmp_path / "code.jsonl"], notes=notes))
    assert notes == ["code: fields that are not compared: task_id, test"]


def test_the_published_rule_compares_all_text_in_the_order_of_the_fields() -> None:
    (part,) = all_text({"b": "first", "a": ["second", {"text": "third", "label": "C"}], "n": 4}).parts
    assert part.text == "first\nsecond\nthird\nC"


def test_files_of_one_name_stay_apart_and_the_same_file_counts_once(tmp_path: Path) -> None:
    files = []
    for folder, text in (("arc", "one"), ("mmlu", "two"), ("copy", "one")):
        (tmp_path / folder).mkdir()
        files.append(tmp_path / folder / "test.jsonl")
        files[-1].write_text(json.dumps({"question": text}) + "\n")
    notes: list[str] = []
    batches = list(example_batches([*files, files[1]], notes=notes))
    assert [batch["evaluation"].to_pylist() for batch in batches] == [["arc/test"], ["mmlu/test"]]
    assert notes == [
        f"{files[2]} has the same content as {files[0]}: it counts once",
        f"{files[1]} is given twice: it counts once",
    ]


def test_names_are_the_shortest_that_differ() -> None:
    assert evaluation_names([Path("/a/x/t.jsonl"), Path("/b/x/t.jsonl"), Path("/c/u.jsonl")]) == ["a/x/t", "b/x/t", "u"]
    assert evaluation_names([Path("/a/t.jsonl"), Path("/a/t.json")]) == ["t.jsonl", "t.json"]


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "holds no example"),
        (b'{"query": "a"}\n{"query": ', r"torn.jsonl:2: not valid JSON"),
        (b'{"query": "\xff"}\n', "not valid JSON"),
        (b"[" * 1000 + b'"deep"' + b"]" * 1000, "nested too deeply"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, cause: str) -> None:
    (tmp_path / "torn.jsonl").write_bytes(content)
    with pytest.raises(WatershedError, match=cause):
        list(example_batches([tmp_path / "torn.jsonl"]))
