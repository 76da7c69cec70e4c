"""How many tokens of a row a trainer would train on, under a chat template and a tokenizer.

A row is read as `watershed tulu export` writes it, and labelled as `trainers.sft` and `trainers.dpo` label it. So what
is counted here is what is trained on, up to the longest text of a run, which cuts longer ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from spark_jobs.tulu.export import line_of
from trainers.posttraining.config import PostTrainingConfig
from trainers.posttraining.labels import ChatFormat, Labelled, named_stops
from trainers.posttraining.rows import REPLY, UnusableRow, both_chats, messages_of, tools_of
from trainers.process.errors import TrainerError
from trainers.serving.chat import ChatTemplate
from trainers.serving.tokenizers import TextTokenizer

MARKERS = ("bos_token", "eos_token", "pad_token", "unk_token")
"""Names of a tokenizer_config.json that a chat template may use."""


class TokenCounter:
    """Counts tokens of rows of tulu.rows.

    Args:
        form: how chats become tokens; all replies of a chat are trained on, and the last one of each side of a pair.
    """

    def __init__(self, form: ChatFormat) -> None:
        self._chats, self._pairs = form, replace(form, replies="last")

    @classmethod
    def open(cls, tokenizer: Path, template: Path, stop: Sequence[str] = ()) -> TokenCounter:
        """Read the tokenizer, the markers in a tokenizer_config.json beside it, and the template.

        Args:
            stop: markers that end a reply whose template writes none there, as `stop` of a run.

        Raises:
            WatershedError: the tokenizer cannot be read.
            TrainerError: the template cannot be read, or the tokenizer lacks a marker of `stop`.
        """
        try:
            read = TextTokenizer.from_file(tokenizer)
        except TrainerError as error:
            raise WatershedError(
                f"{tokenizer} is not a tokenizer.json: {error.cause[-100:]}", "give another file"
            ) from None
        date = datetime.strptime(PostTrainingConfig.template_date, "%Y-%m-%d").replace(tzinfo=UTC)
        opened = ChatTemplate.from_file(template).fixed(date, {}, markers_beside(tokenizer))
        return cls(ChatFormat(template=opened, tokenizer=read, stops=named_stops(read, stop)))

    def count(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of tulu.tokens. For a pair, trained tokens are those of both last replies."""
        found: dict[str, Any] = {"tokens": 0, "trained_tokens": 0, "chosen_tokens": None, "rejected_tokens": None}
        if row["malformed"]:
            return found | {"failure": "malformed"}
        line = line_of(row)
        try:
            tools = tools_of(line)
            if row["chosen"] is None:
                messages = messages_of(line)
                if all(message["role"] != REPLY for message in messages):
                    return found | {"tokens": len(self._chats.prompt(messages, tools)), "failure": None}
                return found | _totals(self._chats.labelled(messages, tools)) | {"failure": None}
            sides = [self._pairs.labelled(chat, tools)[-1] for chat in both_chats(line)]
        except UnusableRow as unusable:
            return found | {"failure": str(unusable)[:200]}
        chosen, rejected = (side.targets for side in sides)
        return found | _totals(sides) | {"chosen_tokens": chosen, "rejected_tokens": rejected, "failure": None}


def _totals(texts: Sequence[Labelled]) -> dict[str, int]:
    return {"tokens": sum(map(len, texts)), "trained_tokens": sum(text.targets for text in texts)}


def markers_beside(tokenizer: Path) -> dict[str, str]:
    """The markers in the tokenizer_config.json beside a tokenizer; none where there is no such file.

    Raises:
        WatershedError: the file is not a JSON object.
    """
    place = tokenizer.with_name("tokenizer_config.json")
    if not place.is_file():
        return {}
    try:
        values = json.loads(place.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise WatershedError(f"{place} is not a JSON object", "copy it again, or remove it")
    found = {}
    for name in MARKERS:
        value = values.get(name)
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str) and text:
            found[name] = text
    return found
