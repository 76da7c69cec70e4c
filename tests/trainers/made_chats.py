"""Chats, the chat templates that TRL ships, and a tokenizer that knows their markers."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from trainers.serving.tokenizers import TextTokenizer

BOS, EOS = "<s>", "</s>"
MARKER = re.compile(
    r"<\|[A-Za-z_0-9./]{1,30}\|?>|<[a-z_]{1,20}\|>|<｜[^｜<>]{1,30}｜>|<(?:start|end)_of_[a-z]+>|<(?:end_of_utterance|sop)>"
    r"|<\|[A-Z_]+\|>|<s>|</s>|\[gMASK\]"
)
"""How the markers of these templates are spelt."""

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "rainfall",
            "description": "How much rain fell.",
            "parameters": {
                "type": "object",
                "properties": {"place": {"type": "string", "description": "Where."}},
                "required": ["place"],
            },
        },
    }
]


def trl_templates() -> dict[str, str]:
    """TRL's templates by file name without its suffix; TRL itself is not imported."""
    spec = importlib.util.find_spec("trl")
    assert spec is not None and spec.submodule_search_locations
    folder = Path(next(iter(spec.submodule_search_locations))) / "chat_templates"
    found = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.jinja"))}
    # The day is written by the template, so it is the same in both renderings.
    return {name: re.sub(r"strftime_now\([^)]*\)", "'2025-01-01'", text) for name, text in found.items()}


def marker_tokenizer(templates: list[str]) -> TextTokenizer:
    """Byte-level BPE with every marker of the templates as a special token."""
    markers = sorted({marker for text in templates for marker in MARKER.findall(text)} | {BOS, EOS})
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[AddedToken(marker, special=True) for marker in markers],
    )
    texts = [
        "the rain falls on the hills, and\n\nthe river rises",
        "größer als Zürich 雨が降る 🌧",
        '{"name": "rainfall"}',
    ]
    tokenizer.train_from_iterator(texts * 4, trainer)
    return TextTokenizer(tokenizer)


def chats() -> dict[str, list[dict[str, Any]]]:
    """Chats by name: several turns, a system prompt, tools, reasoning; texts that models and users write are told apart
    by their first word."""
    call = {"type": "function", "function": {"name": "rainfall", "arguments": {"place": "Own Zürich"}}}
    asked = {"role": "user", "content": "Asked: how much rain fell in Zürich? 🌧"}
    answered = {"role": "assistant", "content": "Own words: 12 mm.\n\nOwn: 雨が降る"}
    again = {"role": "user", "content": "Asked: and the day before?  "}
    thought = {
        "role": "assistant",
        "content": "Own words: none.",
        "reasoning_content": "Own thought: I look.",
        "thinking": "Own thought: I look.",
    }
    called = {"role": "assistant", "content": "", "tool_calls": [call]}
    told = {"role": "tool", "name": "rainfall", "content": "Told: 12"}
    return {
        "one turn": [asked, answered],
        "turns": [asked, answered, again, {"role": "assistant", "content": "Own words: dry."}],
        "system": [{"role": "system", "content": "Set: be brief."}, asked, answered],
        "tools": [asked, called, told, answered],
        "reasoning": [asked, thought],
        "reasoning in turns": [asked, thought, again, thought],
    }
