"""Tokens that tulu.tokens counts are those that the trainers train on."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "trainers" / "posttraining"))

from made_chats import BOS, EOS, TOOLS, chats, marker_tokenizer, trl_templates  # ty: ignore

from catalog.errors import WatershedError
from dagster_project.families.tulu.tokens import TokenCounter
from spark_jobs.tulu.export import line_of
from spark_jobs.tulu.reading import rows_of
from spark_jobs.tulu.sources import Source
from trainers.data.json_rows import read_rows
from trainers.posttraining.examples import made_examples
from trainers.posttraining.labels import ChatFormat, named_stops
from trainers.posttraining.preferences import pairs
from trainers.posttraining.sft import chats as chats_of
from trainers.process.errors import TrainerError
from trainers.serving.chat import ChatTemplate
from trainers.serving.tokenizers import TextTokenizer

TEMPLATES = {name: text for name, text in trl_templates().items() if not name.endswith("_training")}
STOPS = {"glm4moe": ["<|user|>", "<|observation|>"]}
PROMPT = [{"role": "user", "content": "Asked: how much?"}]
RAW: list[dict[str, Any]] = [
    *({"messages": chats()[name]} for name in ("turns", "system")),
    {"messages": chats()["tools"], "tools": TOOLS},
    {"messages": chats()["reasoning in turns"]},
    {"messages": PROMPT},
]
RAW_PAIRS = [
    {
        side: [*prompt, {"role": "assistant", "content": reply}]
        for side, reply in (("chosen", "12 mm"), ("rejected", "No"))
    }
    for prompt in (PROMPT, chats()["system"][:2], chats()["reasoning"])
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    marker_tokenizer(list(trl_templates().values())).save(folder / "tokenizer.json")
    markers = {"bos_token": {"content": BOS}, "eos_token": EOS, "pad_token": None, "chat_template": "{{ 1 }}"}
    (folder / "tokenizer_config.json").write_text(json.dumps(markers))
    return folder / "tokenizer.json"


def stored(raw: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Raw rows as rows of tulu.rows, through JSON as the hub's files have them."""
    source = Source(name="rivers", revision="main", licence="MIT", files=("*",), count=1)
    read = json.loads(json.dumps(raw))
    return [row for batch in rows_of(source, iter([("f.jsonl", each) for each in read]), "main") for row in batch]


def trained(folder: Path, form: ChatFormat, rows: list[dict[str, Any]]) -> tuple[Any, dict[int, str]]:
    """The examples that a trainer makes of the exported rows, and why it leaves others out."""
    folder.mkdir()
    data = folder / "part.jsonl"
    data.write_text("".join(json.dumps(line_of(row)) + "\n" for row in rows))
    paired = rows[0]["chosen"] is not None
    beginning: Any = SimpleNamespace(
        format=replace(form, replies="last") if paired else form, fit=lambda labelled: labelled
    )
    make = pairs(beginning) if paired else chats_of(beginning)
    found = made_examples(folder, read_rows([data]), make, {}, 1 + paired)
    with (folder / "examples" / "left_out.jsonl").open() as left_out:
        return found, {row["row"]: row["reason"] for row in map(json.loads, left_out)}


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_counted_tokens_are_trained_tokens(tmp_path: Path, tokenizer: Path, name: str) -> None:
    read = TextTokenizer.from_file(tokenizer)
    template = ChatTemplate(TEMPLATES[name], {"bos_token": BOS, "eos_token": EOS}, name)
    form = ChatFormat(template=template, tokenizer=read, stops=named_stops(read, STOPS.get(name, [])))
    counter = TokenCounter(form)
    for kind, raw in (("chats", RAW), ("pairs", RAW_PAIRS)):
        rows = stored(raw)
        counts = [counter.count(row) for row in rows]
        kept = {n: count for n, count in enumerate(counts) if count["trained_tokens"]}
        if not kept:
            # Such a template never writes a reply without reasoning as its generation prompt begins it.
            assert name in ("deepseek_r1_distill", "deepseekv3") or (kind == "pairs" and "nemotron" in name)
            with pytest.raises(TrainerError, match=f"none of {len(rows)} rows can be trained on"):
                trained(tmp_path / kind, form, rows)
            continue
        found, left_out = trained(tmp_path / kind, form, rows)
        by_row: dict[int, list[Any]] = {}
        for number in range(len(found.rows)):
            by_row.setdefault(int(found.rows[number]), []).append(found.example(number))
        assert {n: (count["tokens"], count["trained_tokens"]) for n, count in kept.items()} == {
            n: (sum(map(len, examples)), sum(each.targets for each in examples)) for n, examples in by_row.items()
        }
        for n, examples in by_row.items() if kind == "pairs" else ():
            assert [counts[n]["chosen_tokens"], counts[n]["rejected_tokens"]] == [each.targets for each in examples]
        assert left_out.keys() == set(range(len(rows))) - kept.keys()
        for n, reason in left_out.items():
            # A prompt without a reply is not a failure: it is what a policy answers.
            assert counts[n]["failure"] == (None if reason == "it holds no reply" else reason[:200])


def test_reasoning_and_tool_calls_are_counted_as_they_are_trained_on(tmp_path: Path, tokenizer: Path) -> None:
    (tmp_path / "t.jinja").write_text(TEMPLATES["qwen3"])
    counter = TokenCounter.open(tokenizer, tmp_path / "t.jinja")
    plain, called, thought = (counter.count(row) for row in stored([RAW[0], RAW[2], RAW[3]]))
    bare = [{name: text for name, text in m.items() if name in ("role", "content")} for m in RAW[3]["messages"]]
    dull = counter.count(stored([{"messages": bare}])[0])
    # "Own thought: I look." is in the reasoning alone, and the arguments of a call are not text in quotation marks.
    assert thought["trained_tokens"] > dull["trained_tokens"] + 5
    assert called["trained_tokens"] > plain["trained_tokens"] and called["failure"] is None


def test_a_broken_tokenizer_config_is_a_user_error(tmp_path: Path, tokenizer: Path) -> None:
    for name, text in (("tokenizer.json", tokenizer.read_text()), ("tokenizer_config.json", "[1"), ("t.jinja", "x")):
        (tmp_path / name).write_text(text)
    with pytest.raises(WatershedError, match="is not a JSON object"):
        TokenCounter.open(tmp_path / "tokenizer.json", tmp_path / "t.jinja")
