"""Why a mixture leaves a row out: pure functions of the row.

Repetition is Olmo 3's (arXiv 2512.13961; open-instruct, filter_ngram_repetitions.py): a sentence or paragraph that a
reply has ten times, or a phrase that it has fifty times. The thresholds are not flat: paragraphs of several lines count
four times as lenient, replies with code or mathematics twice, structured lists three times.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from spark_jobs.tulu.sources import Filters, Kind

SENTENCES, PHRASES = 10, 50
"""Occurrences of a sentence or paragraph, and of a phrase, that are too many."""
PHRASE = 5
"""Words of a phrase."""
SHORTEST = 20
"""Characters below which a sentence or paragraph may repeat: `Yes.`, `}`, a rule of dashes."""
MANY_LINES, CODE, LIST = 4, 2, 3
"""Factors of the thresholds."""
LONGEST = 200_000
"""Characters of a reply that are looked at for repetition."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)]|\|)\s")
_CODE = re.compile(r"```|\\\(|\\\[|\\frac|\\begin\{|\$\$")
_CHINESE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_CUTOFF = re.compile(
    r"\b(?:knowledge|training|information)(?: data)?(?: has a)? (?:cut[- ]?off|was last updated)"
    r"|\bas of my (?:last|latest) (?:knowledge |training )?update\b",
    re.IGNORECASE,
)
_IDENTITY = re.compile(
    r"\b(?:I am|I'm|my name is) (?:ChatGPT|GPT-?\d|Claude|Gemini|Bard|Qwen|DeepSeek|Llama|Mistral|OLMo|Tülu|Tulu)\b"
    r"|\b(?:created|developed|made|trained|built) by (?:OpenAI|Anthropic|Google|Alibaba|DeepSeek|Meta|Mistral)\b",
    re.IGNORECASE,
)

Messages = Sequence[Mapping[str, Any]]


def reasons(row: Mapping[str, Any], filters: Filters, kind: Kind, language: str | None = None) -> list[str]:
    """Why a row of tulu.rows is left out, in the order in which it is decided; empty for a row that is kept.

    Args:
        row: messages, chosen, rejected and malformed.
        filters: what is left out.
        kind: the kind of the mixture.
        language: the language of the prompt, where `filters.languages` needs it.
    """
    if row["malformed"]:
        return ["malformed"]
    messages, replies = row["messages"], replies_of(row, kind)
    pair = [text for text in (row["chosen"], row["rejected"]) if text is not None]
    found = [fault] if filters.roles and (fault := _roles(messages, kind)) else []
    if kind == "preference" and len(pair) < 2:
        found.append("no_pair")
    decided = {
        "empty_message": filters.empty and any(not text.strip() for text in [*_texts(messages), *pair]),
        "keyword": bool(filters.keywords) and any(_keywords(filters.keywords).search(text) for text in replies),
        "unclosed_thinking": filters.unclosed_thinking
        and any(("<think>" in text) != ("</think>" in text) for text in replies),
        "repetition": filters.repetition and any(is_repetitive(text) for text in replies),
        "chinese": filters.chinese is not None and _chinese(replies) >= filters.chinese,
        "language": bool(filters.languages) and language not in filters.languages,
        "cutoff_date": filters.cutoff_date and any(_CUTOFF.search(text) for text in replies),
        "identity": filters.identity and any(_IDENTITY.search(text) for text in replies),
    }
    if kind == "preference" and len(pair) == 2:
        most = filters.most_longer
        decided["equal_replies"] = pair[0].split() == pair[1].split()
        decided["longer"] = most is not None and longer(*pair) > most
    return found + [name for name, is_so in decided.items() if is_so]


def replies_of(row: Mapping[str, Any], kind: Kind) -> list[str]:
    """The texts that a model is trained to write."""
    if kind == "preference":
        return [text for text in (row["chosen"], row["rejected"]) if text is not None]
    return [each["content"] for each in row["messages"] if each["role"] == "assistant"]


def longer(chosen: str, rejected: str) -> int:
    """Words of the chosen reply minus words of the rejected one."""
    return len(chosen.split()) - len(rejected.split())


def _texts(messages: Messages) -> list[str]:
    """Contents of messages; a call of a tool needs no text, and neither does a system prompt."""
    return [
        each["content"]
        for each in messages
        if each["role"] != "system" and not each.get("tool_calls") and not each.get("reasoning")
    ]


def _roles(messages: Messages, kind: Kind) -> str:
    roles = [each["role"] for each in messages]
    turns = roles[1:] if roles and roles[0] == "system" else roles
    if not turns or turns[0] != "user" or "system" in turns:
        return "role_order"
    after = {"user": ("assistant",), "assistant": ("user", "tool"), "tool": ("tool", "assistant")}
    if any(second not in after[first] for first, second in itertools.pairwise(turns)):
        return "role_order"
    if kind == "sft":
        return "" if turns[-1] == "assistant" else "no_reply"
    return "" if turns[-1] in ("user", "tool") else "role_order"


@cache
def _keywords(keywords: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(keywords, key=lambda word: (-len(word), word)))), re.IGNORECASE)


def _chinese(replies: Sequence[str]) -> float:
    """The share of Chinese characters among those that are not white space."""
    text = "".join(replies)
    written = len(text) - sum(map(text.count, " \n\t\r"))
    return len(_CHINESE.findall(text)) / written if written else 0.0


def is_repetitive(text: str) -> bool:
    """Whether a reply repeats a sentence, a paragraph or a phrase too often.

    Example:
        >>> is_repetitive("We will go to the lake today. " * 9), is_repetitive("We will go to the lake today. " * 10)
        (False, True)
    """
    text = text[:LONGEST]
    lines = [line for line in text.split("\n") if line.strip()]
    factor = CODE if _CODE.search(text) else 1
    if len(lines) > 3 and sum(bool(_ITEM.match(line)) for line in lines) * 2 > len(lines):
        factor = max(factor, LIST)
    units = Counter(each for part in _SENTENCE.split(text) if len(each := " ".join(part.split())) >= SHORTEST)
    if any(count >= SENTENCES * factor for count in units.values()):
        return True
    paragraphs = Counter(each.strip() for each in text.split("\n\n") if len(each.strip()) >= SHORTEST)
    for paragraph, count in paragraphs.items():
        if count >= SENTENCES * max(factor, MANY_LINES if "\n" in paragraph else 1):
            return True
    words = text.split()
    if len(words) < PHRASES + PHRASE:
        return False
    phrases = Counter(zip(*(words[start:] for start in range(PHRASE)), strict=False))
    return any(
        count >= PHRASES * factor and sum(map(len, phrase)) + PHRASE > SHORTEST for phrase, count in phrases.items()
    )
