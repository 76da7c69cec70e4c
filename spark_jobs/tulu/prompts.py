"""Prompts that are given as files: those that fine-tuning used, those that it did not, and others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from spark_jobs.language_models.replies import MalformedReply, bounded_json
from spark_jobs.tulu.reading import Malformed, read_messages

POOLS = ("used", "unused", "other")
Row = dict[str, Any]


def prompt_row(collection: str, *, pool: str, source: str, text: str, number: int) -> Row:
    """A row of tulu.prompts with one message of the user, and nothing else."""
    message = {"role": "user", "content": text, "reasoning": None, "tool_calls": None}
    return _row(collection, pool, source, [message], number)


def _row(collection: str, pool: str, source: str, messages: Sequence[Row], number: int) -> Row:
    content = [[each["role"], each["content"]] for each in messages]
    identity = json.dumps([pool, source, content, number], ensure_ascii=False)
    return {
        "collection": collection,
        "prompt_id": hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:16],
        "pool": pool,
        "source": source,
        "licence": "",
        "messages": list(messages),
        "persona": None,
        "instructions": [],
        "verifier": None,
        "answer": None,
        "request": None,
        "failure": None,
    }


def read_prompts(collection: str, files: Sequence[Path]) -> list[Row]:
    """Rows of tulu.prompts from JSON lines.

    A line has `prompt` or `messages`, whose last is the user's, and optionally `pool` (used, unused or other, the
    default), `source` (by default the name of the file), `licence`, `instructions` ([{"id", "kwargs"}]), `verifier` and
    `answer`. A prompt that is given twice counts once.

    Raises:
        WatershedError: a file cannot be read, or a line is no prompt; the cause names file and line.
    """
    mend = 'write JSON lines such as {"prompt": "...", "pool": "unused", "source": "wildchat"}'
    found: dict[str, Row] = {}
    for path in files:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise WatershedError(f"{path} cannot be read: {error}", mend) from None
        for number, line in enumerate(lines, start=1):
            if line.strip():
                row = _read(collection, path, number, line, mend)
                found.setdefault(row["prompt_id"], row)
    return list(found.values())


def _read(collection: str, path: Path, number: int, line: str, mend: str) -> Row:
    place = f"{path}:{number}"
    try:
        raw = bounded_json(line)
        if not isinstance(raw, dict):
            raise Malformed("not an object")
        value = raw.get("messages") or [{"role": "user", "content": raw.get("prompt")}]
        messages = read_messages(value)
    except (MalformedReply, Malformed) as error:
        raise WatershedError(f"{place}: {error}", mend) from None
    pool = raw.get("pool", "other")
    if messages[-1]["role"] != "user" or not messages[-1]["content"].strip():
        raise WatershedError(f"{place}: the last message is not the user's, or is empty", mend)
    if pool not in POOLS:
        raise WatershedError(f"{place}: pool is {str(pool)[:40]!r}", f"use one of {', '.join(POOLS)}")
    instructions = raw.get("instructions") or []
    texts = {name: raw.get(name) for name in ("source", "licence", "verifier", "answer")}
    if (
        not isinstance(instructions, list)
        or not all(isinstance(each, dict) and isinstance(each.get("id"), str) for each in instructions)
        or not all(value is None or isinstance(value, str) for value in texts.values())
    ):
        raise WatershedError(f"{place}: instructions, source, licence, verifier or answer is of a wrong type", mend)
    return _row(collection, pool, texts["source"] or path.stem, messages, 0) | {
        "licence": texts["licence"] or "",
        "instructions": [
            {"id": each["id"], "kwargs": json.dumps(each.get("kwargs") or {}, sort_keys=True, ensure_ascii=False)}
            for each in instructions
        ],
        "verifier": texts["verifier"],
        "answer": texts["answer"],
    }
