"""Chats to tokens, and which of these are trained on: the model's own words and the marker that ends them.

A model is trained on exactly the tokens that it will have to write. So a reply begins where the template's generation
prompt ends, and it ends with its stop token: what a template writes after that, such as a line break, is written by
the template in use too. Reasoning and tool calls are the model's own words; what a tool answers is not.

Where a reply stands in the text of a whole chat is found by comparing texts:

- A template that marks replies with {% generation %} says so itself.
- Else the text of the messages before a reply, with the generation prompt, and the text of the messages up to the
  reply must both be beginnings of the text of the whole chat. A template with this property is called
  prefix-preserving.
- A template without it (Qwen 3 drops the reasoning of earlier turns, GPT-OSS ends the last reply with another marker)
  would train on texts that never occur in use. Its chats are trained turn by turn, an example a reply, or refused.

An example without a label is never trained on: it is left out, with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainers.posttraining.rows import REPLY, Message, UnusableRow, texts_in
from trainers.process.errors import TrainerError
from trainers.serving.chat import ChatTemplate, RefusedMessages
from trainers.serving.tokenizers import TextTokenizer

NotPreserving = Literal["turns", "refuse"]
Replies = Literal["all", "last"]


@dataclass(frozen=True)
class Written:
    """The text of a chat, and the characters of it that the model writes."""

    text: str
    spans: tuple[tuple[int, int], ...]
    """Beginning and end of each reply, in order."""


@dataclass(frozen=True)
class Labelled:
    """Tokens of a chat, and which of them are trained on."""

    tokens: NDArray[np.int32]
    labels: NDArray[np.bool_]
    """True for the tokens that the model learns to write."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def targets(self) -> int:
        """Tokens that are trained on. The first token of a text is not: nothing comes before it."""
        return int(self.labels[1:].sum())


@dataclass(frozen=True, kw_only=True)
class ChatFormat:
    """How chats become tokens."""

    template: ChatTemplate
    tokenizer: TextTokenizer
    stops: tuple[int, ...] = ()
    """Tokens that end a reply; (): whichever special token the template writes at its end. The first is put at the end
    of a chat whose template writes none there."""
    not_preserving: NotPreserving = "turns"
    """What becomes of chats that the template writes differently as they grow: trained turn by turn, or refused."""
    replies: Replies = "all"
    """Which replies are trained on: all, or the last alone."""

    def written(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None = None) -> list[Written]:
        """The text of a chat with its replies: one, or one a reply where the template is not prefix-preserving.

        Raises:
            UnusableRow: the template refuses the messages, or no reply can be found in its text.
        """
        places = [place for place, message in enumerate(messages) if message["role"] == REPLY]
        if not places:
            raise UnusableRow("it holds no reply")
        try:
            if self.template.marks_replies:
                marked = self.template.render_marked(messages, tools=tools)
                spans = _joined(marked.spans)
                return [Written(marked.text, spans[-1:] if self.replies == "last" else spans)]
            return self._compared(messages, tools, places[-1:] if self.replies == "last" else places)
        except RefusedMessages as refusal:
            raise UnusableRow(str(refusal)[:300]) from None

    def _compared(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None, places: Sequence[int]
    ) -> list[Written]:
        if places[0] == 0:
            raise UnusableRow("it begins with a reply")
        whole = self.template.render(messages, add_generation_prompt=False, tools=tools)
        turns: list[Written] = []
        for place in places:
            before = self.template.render(messages[:place], tools=tools)
            last = place == len(messages) - 1
            after = (
                whole if last else self.template.render(messages[: place + 1], add_generation_prompt=False, tools=tools)
            )
            if not after.startswith(before):
                raise UnusableRow("the template writes a reply that does not begin as its generation prompt does")
            turns.append(Written(after, ((len(before), len(after)),)))
        if all(whole.startswith(turn.text) for turn in turns):
            return [Written(whole, tuple(turn.spans[0] for turn in turns))]
        if self.not_preserving == "refuse":
            raise UnusableRow("the template writes earlier messages differently as a chat grows")
        return turns

    def labelled(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None = None) -> list[Labelled]:
        """Tokens and labels of a chat: one example, or one a reply.

        Raises:
            UnusableRow: as `written`; or a text of a message spells a special token, or a reply has no stop token.
        """
        self.check_texts(messages)
        written = self.written(messages, tools)
        encoded = self.tokenizer.encode_placed([each.text for each in written])
        return [self._labelled(each, *found) for each, found in zip(written, encoded, strict=True)]

    def check_texts(self, messages: Sequence[Message]) -> None:
        """Refuse texts that would be read as markers, such as a user's "<|im_start|>assistant"; UnusableRow then."""
        markers = self.tokenizer.special_markers.values()
        for text in texts_in([{**message, "role": ""} for message in messages]):
            for marker in markers:
                if marker and marker in text:
                    raise UnusableRow(f"a message spells the special token {marker}")

    def prompt(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None = None) -> list[int]:
        """Tokens of messages up to where the reply begins.

        Raises:
            UnusableRow: the template refuses the messages, or a text of them spells a special token.
        """
        self.check_texts(messages)
        try:
            text = self.template.render(messages, tools=tools)
        except RefusedMessages as refusal:
            raise UnusableRow(str(refusal)[:300]) from None
        return self.tokenizer.encode(text, special=False)

    def _labelled(self, written: Written, ids: Sequence[int], begins: Sequence[int]) -> Labelled:
        tokens, begin_T = np.array(ids, dtype=np.int32), np.array(begins, dtype=np.int64)
        labels = np.zeros(len(tokens), dtype=np.bool_)
        for begin, end in written.spans:
            first, last = np.searchsorted(begin_T, (begin, end), side="left").tolist()
            stop = self._after_stop(written.text, tokens, begin_T, first, last)
            if stop is None and last == len(tokens) and self.stops:
                tokens = np.append(tokens, np.int32(self.stops[0]))
                labels, stop = np.append(labels, False), last + 1
            if stop is None and self.template.marks_replies and (begin, end) != written.spans[-1]:
                # A part of a reply, after which the template writes what a tool answered.
                stop = last
            if stop is None:
                raise UnusableRow("the template writes no stop token after a reply")
            labels[first:stop] = True
        return Labelled(tokens, labels)

    def _after_stop(
        self, text: str, tokens: NDArray[np.int32], begin_T: NDArray[np.int64], first: int, last: int
    ) -> int | None:
        """The place after the stop token of a reply whose tokens are first .. last - 1; None where it has none."""
        special = self.tokenizer.special_markers
        for place in range(last - 1, first - 1, -1):
            token = int(tokens[place])
            if token in self.stops or (token in special and not self.stops):
                return place + 1
            if text[begin_T[place] : begin_T[place + 1] if place + 1 < len(tokens) else len(text)].strip():
                break
        # In some templates the marker that begins the next message ends the reply.
        return last + 1 if last < len(tokens) and int(tokens[last]) in self.stops else None


def _joined(spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Runs of characters, those that touch as one."""
    found: list[tuple[int, int]] = []
    for begin, end in spans:
        touches = bool(found) and found[-1][1] == begin
        first = found.pop()[0] if touches else begin
        if end > first:
            found.append((first, end))
    return tuple(found)


def truncated(labelled: Labelled, length: int) -> Labelled:
    """The first `length` tokens.

    Raises:
        UnusableRow: no token that is trained on is left.
    """
    kept = Labelled(labelled.tokens[:length], labelled.labels[:length])
    if not kept.targets:
        cut = len(labelled) > length and labelled.targets
        raise UnusableRow(f"no reply begins in its first {length} tokens" if cut else "it has no token to train on")
    return kept


def named_stops(tokenizer: TextTokenizer, stops: Sequence[str]) -> tuple[int, ...]:
    """The tokens that are spelt so; TrainerError where the tokenizer has none."""
    found = []
    for marker in stops:
        number = tokenizer.number(marker)
        if number is None:
            known = ", ".join(list(tokenizer.special_markers.values())[:8]) or "none"
            raise TrainerError(f"the tokenizer has no token {marker!r}", f"set stop to one of its markers: {known}")
        found.append(number)
    return tuple(found)
