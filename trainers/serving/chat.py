"""Chat templates: the text that a model reads for a list of messages, written by the model's own Jinja template.

A template comes with the weights, from a stranger: it runs in Jinja's sandbox, which has no access to Python's
attributes, the file system or modules, and neither its loops nor its strings can grow without bound.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from trainers.process.errors import TrainerError

LONGEST = 16 * 1024 * 1024
"""Characters that a template may write, and that a product of a string may have."""


class RefusedMessages(Exception):
    """The template does not take these messages; the text says why."""


class ChatTemplate:
    """A Jinja template as transformers' `apply_chat_template` runs it.

    Args:
        text: the template.
        names: markers that it may use, such as bos_token.
        place: where it comes from, for errors.
    """

    def __init__(self, text: str, names: Mapping[str, str], place: str) -> None:
        self.text, self._names, self._place = text, dict(names), place
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

    @cached_property
    def _compiled(self) -> Any:
        from jinja2 import TemplateError

        environment = _environment()
        try:
            return environment.from_string(self.text)
        except (TemplateError, RecursionError) as error:
            raise TrainerError(f"{self._place}: the chat template is wrong: {error}", "correct it") from None

    def render(self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True) -> str:
        """The text of the messages, by default up to where the reply begins.

        Raises:
            RefusedMessages: the template raised an error, for example for a role that it does not know.
        """
        from jinja2 import TemplateError

        try:
            text = self._compiled.render(
                messages=list(messages), add_generation_prompt=add_generation_prompt, tools=None, **self._names
            )
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
            raise RefusedMessages(f"the chat template refuses these messages: {error}") from None
        if len(text) > LONGEST:
            raise RefusedMessages(f"the chat template wrote more than {LONGEST:,} characters")
        return text


def _environment() -> Any:
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
            return nodes.Scope(body, lineno=line)

    def refuse(message: str) -> None:
        raise TemplateError(str(message))

    def to_json(value: Any, indent: int | None = None, **_: Any) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)

    environment = Bounded(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    environment.filters["tojson"] = to_json

    def now(form: str) -> str:
        return datetime.now(UTC).strftime(form)

    available: dict[str, Any] = environment.globals
    available |= {"raise_exception": refuse, "strftime_now": now}
    return environment
