"""Chat templates: the text that a model reads for a list of messages, written by the model's own Jinja template.

A template comes with the weights, from a stranger: it runs in Jinja's sandbox, which has no access to Python's
attributes, the file system or modules, and neither its loops nor its strings can grow without bound.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from trainers.process.errors import TrainerError

LONGEST = 16 * 1024 * 1024
"""Characters that a template may write, and that a product of a string may have."""


class RefusedMessages(Exception):
    """The template does not take these messages; the text says why."""


FIRST_PRIVATE, LAST_PRIVATE = 0xE000, 0xF8FF
"""Unicode's private use area: two of its characters that occur nowhere else mark the model's own words."""


@dataclass(frozen=True)
class Marked:
    """The text of some messages, and which of its characters the template marks as the model's own words."""

    text: str
    spans: tuple[tuple[int, int], ...]
    """Beginning and end of each run of characters between {% generation %} and {% endgeneration %}."""


class ChatTemplate:
    """A Jinja template as transformers' `apply_chat_template` runs it.

    Args:
        text: the template.
        names: markers that it may use, such as bos_token.
        place: where it comes from, for errors.
        date: the day that `strftime_now` tells; None: today. Training fixes it, so that equal rows give equal tokens.
        options: further variables of the template, such as enable_thinking.
    """

    def __init__(
        self,
        text: str,
        names: Mapping[str, str],
        place: str,
        *,
        date: datetime | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.text, self._names, self._place = text, {**(options or {}), **names}, place
        self._date = date
        # An error in it is found when the model is opened.
        _ = self._compiled

    @classmethod
    def from_file(cls, path: Path) -> ChatTemplate:
        """The template in a file.

        Raises:
            TrainerError: the file cannot be read, or its syntax is wrong.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TrainerError(f"{path} cannot be read: {error}", "give a Jinja file in UTF-8") from None
        return cls(text, {}, str(path))

    def fixed(self, date: datetime, options: Mapping[str, Any], names: Mapping[str, str]) -> ChatTemplate:
        """The same template with the day it tells, further variables, and markers where it had none."""
        own = {name: value for name, value in self._names.items() if value != ""}
        return ChatTemplate(self.text, {**names, **own}, self._place, date=date, options=options)

    @property
    def names(self) -> Mapping[str, Any]:
        """The markers and variables that it may use."""
        return self._names

    @cached_property
    def _compiled(self) -> Any:
        from jinja2 import TemplateError

        environment = _environment(self._date)
        try:
            return environment.from_string(self.text)
        except (TemplateError, RecursionError) as error:
            raise TrainerError(f"{self._place}: the chat template is wrong: {error}", "correct it") from None

    @cached_property
    def marks_replies(self) -> bool:
        """Whether the template marks the model's own words by {% generation %}."""
        return "generation" in self.text and "endgeneration" in self.text

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """The text of the messages, by default up to where the reply begins.

        Args:
            tools: descriptions of functions that the model may call, as JSON schemas.

        Raises:
            RefusedMessages: the template raised an error, for example for a role that it does not know.
        """
        return self._render(messages, add_generation_prompt, tools, {})

    def render_marked(
        self, messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Mapping[str, Any]] | None = None
    ) -> Marked:
        """The text of whole messages, and the model's own words in it as the template marks them.

        Raises:
            RefusedMessages: the template raised an error, or all private characters of Unicode are in use.
        """
        used = set(self.text) | set(json.dumps([list(messages), tools], ensure_ascii=False, default=str))
        unused = (chr(code) for code in range(FIRST_PRIVATE, LAST_PRIVATE + 1) if chr(code) not in used)
        begins, ends = next(unused, ""), next(unused, "")
        if not ends:
            raise RefusedMessages("the messages use every private character of Unicode")
        marked = self._render(messages, False, tools, {"generation_begins": begins, "generation_ends": ends})
        pieces: list[str] = []
        spans: list[tuple[int, int]] = []
        length, opened = 0, None
        for piece in re.split(f"([{begins}{ends}])", marked):
            if piece == begins:
                opened = length
            elif piece == ends and opened is not None:
                spans.append((opened, length))
                opened = None
            elif piece not in (begins, ends):
                pieces.append(piece)
                length += len(piece)
        return Marked("".join(pieces), tuple(spans))

    def _render(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool,
        tools: Sequence[Mapping[str, Any]] | None,
        marks: Mapping[str, str],
    ) -> str:
        if self.reads_parts:
            messages = [_in_parts(message) for message in messages]
        return self._written(messages, add_generation_prompt, tools, marks)

    @cached_property
    def reads_parts(self) -> bool:
        """Whether the template writes a text only where it is a list of parts, as some of vision models do."""
        probe = {"role": "user", "content": "probe"}
        try:
            if "probe" in self._written([probe], False, None, {}):
                return False
            return "probe" in self._written([_in_parts(probe)], False, None, {})
        except RefusedMessages:
            return False

    def _written(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool,
        tools: Sequence[Mapping[str, Any]] | None,
        marks: Mapping[str, str],
    ) -> str:
        from jinja2 import TemplateError

        given = {**self._names, **marks, "add_generation_prompt": add_generation_prompt}
        try:
            text = self._compiled.render(
                messages=list(messages), tools=list(tools) if tools else None, documents=None, **given
            )
        except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise RefusedMessages(f"the chat template refuses these messages: {error}") from None
        except RecursionError:
            raise RefusedMessages("the chat template refuses these messages: it calls itself too often") from None
        if len(text) > LONGEST:
            raise RefusedMessages(f"the chat template wrote more than {LONGEST:,} characters")
        return text


def _in_parts(message: Mapping[str, Any]) -> Mapping[str, Any]:
    content = message.get("content")
    return {**message, "content": [{"type": "text", "text": content}]} if isinstance(content, str) else message


def _environment(date: datetime | None) -> Any:
    from jinja2 import nodes
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Bounded(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "**":
                raise SecurityError("a template has no powers")
            sizes = [len(x) if isinstance(x, str | list | tuple) else x for x in (left, right)]
            if sizes != [left, right] and sizes[0] * sizes[1] > LONGEST:
                raise SecurityError("a product of a string is too long")
            return super().call_binop(context, operator, left, right)

    class Generation(Extension):
        """{% generation %} marks the model's own words for training; what it holds is written as it is."""

        tags = {"generation"}  # noqa: RUF012 (Jinja's own attribute)

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            # Both names are empty, but where the marked characters are asked for.
            begins, ends = (
                nodes.Output([nodes.Name(f"generation_{what}", "load")], lineno=line) for what in ("begins", "ends")
            )
            return nodes.Scope([begins, *body, ends], lineno=line)

    def refuse(message: str) -> None:
        raise TemplateError(str(message))

    def to_json(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: Any = None,
        sort_keys: bool = False,
    ) -> str:
        options: dict[str, Any] = {"indent": indent, "separators": separators, "sort_keys": sort_keys}
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    environment = Bounded(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    environment.filters["tojson"] = to_json

    def now(form: str) -> str:
        return (date or datetime.now(UTC)).strftime(form)

    available: dict[str, Any] = environment.globals
    available |= {"raise_exception": refuse, "strftime_now": now}
    return environment
