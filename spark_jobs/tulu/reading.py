"""The rows of a source, from Parquet and JSON-lines files as the Hugging Face hub lays them out, or from local files.

A row may be `messages` (or `conversations` with `from` and `value`), `instruction`, `input` and `output`, `prompt` and
`completion`, or a pair: `chosen` and `rejected` as texts or as lists of messages. A row that is none of these is kept,
with the reason in `malformed`, so that nothing is lost unseen. Files are read in batches, and rows follow each other in
the order of the files' names, whatever the number of workers.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.files import sha256_of
from catalog.lines import bounded_lines, opened
from spark_jobs.language_models.replies import MalformedReply, bounded_json, sound_text
from spark_jobs.tulu.sources import Source

BATCH = 1_000
LARGEST_ROW = 64 << 20
"""Bytes of a line. A longer one is a malformed row."""
ROLES = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "bot": "assistant"}
ROLES |= {"system": "system", "tool": "tool", "function": "tool", "environment": "tool", "ipython": "tool"}
METADATA = Path(".cache", "huggingface", "download")
"""Where a download of the hub records the commit of each file."""

Row = dict[str, Any]


class Malformed(Exception):
    """A row that cannot be read as messages; the text says why."""


def files_of(source: Source, data: Path) -> list[Path]:
    """The files of a source, sorted by name.

    Args:
        source: the source.
        data: the folder of downloads, with a folder for each repository.

    Raises:
        WatershedError: there is none.
    """
    folder = data / source.repository if source.repository else data
    for pattern in source.files:
        path = Path(pattern).expanduser()
        found = sorted(path.parent.glob(path.name)) if path.is_absolute() else sorted(folder.glob(pattern))
        if found := [each for each in found if each.is_file()]:
            return found
    download = f"hf download --repo-type dataset {source.repository} --local-dir {folder}"
    raise WatershedError(
        f"{folder} has no file of the source {source.name} ({', '.join(source.files)[:80]})",
        f"download it: {download}" if source.repository else "correct `files` of the source",
    )


def revision_of(source: Source, files: Sequence[Path], data: Path) -> str:
    """The commit of the files, as their download recorded it, or else the declared revision.

    Raises:
        WatershedError: the source is pinned, and a file comes from another commit.
    """
    folder = data / source.repository
    commits = set()
    for path in files if source.repository else ():
        if path.is_relative_to(folder):
            note = folder / METADATA / f"{path.relative_to(folder)}.metadata"
            if note.is_file():
                commits.add(note.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0].strip())
    if source.revision != "main" and (others := sorted(commits - {source.revision})):
        raise WatershedError(
            f"the files of {source.name} are those of commit {others[0][:40]}, and {source.revision[:40]} is declared",
            f"download that revision (hf download --revision {source.revision[:40]}), or declare the other one",
        )
    return commits.pop() if len(commits) == 1 else source.revision


def file_digests(files: Sequence[Path]) -> dict[str, str]:
    """SHA-256 of the files by name, which is part of the identity of their rows."""
    return {path.name: sha256_of(path) for path in files}


def read_source(source: Source, files: Sequence[Path], revision: str) -> Iterator[list[Row]]:
    """Batches of rows of tulu.rows.

    Raises:
        WatershedError: a file cannot be read, or no row is selected.
    """
    return rows_of(source, (raw for path in files for raw in _raw_rows(path)), revision)


def rows_of(source: Source, raw_rows: Iterator[tuple[str, Any]], revision: str) -> Iterator[list[Row]]:
    """Batches of rows of tulu.rows from raw rows, each with the name of its file.

    Raises:
        WatershedError: no row is selected.
    """
    seen: Counter[str] = Counter()
    batch: list[Row] = []
    number = -1
    for file, raw in raw_rows:
        if source.where and not _selected(source.where, raw):
            continue
        number += 1
        row = _row(source, raw)
        digest = row["row_digest"]
        identity = json.dumps([source.name, digest, seen[digest]])
        seen[digest] += 1
        batch.append(
            {
                "source": source.name,
                "row_id": hashlib.sha256(identity.encode()).hexdigest()[:16],
                "number": number,
                **row,
                "verifier": source.verifier or row["verifier"],
                "on_policy": source.on_policy,
                "repository": source.repository or source.table,
                "revision": revision,
                "licence": source.licence,
                "file": file,
            }
        )
        if len(batch) == BATCH:
            yield batch
            batch = []
    if number < 0:
        chosen = ", ".join(f"{name} = {value}" for name, value in source.where.items())
        raise WatershedError(
            f"no row of the source {source.name} is selected{f' by {chosen}' if chosen else ''}",
            "correct `where` of the source, or give other files",
        )
    if batch:
        yield batch


def _selected(where: Mapping[str, str], raw: Any) -> bool:
    return isinstance(raw, dict) and all(str(raw.get(name)) == value for name, value in where.items())


def _raw_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Each row of a file as it is; a line that is not JSON as None."""
    mend = "give Parquet or JSON-lines files, and download a damaged one again"
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            for batch in pq.ParquetFile(path).iter_batches(BATCH):
                yield from ((path.name, raw) for raw in batch.to_pylist())
            return
        with opened(path) as file:
            for _, line in bounded_lines(file, LARGEST_ROW):
                try:
                    yield path.name, None if line is None else bounded_json(line)
                except MalformedReply:
                    yield path.name, None
    except (OSError, ValueError, EOFError) as error:
        raise WatershedError(f"{path} cannot be read: {str(error).splitlines()[0][:200]}", mend) from error


def _row(source: Source, raw: Any) -> Row:
    """The columns that come from a raw row."""
    found: Row = dict.fromkeys(("original_id", "tools", "chosen", "rejected", "verifier", "answer", "malformed"))
    found["messages"] = []
    try:
        if not isinstance(raw, dict):
            raise Malformed("the row is not an object")
        named = {**raw, **{ours: raw.get(theirs) for ours, theirs in source.columns.items()}}
        for name in ("id", "question_id", "prompt_id", "original_id"):
            if isinstance(named.get(name), str | int):
                found["original_id"] = sound_text(str(named[name]))
                break
        found |= _content(named)
    except Malformed as reason:
        found["malformed"] = str(reason)
        found["answer"] = None
    replies = [text for text in (found["chosen"], found["rejected"]) if text is not None]
    whole = [*((m["role"], m["content"], m["tool_calls"]) for m in found["messages"]), *replies]
    # A row that cannot be read is distinguished from others by what it holds.
    content = whole if found["malformed"] is None else [str(raw)[:10_000]]
    found["row_digest"] = _digest(" ".join(json.dumps(content, ensure_ascii=False).split()))
    found["prompt_digest"] = _digest(" ".join(prompt_text(found["messages"]).lower().split()))
    return found


def prompt_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """The messages before the first reply, as text."""
    before = []
    for each in messages:
        if each["role"] == "assistant":
            break
        before.append(each["content"])
    return "\n".join(before)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def _content(raw: Mapping[str, Any]) -> Row:
    """Messages, pair and answer of a row in any of the known layouts."""
    found: Row = {}
    if raw.get("tools"):
        found["tools"] = raw["tools"] if isinstance(raw["tools"], str) else json.dumps(raw["tools"])
    if (answer := raw.get("ground_truth", raw.get("answer"))) is not None:
        found["answer"] = answer if isinstance(answer, str) else json.dumps(answer, sort_keys=True, ensure_ascii=False)
    if "chosen" in raw or "rejected" in raw:
        return found | _pair(raw)
    for name in ("messages", "conversations", "conversation"):
        if raw.get(name) is not None:
            return found | {"messages": read_messages(raw[name])}
    if isinstance(raw.get("instruction"), str):
        asked = "\n\n".join(text for text in (raw["instruction"], raw.get("input")) if isinstance(text, str) and text)
        reply = raw.get("output", raw.get("response"))
    else:
        asked, reply = raw.get("prompt", raw.get("question")), raw.get("completion", raw.get("response"))
    if not isinstance(asked, str):
        raise Malformed("the row has no messages, instruction, prompt or pair")
    messages = [_message("user", asked)]
    if isinstance(reply, str):
        messages.append(_message("assistant", reply))
    return found | {"messages": messages}


def _pair(raw: Mapping[str, Any]) -> Row:
    """The messages before the replies, and both replies."""
    sides = {}
    shared: list[Row] | None = None
    for name in ("chosen", "rejected"):
        value = raw.get(name)
        if isinstance(value, str):
            sides[name] = sound_text(value)
            continue
        messages = read_messages(value)
        if not messages or messages[-1]["role"] != "assistant":
            raise Malformed(f"{name} does not end with a reply")
        if shared is not None and messages[:-1] != shared:
            raise Malformed("chosen and rejected have different prompts")
        shared, sides[name] = messages[:-1], messages[-1]["content"]
    if shared is None:
        prompt = raw.get("prompt", raw.get("instruction"))
        shared = [_message("user", prompt)] if isinstance(prompt, str) else read_messages(prompt)
    return {"messages": shared, **sides}


def read_messages(value: Any) -> list[Row]:
    """Messages with role, content, reasoning and tool_calls from a list of objects, or from JSON of one.

    Raises:
        Malformed: it is not a list of messages.
    """
    if isinstance(value, str):
        try:
            value = bounded_json(value)
        except MalformedReply:
            raise Malformed("messages are text that is not JSON") from None
    if not isinstance(value, list) or not value:
        raise Malformed("messages are not a list, or empty")
    found = []
    for each in value:
        if not isinstance(each, Mapping):
            raise Malformed("a message is not an object")
        role, content = each.get("role", each.get("from")), each.get("content", each.get("value"))
        known = ROLES.get(role.strip().casefold()) if isinstance(role, str) else None
        if known is None:
            raise Malformed("a message has an unknown role")
        calls = each.get("tool_calls") or each.get("function_calls")
        if content is None and calls:
            content = ""
        if not isinstance(content, str):
            raise Malformed("the content of a message is not text")
        reasoning = each.get("reasoning", each.get("reasoning_content"))
        found.append(
            _message(
                known,
                content,
                reasoning if isinstance(reasoning, str) else None,
                None if not calls else calls if isinstance(calls, str) else json.dumps(calls, sort_keys=True),
            )
        )
    return found


def without_nulls(message: Mapping[str, Any]) -> Row:
    """The fields of a stored message that it has: tables have a null for every other one."""
    return {name: value for name, value in message.items() if value is not None}


def _message(role: str, content: str, reasoning: str | None = None, tool_calls: str | None = None) -> Row:
    return {
        "role": role,
        "content": sound_text(content),
        "reasoning": sound_text(reasoning) if reasoning else None,
        "tool_calls": sound_text(tool_calls) if tool_calls else None,
    }
