"""Prompts in files: rows of JSON lines or Parquet to requests, and the fields of each row that its reply keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from spark_jobs.language_models.replies import MalformedReply, bounded_json, sound_text
from spark_jobs.language_models.request import Request, Sampling

BATCH = 1000
"""Rows of a Parquet file that are read at a time."""

LONGEST = 10_000_000
"""Most characters of a prompt that a template makes."""

WRITTEN = ("request", "sample", "outcome", "error", "reply", "finish_reason", "prompt_tokens", "reply_tokens", "cost")
"""The fields that a reply has beside those of its row."""


@dataclass(frozen=True)
class Prompt:
    """A row of a file: its request, and its fields but `prompt` and `messages`."""

    request: Request
    fields: Mapping[str, Any]


def read_prompts(path: Path, sampling: Sampling, *, template: str = "", system: str = "") -> list[Prompt]:
    """Return the prompts in the rows of a file.

    Args:
        path: a Parquet file, or JSON lines in UTF-8.
        sampling: how replies are sampled.
        template: Jinja text that makes the message of the user from the fields of a row; without it, a row has
            `prompt`, a text or a list of token ids, or `messages`, a list of messages with role and content.
        system: the system message of rows that have no messages of their own.

    Raises:
        WatershedError: the file or the template cannot be read, or a row is not a prompt. The error names the row.

    Example:
        >>> path.write_text('{"id": 7, "river": "Elbe"}\\n')
        >>> (found,) = read_prompts(path, Sampling(), template="Where does the {{ river }} end?")
        >>> found.request.messages, found.fields
        ((('user', 'Where does the Elbe end?'),), {'id': 7, 'river': 'Elbe'})
    """
    render = _renderer(template) if template else None
    found = []
    for place, row in _rows(path):
        try:
            if isinstance(row, MalformedReply):
                raise row
            found.append(_prompt(row, render, sampling, system))
        except (MalformedReply, ValueError) as error:
            mend = 'write {"prompt": "..."} or {"messages": [{"role": "user", "content": "..."}]}'
            raise WatershedError(
                f"{path}, {place}: {error}", "correct the template or the row" if template else mend
            ) from error
    if not found:
        raise WatershedError(f"{path} has no prompt", "write a row with `prompt` or `messages` for each of them")
    return found


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            batches = pq.ParquetFile(path).iter_batches(BATCH)
            rows = (row for batch in batches for row in batch.to_pylist())
            yield from ((f"row {number}", row) for number, row in enumerate(rows, start=1))
            return
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    try:
                        yield f"line {number}", bounded_json(line)
                    except MalformedReply as error:
                        yield f"line {number}", error
    except (OSError, ValueError) as error:
        cause = str(error).splitlines()[0]
        raise WatershedError(
            f"{path} cannot be read: {cause}", "give a file of JSON lines in UTF-8, or Parquet"
        ) from error


def _prompt(row: Any, render: Any, sampling: Sampling, system: str) -> Prompt:
    if not isinstance(row, dict):
        raise ValueError("it is not a JSON object")
    fields = {str(name): value for name, value in row.items() if render or name not in ("prompt", "messages")}
    if clash := sorted(fields.keys() & set(WRITTEN)):
        raise ValueError(f"its field {clash[0]!r} has the name of a field of replies; rename it")
    if render:
        return Prompt(Request.chat(render(row), system=system, settings=sampling), fields)
    prompt, messages = row.get("prompt"), row.get("messages")
    if isinstance(prompt, str) and prompt and messages is None:
        return Prompt(Request.chat(sound_text(prompt), system=system, settings=sampling), fields)
    if isinstance(prompt, list) and prompt and all(type(token) is int and 0 <= token < 2**31 for token in prompt):
        return Prompt(Request(prompt=tuple(prompt), settings=sampling), fields)
    if isinstance(messages, list) and messages and prompt is None:
        pairs = [(each.get("role"), each.get("content")) for each in messages if isinstance(each, dict)]
        if len(pairs) == len(messages) and all(isinstance(text, str) for pair in pairs for text in pair):
            turns = tuple((str(role), sound_text(text)) for role, text in pairs)
            return Prompt(Request(messages=turns, settings=sampling), fields)
    raise ValueError("it has neither a prompt nor messages")


def _renderer(template: str) -> Any:
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    try:
        made = ImmutableSandboxedEnvironment(undefined=StrictUndefined).from_string(template)
    except TemplateError as error:
        raise WatershedError(f"the template is wrong: {error}", "write Jinja, as in 'Summarise: {{ text }}'") from error

    def render(row: Mapping[str, Any]) -> str:
        try:
            text = made.render(row)
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise ValueError(f"the template cannot be filled: {error}") from error
        if not text.strip() or len(text) > LONGEST:
            raise ValueError("the template makes an empty prompt" if not text.strip() else "the prompt is too long")
        return sound_text(text)

    return render
