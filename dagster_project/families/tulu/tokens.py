"""How many tokens of a row a trainer would train on, under a chat template and a tokenizer.

The tokens of a reply are those that its template adds when the reply is added: from where the generation prompt ends to
the end of the rendered reply, so that what ends the turn is among them. A template that renders earlier messages
otherwise once a later one is added is not prefix-preserving; its replies are then counted one by one, each with what
comes before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from spark_jobs.tulu.reading import without_nulls
from trainers.serving.chat import ChatTemplate, RefusedMessages

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class TokenCounter:
    """Counts tokens of rows of tulu.rows."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate) -> None:
        self._tokenizer, self._template = tokenizer, template

    @classmethod
    def open(cls, tokenizer: Path, template: Path) -> TokenCounter:
        """Read the tokenizer and the template.

        Raises:
            WatershedError: the tokenizer cannot be read.
            TrainerError: the template cannot be read.
        """
        from tokenizers import Tokenizer

        try:
            found = Tokenizer.from_file(str(tokenizer))
        except Exception as error:  # The library raises a bare Exception.
            raise WatershedError(f"{tokenizer} is no tokenizer.json: {str(error)[:100]}", "give another file") from None
        return cls(found, ChatTemplate.from_file(template))

    def count(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of tulu.tokens. For a pair, trained tokens are those of both replies."""
        found: dict[str, Any] = {"tokens": 0, "trained_tokens": 0, "chosen_tokens": None, "rejected_tokens": None}
        if row["malformed"]:
            return found | {"failure": "malformed"}
        messages = [without_nulls(each) for each in row["messages"]]
        try:
            if row["chosen"] is None:
                whole, trained = self._counted(messages)
                return found | {"tokens": whole, "trained_tokens": trained, "failure": None}
            sides = {}
            for name in ("chosen", "rejected"):
                chat = [*messages, {"role": "assistant", "content": row[name] or ""}]
                prompt = self._length(messages, prompt=True)
                whole = self._length(chat)
                sides[name] = (whole, max(whole - prompt, 0))
        except RefusedMessages as error:
            return found | {"failure": str(error)[:200]}
        return found | {
            "tokens": sum(each[0] for each in sides.values()),
            "trained_tokens": sum(each[1] for each in sides.values()),
            "chosen_tokens": sides["chosen"][1],
            "rejected_tokens": sides["rejected"][1],
            "failure": None,
        }

    def _counted(self, messages: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
        """All tokens, and those of replies."""
        trained = 0
        for place, message in enumerate(messages):
            if message["role"] == "assistant":
                before, after = messages[:place], messages[: place + 1]
                trained += max(self._length(after) - self._length(before, prompt=True), 0)
        return self._length(messages), trained

    def _length(self, messages: Sequence[Mapping[str, Any]], *, prompt: bool = False) -> int:
        if not messages:
            return 0
        text = self._template.render(messages, add_generation_prompt=prompt)
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)
